package modeltest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore/modeltest"
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
	modeltest.Test(t, folder)
}
