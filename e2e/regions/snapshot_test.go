package regions_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// A node finds a snapshot that another wrote, or one that is damaged, or of a
// version that it does not know. It uses what fits its log, says what does not,
// and answers the same.
func (d deployment) testSnapshots(t *testing.T) {
	organization := d.organization(t, east, east, "snapshots")
	other := d.organization(t, east, east, "snapshots-other")
	write(t, d.in(east), other, "user:theirs")
	revision := write(t, d.in(east), organization, "user:ours")
	snapshot, foreign := d.snapshot(t, organization, revision), d.snapshot(t, other, "")
	for name, c := range map[string]struct {
		content []byte
		// refused: the log says so, with this word.
		refused string
	}{
		"of another region":       {snapshot, ""},
		"of another organization": {foreign, other},
		"truncated":               {snapshot[:len(snapshot)/2], "snapshot"},
		"empty":                   {nil, "snapshot"},
		"of another version":      {otherVersion(snapshot), "version"},
		"damaged":                 {flipped(snapshot), "snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := d.Node(t, west, nil)
			dir := d.graphs(t, n)
			if err := os.WriteFile(filepath.Join(dir, organization+".graph"), c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			n.Start(t)
			client := n.Client(d.AdminToken)
			allowed(t, client, organization, "user:ours", revision)
			if decision, err := client.Check(calls(t), question(organization, "user:theirs", revision)); err != nil || decision.Allowed {
				t.Errorf("another's user: %+v, %v", decision, err)
			}
			after := "user:after-" + strings.ReplaceAll(name, " ", "-")
			allowed(t, client, organization, after, write(t, client, organization, after))
			if c.refused != "" {
				logged(t, n, "snapshot not used", organization, c.refused)
			} else if strings.Contains(n.Output(), "snapshot not used") {
				t.Errorf("a good snapshot is not used: %s", n.Output())
			}
			n.Stop(t)
		})
	}
}

// graphs makes the folder of a node's snapshots.
func (d deployment) graphs(t *testing.T, n *harness.Node) string {
	t.Helper()
	dir := filepath.Join(n.DataDir, "graphs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// snapshot is what a node of the first region writes when it stops.
func (d deployment) snapshot(t *testing.T, organization, revision string) []byte {
	t.Helper()
	n := d.Node(t, east, nil)
	n.Start(t)
	if _, err := n.Client(d.AdminToken).Check(calls(t), question(organization, "user:ours", revision)); err != nil {
		t.Fatal(err)
	}
	n.Stop(t)
	content, err := os.ReadFile(filepath.Join(d.graphs(t, n), organization+".graph"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// versionAt is where the last byte of the version stands, after the magic.
const versionAt = 11

func otherVersion(snapshot []byte) []byte {
	out := append([]byte(nil), snapshot...)
	out[versionAt]++
	return out
}

func flipped(snapshot []byte) []byte {
	out := append([]byte(nil), snapshot...)
	out[len(out)/2] ^= 0x40
	return out
}
