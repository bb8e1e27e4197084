package serve_test

import (
	"fmt"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// Health checks of containers go by the exit code.
func TestReadyCommand(t *testing.T) {
	d := harness.StartDeployment(t)
	n := d.Node(t, "node", "")
	ready := func(want int) {
		t.Helper()
		harness.Eventually(t, fmt.Sprintf("exit code %d", want), func() error {
			if r := harness.Run(t, "ready", n.URL()); r.Code != want {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
	ready(2)
	n.Launch(t)
	ready(0)
	d.Database.Kill(t)
	ready(1)
	n.Kill(t)
	ready(2)
}
