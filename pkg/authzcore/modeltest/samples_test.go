package modeltest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// shared returns the folder with the project's shared vectors: MERIDIAN_SHARED,
// else the folder shared beside the repository.
func shared(t *testing.T) (folder string, found bool) {
	t.Helper()
	folder = os.Getenv("MERIDIAN_SHARED")
	if folder == "" {
		folder = beside(t, "shared")
	}
	folder = filepath.Join(folder, "vectors", "authz", "openfga-sample-stores")
	info, err := os.Stat(folder)
	return folder, err == nil && info.IsDir()
}

// beside returns the folder of a name beside the repository's.
func beside(t *testing.T, name string) string {
	t.Helper()
	at, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.work")); err == nil {
			return filepath.Join(filepath.Dir(at), name)
		}
		if filepath.Dir(at) == at {
			t.Fatal("no go.work above the test")
		}
		at = filepath.Dir(at)
	}
}

// TestSampleStores runs OpenFGA's sample stores.
func TestSampleStores(t *testing.T) {
	folder, found := shared(t)
	if !found {
		t.Logf("NOT TESTED: the sample stores are absent (%s); MERIDIAN_SHARED names the folder that has vectors/", folder)
		return
	}
	Test(t, folder)
}

// TestEveryPart: every relation's definition is found in the text, says the same
// when it is written again, and can be taken apart.
func TestEveryPart(t *testing.T) {
	folders := []string{"testdata/good", "testdata/coverage"}
	if folder, found := shared(t); found {
		folders = append(folders, folder)
	} else {
		t.Logf("NOT TESTED with the sample stores: they are absent (%s)", folder)
	}
	stores, err := load(t.Context(), folders, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stores {
		relations := 0
		for _, typ := range s.model.compiled.Types() {
			relations += len(s.model.compiled.Relations(typ))
		}
		for i, f := range s.model.files {
			for _, d := range definitions(f) {
				relations--
				again := slices.Clone(s.model.files)
				again[i].Content = f.Content[:d.begin] + "define " + d.name + ": " + d.root.render(nil, "") + f.Content[d.end:]
				if same, err := authzcore.Compile(authzcore.NewNames(), again); err != nil || same.ID() != s.model.compiled.ID() {
					t.Errorf("%s: %s#%s is not the same when written again: %v", s.file, d.typ, d.name, err)
				}
				for _, p := range d.parts() {
					if p.operand == nil {
						continue
					}
					without, err := authzcore.Compile(authzcore.NewNames(), p.files(s.model.files))
					if err != nil || without.ID() == s.model.compiled.ID() {
						t.Errorf("%s: without %s: %v", s.file, p.Branch.String(), err)
					}
				}
			}
		}
		if relations != 0 {
			t.Errorf("%s: %d relations are not found", s.file, relations)
		}
	}
}

// BenchmarkRun reads and runs the files of testdata/good; with coverage, each
// question is asked again for each branch of the models.
func BenchmarkRun(b *testing.B) {
	for _, o := range []struct {
		name    string
		options Options
	}{{"plain", Options{}}, {"coverage", Options{Coverage: true}}} {
		b.Run(o.name, func(b *testing.B) {
			for b.Loop() {
				if report, err := Run(b.Context(), []string{"testdata/good"}, o.options); err != nil || report.Failed() {
					b.Fatal(report, err)
				}
			}
		})
	}
}
