package regions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// whole makes a node host everything.
func whole(config map[string]any) {
	delete(config, "services")
	delete(config, "identity_urls")
}

// logged waits until a node has said something.
func logged(t *testing.T, n *harness.Node, words ...string) {
	t.Helper()
	harness.Eventually(t, "the node says "+strings.Join(words, " "), func() error {
		for line := range strings.Lines(n.Output()) {
			missing := 0
			for _, word := range words {
				if !strings.Contains(line, word) {
					missing++
				}
			}
			if missing == 0 {
				return nil
			}
		}
		return fmt.Errorf("%w:\n%s", errNotYet, n.Output())
	})
}

// One node is told of a fourth region before anything runs there. It serves, and
// takes organizations that are at home there; its relay stands by for the region,
// so the others, which were told nothing, get the events as well.
func (d deployment) testRegionAdded(t *testing.T) {
	const added = "af-south"
	n := d.Node(t, west, func(config map[string]any) {
		whole(config)
		config["regions"] = append(names(), added)
	})
	n.Start(t)
	logged(t, n, "LOG_AF_SOUTH_MIRROR_EU_WEST", "mirror waits for its origin", added)
	organization := d.organization(t, east, east, "before-the-region")
	user := "user:before"
	allowed(t, n.Client(d.AdminToken), organization, user, write(t, d.in(south), organization, user))

	// Nobody else takes the new name yet, and says so.
	_, err := d.in(west).Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
		Organization: organization, HomeRegion: added, IdempotencyKey: "early",
	})
	if !meridian.Is(err, commonv1.Reason_INVALID_FIELD) {
		t.Errorf("a node that does not know the region moves there: %v", err)
	}
	if _, err := n.Client(d.AdminToken).Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
		Organization: organization, HomeRegion: added, IdempotencyKey: "move",
	}); err != nil {
		t.Fatalf("move to the region that is being added: %v", err)
	}
	for _, writer := range []*meridian.Client{n.Client(d.AdminToken), d.in(south)} {
		user = "user:after-" + string(rune('a'+len(user)))
		revision := write(t, writer, organization, user)
		written := time.Now()
		for _, reader := range names() {
			allowed(t, d.in(reader), organization, user, revision)
			arrives(t, d.in(reader), organization, user, written)
		}
	}
	// Back, before the node that stands by for the region is gone.
	if _, err := n.Client(d.AdminToken).Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
		Organization: organization, HomeRegion: east, IdempotencyKey: "back",
	}); err != nil {
		t.Fatal(err)
	}
	for _, region := range names() {
		d.verify(t, region, organization)
	}
	n.Stop(t)
}

// One node no longer knows of a region in which organizations are at home. It
// has no copy of their stream; it answers from the events table instead, and
// never claims to be younger than it is.
func (d deployment) testRegionRemoved(t *testing.T) {
	n := d.Node(t, west, func(config map[string]any) {
		config["regions"] = []string{east, west}
	})
	n.Start(t)
	organization := d.organization(t, south, south, "region-removed")
	client := n.Client(d.AdminToken)
	for i := range 6 {
		// Writes need not know where the home region is, either.
		writer := []*meridian.Client{d.in(south), client}[i%2]
		user := fmt.Sprintf("user:removed-%d", i)
		revision := write(t, writer, organization, user)
		written := time.Now()
		if i < 2 {
			allowed(t, client, organization, user, revision)
		}
		arrives(t, client, organization, user, written)
		arrives(t, d.in(east), organization, user, written)
	}
	n.Stop(t)
}

// A region is taken out of every configuration while organizations are at home
// there. Their reads and writes go on, by the events table; who operates it is
// told; and MoveHome is the way out.
func TestRegionThatNobodyRuns(t *testing.T) {
	t.Parallel()
	d := harness.StartDeployment(t)
	n := d.Node(t, "both", "regions: [eu-west, us-east]\n")
	n.Start(t)
	organization := makeOrganization(t, n.Client(d.Token), east, "left-behind")
	n.Stop(t)

	n = d.Node(t, "one", "regions: [eu-west]\n")
	n.Start(t)
	client := n.Client(d.Token)
	for i := range 3 {
		user := fmt.Sprintf("user:left-%d", i)
		revision := write(t, client, organization, user)
		written := time.Now()
		allowed(t, client, organization, user, revision)
		arrives(t, client, organization, user, written)
	}
	logged(t, n, "events wait for regions that this node does not know", east)
	if _, err := client.Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
		Organization: organization, HomeRegion: harness.Region, IdempotencyKey: "home",
	}); err != nil {
		t.Fatal(err)
	}
	user := "user:moved"
	allowed(t, client, organization, user, write(t, client, organization, user))
}
