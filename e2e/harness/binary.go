package harness

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const (
	meridianPackage = "github.com/meridian-iam/meridian/services/meridian"
	natsPackage     = "github.com/meridian-iam/meridian/e2e/harness/natsd"
)

var (
	buildMeridian = sync.OnceValues(func() (string, error) { return build(meridianPackage) })
	buildNATS     = sync.OnceValues(func() (string, error) { return build(natsPackage) })
)

// Binary builds the meridian binary once for each test binary and returns its
// path.
func Binary(t testing.TB) string {
	t.Helper()
	binary, err := buildMeridian()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// build builds a command into the user's cache. The file appears whole, by a
// rename, since other test binaries do the same at the same time; processes
// that run an older one keep it.
func build(pkg string) (string, error) {
	tree, err := workspace()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(tree)) // never fails
	dir := filepath.Join(cache, "meridian", fmt.Sprintf("e2e-%x", sum.Sum64()))
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // programs, also run by another user
		return "", err
	}
	scratch, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // best effort: a cache
	built := filepath.Join(scratch, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", built, pkg) //nolint:noctx // go test's own timeout ends it
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	binary := filepath.Join(dir, filepath.Base(pkg))
	return binary, os.Rename(built, binary)
}

// workspace returns the folder with go.work, above the test's package.
func workspace() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.work above the test")
		}
		dir = filepath.Dir(dir)
	}
}
