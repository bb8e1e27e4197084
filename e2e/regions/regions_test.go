// Package regions_test runs three regions as processes on this machine, with a
// NATS cluster each and real delays between them, and looks at what a region
// must give and must not give away.
package regions_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

const (
	east  = "us-east"
	west  = "eu-west"
	south = "ap-south"
)

// names are the regions, the platform's home first.
func names() []string { return []string{east, west, south} }

// deployment is one that all tests share.
type deployment struct{ *harness.Dev }

func TestRegions(t *testing.T) {
	t.Parallel()
	d := deployment{harness.StartDev(t, t.TempDir(), "--regions", strings.Join(names(), ","))}
	// All of it ends with `meridian dev`, before its folder is removed.
	t.Cleanup(func() { d.Stop(t) })
	t.Run("together", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T){
			"journey":             d.testJourney,
			"move home":           d.testMoveHome,
			"no such region":      d.testNoSuchRegion,
			"region added":        d.testRegionAdded,
			"region removed":      d.testRegionRemoved,
			"snapshot of another": d.testSnapshots,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	})
	for _, region := range names() {
		d.verify(t, region)
	}
	// Its events are of types that the processes do not know, so it comes after.
	t.Run("residency", d.testResidency)
}

// patience of one call. Machines that run tests are slow, and regions far.
const patience = 15 * time.Second

func calls(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// in is a client that calls one region only.
func (d deployment) in(region string) *meridian.Client {
	return meridian.New(d.Regions[region], d.AdminToken)
}

// near is a client that calls a region, and the others when it does not answer.
func (d deployment) near(region string) *meridian.Client {
	urls := []string{d.Regions[region]}
	for _, other := range names() {
		if other != region {
			urls = append(urls, d.Regions[other])
		}
	}
	return meridian.Open(meridian.Config{URLs: urls, Token: d.AdminToken})
}

// verify compares every log, or those named, with the rows, and with the streams
// that a region has.
func (d deployment) verify(t *testing.T, region string, logs ...string) {
	t.Helper()
	if len(logs) == 0 {
		logs = []string{""}
	}
	for _, log := range logs {
		args := slices.DeleteFunc([]string{"--dir", d.Dir, "--region", region, "log", "verify", log}, func(s string) bool { return s == "" })
		harness.Eventually(t, "the copies in "+region+" are equal", func() error {
			r := harness.Run(t, args...)
			if r.Code != 0 || !strings.Contains(r.Stdout, " 0 with a difference") {
				return fmt.Errorf("log verify in %s: %+v", region, r)
			}
			return nil
		})
	}
}

const model = `model
  schema 1.1
type user
type document
  relations
    define viewer: [user]
`

// organization makes one, with the model, through a region.
func (d deployment) organization(t *testing.T, through, home, slug string) string {
	t.Helper()
	return makeOrganization(t, d.in(through), home, slug)
}

func makeOrganization(t *testing.T, c *meridian.Client, home, slug string) string {
	t.Helper()
	created, err := c.Organizations.CreateOrganization(calls(t), &identityv1.CreateOrganizationRequest{
		Slug: slug, Name: slug, HomeRegion: home, IdempotencyKey: "create-" + slug,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := created.GetOrganization().GetHomeRegion(); got != home {
		t.Fatalf("%s is at home in %q, want %q", slug, got, home)
	}
	id := created.GetOrganization().GetId()
	published, err := c.Models.PublishModel(calls(t), &authzv1.PublishModelRequest{
		Name: "documents", Files: []*authzv1.ModelFile{{Path: "model.fga", Content: model}}, IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Models.AssignModel(calls(t), &authzv1.AssignModelRequest{
		Organization: id, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}, IdempotencyKey: "assign-" + slug,
	}); err != nil {
		t.Fatal(err)
	}
	return id
}

func write(t *testing.T, c *meridian.Client, organization, user string) (revision string) {
	t.Helper()
	revision, err := c.Write(calls(t), organization, meridian.Touch("document:plan", "viewer", user))
	if err != nil {
		t.Fatalf("write of %s: %v", user, err)
	}
	return revision
}

func question(organization, user, atLeast string) meridian.Question {
	return meridian.Question{
		Organization: organization, Subject: user, Permission: "viewer", Resource: "document:plan", AtLeast: atLeast,
	}
}

// allowed fails the test unless a user may, at a revision.
func allowed(t *testing.T, c *meridian.Client, organization, user, atLeast string) {
	t.Helper()
	decision, err := c.Check(calls(t), question(organization, user, atLeast))
	if err != nil || !decision.Allowed {
		t.Errorf("%s at its revision: %+v, %v", user, decision, err)
	}
}

// maxAge is how old an answer is at most when the caller does not say.
const maxAge = 5 * time.Second

// clockError is what clocks of one machine, and the estimate that a node has of
// the database's, may differ by.
const clockError = 100 * time.Millisecond

var errNotYet = errors.New("not yet")

// arrives asks without a revision until the answer has a write. Until then every
// answer must own up to its age: a write that it lacks is younger than that.
// written is when it was acknowledged.
func arrives(t *testing.T, c *meridian.Client, organization, user string, written time.Time) {
	t.Helper()
	harness.Eventually(t, "an answer has "+user, func() error {
		asked := time.Now()
		decision, err := c.Check(calls(t), question(organization, user, ""))
		switch {
		case err != nil:
			return err
		case decision.Age > maxAge:
			t.Errorf("an answer is %v old", decision.Age)
		case decision.Allowed:
			return nil
		case asked.Sub(written) > decision.Age+clockError:
			t.Errorf("%s was written %v before the question, and the answer without it claims %v", user, asked.Sub(written), decision.Age)
		}
		return errNotYet
	})
}

// stream reads what a region's own stream holds of a log: the sequences of its
// events, sorted.
func (d deployment) stream(t *testing.T, region, stream, log string) []*nats.Msg {
	t.Helper()
	js := d.nats(t, region)
	s, err := js.Stream(calls(t), stream)
	if err != nil {
		t.Fatalf("%s in %s: %v", stream, region, err)
	}
	filter := "log.*." + log + ".>"
	var out []*nats.Msg
	for next := uint64(1); ; {
		m, err := s.GetMsg(calls(t), next, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return out
		}
		if err != nil {
			t.Fatalf("%s in %s: %v", stream, region, err)
		}
		out = append(out, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		next = m.Sequence + 1
	}
}

// nats connects to a region's NATS as its services do.
func (d deployment) nats(t *testing.T, region string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(d.BusURL(t, region))
	if err != nil {
		t.Fatalf("NATS of %s: %v", region, err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// streamName is the stream of a region, mirrorName the copy of it in another.
func streamName(region string) string {
	return "LOG_" + strings.ReplaceAll(strings.ToUpper(region), "-", "_")
}

func mirrorName(of, at string) string {
	return streamName(of) + "_MIRROR" + strings.TrimPrefix(streamName(at), "LOG")
}
