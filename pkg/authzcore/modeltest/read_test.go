package modeltest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore/modeltest"
)

func run(t *testing.T, paths ...string) (*modeltest.Report, error) {
	t.Helper()
	return modeltest.Run(t.Context(), paths, modeltest.Options{})
}

// TestReadRefuses runs every file of testdata/errors. Each begins with what is
// wrong in it: "# want PLACE: TEXT", where the place is a line of the file, or
// file:line, or absent.
func TestReadRefuses(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.fga.yaml")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".fga.yaml"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			report, err := run(t, file)
			refused, ok := errors.AsType[*modeltest.FileError](err)
			if !ok || report != nil {
				t.Fatalf("report %v, error %v", report, err)
			}
			got := strings.Split(refused.Error(), "\n")
			want := 0
			for line := range strings.Lines(string(content)) {
				text, found := strings.CutPrefix(strings.TrimSpace(line), "# want")
				if !found {
					continue
				}
				place, text, _ := strings.Cut(strings.TrimPrefix(text, " "), ": ")
				switch {
				case strings.Contains(place, "/"):
					place = "testdata/errors/" + place + ":"
				case place == ":" || place == "":
					place = file + ":"
				default:
					place = file + ":" + place + ":"
				}
				if want++; want > len(got) || !strings.HasPrefix(got[want-1], place) || !strings.Contains(got[want-1], text) {
					t.Errorf("want %s … %s", place, text)
				}
			}
			if want == 0 || want != len(got) {
				t.Errorf("want %d problems, got\n%s", want, refused)
			}
		})
	}
}

func TestGood(t *testing.T) {
	modeltest.Test(t, "testdata/good")
}
