package modeltest

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// samples are OpenFGA's sample stores, each in a folder of its own.
const samples = "testdata/sample-stores"

// TestSampleStores runs OpenFGA's sample stores.
func TestSampleStores(t *testing.T) {
	stores, err := filepath.Glob(filepath.Join(samples, "*", "*.fga.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]bool{}
	for _, file := range stores {
		folders[filepath.Dir(file)] = true
	}
	if len(folders) != 20 {
		t.Errorf("%d folders have a store, want 20", len(folders))
	}
	Test(t, samples)
}

// TestEveryPart: every relation's definition is found in the text, says the same
// when it is written again, and can be taken apart.
func TestEveryPart(t *testing.T) {
	stores, err := load(t.Context(), []string{"testdata/good", "testdata/coverage", samples}, Options{})
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
