package arch_test

import (
	"testing"

	"github.com/meridian-iam/meridian/e2e/arch"
)

// Run this with -count=1: `go test` does not see that the child process reads
// other packages, and would repeat an old answer.
func TestLayers(t *testing.T) {
	packages, err := arch.List(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages; that cannot be all", len(packages))
	}
	for _, v := range arch.Check(packages, arch.Layers()) {
		t.Error(v)
	}
	t.Logf("checked %d packages", len(packages))
}
