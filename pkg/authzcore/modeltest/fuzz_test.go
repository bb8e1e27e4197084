package modeltest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// FuzzStore: any bytes are a store that can be run, or problems with places;
// never both, never neither, and never a panic.
func FuzzStore(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.fga.yaml", "testdata/errors/*.fga.yaml", "testdata/wrong/*.fga.yaml", "testdata/coverage/*.fga.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 16<<10 {
			return
		}
		l := &loader{ctx: t.Context(), models: map[string]*model{}}
		// The folder has files that stores name.
		around, err := openFolder(filepath.Join("testdata", "good", "store.fga.yaml"), "")
		if err != nil {
			t.Fatal(err)
		}
		defer around.root.Close()
		r := &reader{document: &document{file: "store.fga.yaml", found: &l.found}, loader: l, folder: around, store: &store{}}
		r.read(content)
		refused, ok := errors.AsType[*FileError](l.found.err())
		switch {
		case ok:
			checkProblems(t, refused.Problems)
		case r.store.model == nil:
			t.Fatal("neither a model nor a problem")
		default:
			b, err := newBench(r.store, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func checkProblems(t *testing.T, problems []authzcore.Problem) {
	t.Helper()
	if len(problems) == 0 || len(problems) > maxProblems {
		t.Fatal(len(problems))
	}
	for _, p := range problems {
		if p.File == "" || p.Message == "" || p.Line < 0 {
			t.Errorf("%+v", p)
		}
	}
}
