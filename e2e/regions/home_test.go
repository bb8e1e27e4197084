package regions_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	"github.com/meridian-iam/meridian/pkg/principal"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// A write is executed by the services of the region where its organization is at
// home, wherever it is sent; and by the region that it was sent to when those do
// not answer.
func TestWritesGoHome(t *testing.T) {
	d := deployment{harness.StartDev(t, t.TempDir(), "--regions", strings.Join(names(), ","))}
	t.Cleanup(func() { d.Stop(t) })
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"as the caller", d.testAsTheCaller},
		{"of identity", d.testIdentityGoesHome},
		{"rights", d.testRightsStay},
		{"not sent on again", d.testNotSentOnAgain},
		{"the home that was", d.testTheHomeThatWas},
		{"link cut", d.testCallsCut},
		{"latency", d.testLatency},
		{"services killed", d.testServicesKilled}, // last: nobody starts them again
	} {
		t.Run(step.name, step.test)
	}
	for _, region := range names() {
		if region != south {
			d.verify(t, region)
		}
	}
}

// forwarded reads the counter of a service in a region.
func (d deployment) forwarded(t *testing.T, region, service, outcome string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(calls(t), http.MethodGet, d.ServiceURL(t, region, service)+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	prefix := fmt.Sprintf("meridian_forwarded_total{outcome=%q,service=%q} ", outcome, service)
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), prefix); found {
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s/%s has no %s", region, service, prefix)
	return 0
}

// moved says how far counters went while do was done.
func (d deployment) moved(t *testing.T, service string, do func()) func(region, outcome string) int {
	t.Helper()
	read := func() map[[2]string]int {
		out := map[[2]string]int{}
		for _, region := range names() {
			for _, outcome := range []string{"answered", "unreachable", "unanswered", "received"} {
				out[[2]string{region, outcome}] = d.forwarded(t, region, service, outcome)
			}
		}
		return out
	}
	before := read()
	do()
	after := read()
	return func(region, outcome string) int {
		of := [2]string{region, outcome}
		return after[of] - before[of]
	}
}

// tokenOf makes a token of an organization.
func (d deployment) tokenOf(t *testing.T, organization string, level commonv1.Level) (id, secret string) {
	t.Helper()
	made, err := d.in(east).Tokens.CreateApiToken(calls(t), &identityv1.CreateApiTokenRequest{
		Organization: organization, Name: level.String(), Level: level, IdempotencyKey: "token-" + organization + level.String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetToken().GetId(), made.GetSecret()
}

func touch(organization, user, key string) *authzv1.WriteRelationshipsRequest {
	return &authzv1.WriteRelationshipsRequest{
		Organization: organization, IdempotencyKey: key,
		Updates: []*authzv1.RelationshipUpdate{meridian.Touch("document:plan", "viewer", user)},
	}
}

// last is the newest event of a log.
func (d deployment) last(t *testing.T, log string) *logv1.Envelope {
	t.Helper()
	stream, err := d.in(east).Logs.TailLog(calls(t), &logv1.TailLogRequest{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var last *logv1.Envelope
	for stream.Receive() {
		last = stream.Msg().GetEnvelope()
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return last
}

func (d deployment) testAsTheCaller(t *testing.T) {
	for _, home := range names() {
		organization := d.organization(t, home, home, "caller-in-"+home)
		id, secret := d.tokenOf(t, organization, commonv1.Level_LEVEL_WRITE)
		for _, through := range names() {
			client := meridian.New(d.Regions[through], secret)
			var revision string
			moved := d.moved(t, "authz", func() { revision = write(t, client, organization, "user:"+through) })
			far := 1
			if through == home {
				far = 0
			}
			if moved(through, "answered") != far || moved(home, "received") != far {
				t.Errorf("from %s to %s: %d answered, %d received, want %d of each",
					through, home, moved(through, "answered"), moved(home, "received"), far)
			}
			allowed(t, client, organization, "user:"+through, revision)
			actor := d.last(t, organization).GetActor()
			if actor.GetKind() != logv1.ActorKind_ACTOR_KIND_API_TOKEN || actor.GetId() != id || actor.GetVia() != "" {
				t.Errorf("from %s to %s: the actor is %v, want the token %s", through, home, actor, id)
			}
		}
	}
}

// Identity's writes go home too, and so do those of the platform's log.
func (d deployment) testIdentityGoesHome(t *testing.T) {
	var organization string
	moved := d.moved(t, "identity", func() {
		created, err := d.in(west).Organizations.CreateOrganization(calls(t), &identityv1.CreateOrganizationRequest{
			Slug: "made-afar", Name: "Made afar", HomeRegion: south, IdempotencyKey: "made-afar",
		})
		if err != nil || created.GetOrganization().GetHomeRegion() != south {
			t.Fatalf("%v, %v", created, err)
		}
		organization = created.GetOrganization().GetId()
		made, err := d.in(west).Tokens.CreateApiToken(calls(t), &identityv1.CreateApiTokenRequest{
			Organization: organization, Name: "far", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: "far-token",
		})
		if err != nil || made.GetSecret() == "" {
			t.Fatalf("the token has no secret: %v", err)
		}
		if _, err := d.in(west).Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
			Organization: organization, HomeRegion: east, IdempotencyKey: "far-move",
		}); err != nil {
			t.Fatal(err)
		}
	})
	if moved(west, "answered") != 3 || moved(south, "received") != 3 {
		t.Errorf("%d answered, %d received, want 3 of each", moved(west, "answered"), moved(south, "received"))
	}
	moved = d.moved(t, "authz", func() {
		if _, err := d.in(west).Models.PublishModel(calls(t), &authzv1.PublishModelRequest{
			Name: "far", Files: []*authzv1.ModelFile{{Path: "model.fga", Content: model}}, IdempotencyKey: "far-model",
		}); err != nil {
			t.Fatal(err)
		}
	})
	if moved(west, "answered") != 1 || moved(east, "received") != 1 {
		t.Errorf("the platform's: %d answered, %d received, want one of each", moved(west, "answered"), moved(east, "received"))
	}
}

// A caller who may not write is refused where it calls; nothing is sent.
func (d deployment) testRightsStay(t *testing.T) {
	organization, other := d.organization(t, east, east, "rights"), d.organization(t, west, west, "rights-of-another")
	_, reader := d.tokenOf(t, organization, commonv1.Level_LEVEL_READ)
	_, stranger := d.tokenOf(t, other, commonv1.Level_LEVEL_ADMIN)
	before := d.last(t, organization).GetSequence()
	moved := d.moved(t, "authz", func() {
		for token, want := range map[string]commonv1.Reason{reader: commonv1.Reason_ACCESS_DENIED, stranger: commonv1.Reason_NOT_FOUND} {
			_, err := meridian.New(d.Regions[west], token).Relationships.WriteRelationships(calls(t), touch(organization, "user:intruder", "rights"))
			if !meridian.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		}
	})
	if moved(west, "answered") != 0 || moved(east, "received") != 0 || d.last(t, organization).GetSequence() != before {
		t.Error("a refused write was sent on, or written")
	}
	// An error of home reaches the caller as it is.
	_, writer := d.tokenOf(t, organization, commonv1.Level_LEVEL_WRITE)
	for _, through := range []string{east, west} {
		_, err := meridian.New(d.Regions[through], writer).Write(calls(t), organization, meridian.Touch("document:plan", "owner", "user:anna"))
		e, ok := meridian.AsError(err)
		if !ok || e.Reason != commonv1.Reason_RELATION_UNKNOWN || e.Meta["field"] != "updates[0].relationship.relation" {
			t.Errorf("through %s: %v", through, err)
		}
	}
}

// A call that was sent on is executed where it arrives, though that is not the
// home: here one that this test sends on to eu-west.
func (d deployment) testNotSentOnAgain(t *testing.T) {
	organization := d.organization(t, east, east, "one-hop")
	key, err := principal.LoadServiceKey(filepath.Join(d.Dir, "regions", "service.key"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Forward("authz", south, authzv1connect.RelationshipServiceName, principal.Principal{
		Kind: principal.APIToken, ID: "tok_of_the_test", Organization: organization, Level: commonv1.Level_LEVEL_WRITE,
	})
	if err != nil {
		t.Fatal(err)
	}
	moved := d.moved(t, "authz", func() {
		if _, err := meridian.New(d.Regions[west], token.Reveal()).Relationships.WriteRelationships(calls(t), touch(organization, "user:hop", "hop")); err != nil {
			t.Fatal(err)
		}
	})
	if moved(west, "received") != 1 || moved(west, "answered") != 0 || moved(east, "received") != 0 {
		t.Errorf("received %d, sent on %d, home received %d; want it executed where it arrived",
			moved(west, "received"), moved(west, "answered"), moved(east, "received"))
	}
	if actor := d.last(t, organization).GetActor(); actor.GetId() != "tok_of_the_test" || actor.GetVia() != "" {
		t.Errorf("the actor is %v", actor)
	}
}

// A region that did not hear of a move sends to the home that was, which executes
// the write from where it is.
func (d deployment) testTheHomeThatWas(t *testing.T) {
	organization := d.organization(t, east, east, "moved-unheard")
	write(t, d.in(south), organization, "user:before") // it knows the home now
	for _, other := range []string{east, west} {
		for _, link := range []harness.Link{d.BusLink(other, south), d.BusLink(south, other)} {
			link.Cut(t)
			defer link.Mend(t)
		}
	}
	if _, err := d.in(east).Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
		Organization: organization, HomeRegion: west, IdempotencyKey: "unheard",
	}); err != nil {
		t.Fatal(err)
	}
	var revision string
	moved := d.moved(t, "authz", func() { revision = write(t, d.in(south), organization, "user:after") })
	if moved(east, "received") != 1 || moved(east, "answered") != 0 || moved(west, "received") != 0 {
		t.Errorf("the home that was received %d and sent on %d, the new one received %d",
			moved(east, "received"), moved(east, "answered"), moved(west, "received"))
	}
	for _, reader := range names() {
		allowed(t, d.in(reader), organization, "user:after", revision)
	}
}

// away makes a region find out that the ways to another one are cut: two writes
// wait in vain, and the next ones do not.
func (d deployment) away(t *testing.T, from, to, organization string) {
	t.Helper()
	d.Calls(from, to).Cut(t)
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			user := fmt.Sprintf("user:waits-%s-%d", from, i)
			if _, err := d.in(from).Relationships.WriteRelationships(ctx, touch(organization, user, user+organization)); err != nil {
				t.Errorf("while the link is cut: %v", err)
			}
		})
	}
	both.Wait()
}

// back mends the way to a region and waits until it is used again.
func (d deployment) back(t *testing.T, from, to, organization string) {
	t.Helper()
	d.Calls(from, to).Mend(t)
	n := 0
	harness.Eventually(t, from+" sends writes to "+to+" again", func() error {
		n++
		moved := d.moved(t, "authz", func() { write(t, d.in(from), organization, fmt.Sprintf("user:again-%d", n)) })
		if moved(from, "answered") != 1 {
			return errNotYet
		}
		return nil
	})
}

// While the link is cut writes are committed by the region that they were sent to,
// and a key stands for the same commit on both ways.
func (d deployment) testCallsCut(t *testing.T) {
	organization := d.organization(t, east, east, "calls-cut")
	do := func(key string) (revision string) {
		answer, err := d.in(west).Relationships.WriteRelationships(calls(t), touch(organization, "user:"+key, key))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return answer.GetRevision()
	}
	sent := do("sent-home")
	moved := d.moved(t, "authz", func() { d.away(t, west, east, organization) })
	if moved(west, "unanswered") != 2 || moved(east, "received") != 0 {
		t.Errorf("%d writes unanswered, %d received", moved(west, "unanswered"), moved(east, "received"))
	}
	before := d.last(t, organization).GetSequence()
	var here string
	moved = d.moved(t, "authz", func() {
		if again := do("sent-home"); again != sent {
			t.Errorf("repeated from here: %q, want %q", again, sent)
		}
		here = do("from-here")
	})
	if moved(west, "unreachable")+moved(west, "unanswered") != 2 || d.last(t, organization).GetSequence() != before+1 {
		t.Errorf("%d unreachable, %d unanswered; head %d, want %d",
			moved(west, "unreachable"), moved(west, "unanswered"), d.last(t, organization).GetSequence(), before+1)
	}
	d.back(t, west, east, organization)
	before = d.last(t, organization).GetSequence()
	moved = d.moved(t, "authz", func() {
		if again := do("from-here"); again != here {
			t.Errorf("repeated at home: %q, want %q", again, here)
		}
	})
	if moved(west, "answered") != 1 || d.last(t, organization).GetSequence() != before {
		t.Error("the repetition was not answered by home, or was written again")
	}
}

// testLatency prints what writes take; the database is as far from each region as
// the organization's home is, as CockroachDB's leaseholders are.
func (d deployment) testLatency(t *testing.T) {
	const many = 9
	table := &strings.Builder{}
	fmt.Fprintf(table, "%-10s %-10s %12s %16s %22s\n", "from", "home", "round trip", "write (median)", "committed from there")
	for _, home := range names() {
		organization := d.organization(t, home, home, "latency-"+home)
		for _, from := range names() {
			way := time.Duration(0)
			if from != home {
				way = d.Calls(from, home).Delay(t)
			}
			d.DatabaseLink(from).Slow(t, max(way, time.Millisecond))
		}
		for _, from := range names() {
			write(t, d.in(from), organization, "user:first")
			took, alone := d.median(t, from, organization, "sent", many), "-"
			if from == home {
				fmt.Fprintf(table, "%-10s %-10s %12s %16v %22s\n", from, home, "-", took, alone)
				continue
			}
			d.away(t, from, home, organization)
			moved := d.moved(t, "authz", func() { alone = d.median(t, from, organization, "alone", 3).String() })
			if moved(from, "answered") != 0 {
				t.Errorf("%s reaches %s over a link that is cut", from, home)
			}
			d.Calls(from, home).Mend(t)
			fmt.Fprintf(table, "%-10s %-10s %12v %16v %22s\n", from, home, 2*d.Calls(from, home).Delay(t), took, alone)
		}
	}
	for _, from := range names() {
		d.DatabaseLink(from).Slow(t, time.Millisecond)
	}
	t.Logf("\n%s", table)
}

// median is that of the times that writes from a region take.
func (d deployment) median(t *testing.T, from, organization, name string, n int) time.Duration {
	t.Helper()
	client := d.in(from)
	took := make([]time.Duration, n)
	for i := range took {
		begun := time.Now()
		write(t, client, organization, fmt.Sprintf("user:%s-%s-%d", name, from, i))
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	return took[n/2].Round(time.Millisecond)
}

// With the services of the home region killed, writes go on from everywhere else.
func (d deployment) testServicesKilled(t *testing.T) {
	organization := d.organization(t, south, south, "services-killed")
	write(t, d.in(west), organization, "user:before")
	d.KillService(t, south, "authz")
	d.KillService(t, south, "identity")
	for i := range 5 {
		user := fmt.Sprintf("user:killed-%d", i)
		allowed(t, d.in(west), organization, user, write(t, d.in(west), organization, user))
	}
	done := d.forwarded(t, west, "authz", "unreachable") + d.forwarded(t, west, "authz", "unanswered")
	if done < 5 {
		t.Errorf("%d writes were committed from %s", done, west)
	}
	if _, err := d.in(west).Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
		Organization: organization, HomeRegion: west, IdempotencyKey: "away-from-there",
	}); err != nil {
		t.Errorf("move away from a region without services: %v", err)
	}
	write(t, d.in(east), organization, "user:moved")
}
