package feed_test

import (
	"context"
	"log/slog"
	"math"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/accesstoken/feed"
	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

const (
	eu = "eu-west"
	us = "us-east"
	// patience is how long a test waits for what must happen.
	patience = 20 * time.Second
)

// world is a server with the streams of one or two regions, and what a relay does.
type world struct {
	t   *testing.T
	bus *bus.Bus
	log string // of an organization
	// head is the last event of it.
	head eventlog.Recorded
}

func open(t *testing.T, mirrors ...string) *world {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Region: eu, StoreDir: t.TempDir(), Mirrors: mirrors}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &world{t: t, bus: b, log: id.New(id.Organization)}
}

// happens publishes an event that was committed at a time.
func (w *world) happens(at time.Time, event proto.Message) {
	w.t.Helper()
	data, err := proto.Marshal(event)
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish(at, string(event.ProtoReflect().Descriptor().FullName()), data)
}

func (w *world) publish(at time.Time, typ string, data []byte) {
	w.t.Helper()
	e, err := eventlog.Encode(&logv1.Envelope{
		Log: w.log, Sequence: w.head.Envelope.GetSequence() + 1, Type: typ, Data: data,
		Actor: &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "root"},
		Time:  timestamppb.New(at.UTC().Truncate(time.Microsecond)), PreviousHash: w.head.Hash[:], Region: eu,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.until("the bus takes it", func() bool { // what runs when a bus comes back is cut off
		_, err := w.bus.Publish(w.t.Context(), e)
		return err == nil
	})
	w.head = e
}

// beat says, as a relay does, that everything is published that was committed until now.
func (w *world) beat(home string, epoch uint64) {
	w.t.Helper()
	w.beatAt(home, epoch, w.end(eu).Sequence)
}

func (w *world) beatAt(home string, epoch, sequence uint64) {
	w.t.Helper()
	end := w.end(eu)
	end.Sequence = sequence
	w.send(home, epoch, end)
}

// beatFrom is beat, of a relay in another region.
func (w *world) beatFrom(region, home string, epoch uint64) {
	w.t.Helper()
	w.send(home, epoch, w.end(region))
}

// end is where the stream of a region ends.
func (w *world) end(region string) (end bus.Position) {
	w.t.Helper()
	w.until("the bus says where the stream ends", func() bool {
		var err error
		end, err = w.bus.End(w.t.Context(), bus.StreamName(region))
		return err == nil
	})
	return end
}

func (w *world) send(home string, epoch uint64, end bus.Position) {
	w.t.Helper()
	if err := w.bus.PublishHeartbeat(bus.Heartbeat{
		HomeRegion: home, Clock: time.Now(), Stream: end.Stream, Created: end.Created, Sequence: end.Sequence, Epoch: epoch,
	}); err != nil {
		w.t.Fatal(err)
	}
}

// reader is a process that follows.
type reader struct {
	*feed.Feed
	deny  *accesstoken.Deny
	stats *prometheus.Registry
}

func (w *world) follow() *reader {
	w.t.Helper()
	r := &reader{deny: accesstoken.NewDeny(nil), stats: prometheus.NewRegistry()}
	r.Feed = feed.New(feed.Config{Bus: w.bus, Deny: r.deny, Metrics: r.stats})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	return r
}

// fresh waits, with heartbeats, until the reader says that it knows all until now.
func (w *world) fresh(r *reader) {
	w.t.Helper()
	began := time.Now()
	w.until("what was taken back is known", func() bool {
		w.beat(eu, 1)
		age, known := r.Age()
		return known && time.Now().Add(-age).After(began)
	})
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for over := time.After(patience); !ok(); {
		select {
		case <-ticker.C:
		case <-over:
			w.t.Fatalf("not in time: %s", what)
		}
	}
}

// denies says whether tokens of a session are refused that was there until now.
func (r *reader) denies(session string) bool {
	return r.deny.Check(accesstoken.Claims{Session: session, IssuedAt: time.Now().Unix() + 1}, "k")
}

func TestRevocationsAreEnforced(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.follow()
	if _, known := r.Age(); known {
		t.Error("the age is known before any heartbeat")
	}
	w.fresh(r)
	if r.denies("ses_1") {
		t.Error("denied before it was revoked")
	}
	w.happens(time.Now(), &sessionsv1.SessionRevoked{Session: "ses_1"})
	w.happens(time.Now(), &identityv1.OrganizationRenamed{Name: "x"})
	w.until("the revocation is enforced", func() bool { return r.denies("ses_1") })
	if h := r.metric(t, "meridian_revocation_enforced_seconds").GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() > 1 {
		t.Errorf("%v", h)
	}
	if n := r.metric(t, "meridian_revocation_entries").GetGauge().GetValue(); n != 1 {
		t.Errorf("%v entries", n)
	}
}

// A process that starts knows all that still matters before it says that it knows
// anything.
func TestRestartForgetsNothing(t *testing.T) {
	t.Parallel()
	w := open(t)
	const events = 700
	w.happens(time.Now().Add(-accesstoken.MaxLife), &sessionsv1.SessionRevoked{Session: "ses_old"})
	w.happens(time.Now().Add(-2*accesstoken.Keep), &sessionsv1.SessionRevoked{Session: "ses_over"})
	for range events {
		w.happens(time.Now(), &identityv1.OrganizationRenamed{Name: "x"})
	}
	w.happens(time.Now(), &sessionsv1.SessionRevoked{Session: "ses_new"})
	w.beat(eu, 1)
	r := w.follow()
	w.until("it says that it is complete", func() bool {
		_, known := r.Age()
		if !known {
			w.beat(eu, 1)
		}
		return known
	})
	if !r.denies("ses_old") || !r.denies("ses_new") || r.denies("ses_over") {
		t.Errorf("old %t, new %t, over %t", r.denies("ses_old"), r.denies("ses_new"), r.denies("ses_over"))
	}
	if n := r.metric(t, "meridian_revocation_enforced_seconds").GetHistogram().GetSampleCount(); n != 0 {
		t.Errorf("%d old revocations are measured as if they had just come", n)
	}
}

// Each heartbeat is a canary: what is read late is measured late, and nothing is measured
// before it was read.
func TestCanary(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.follow()
	w.fresh(r)
	measured := func() float64 {
		m := r.metric(t, "meridian_revocation_canary_seconds")
		if got := m.GetLabel()[0].GetValue(); got != eu {
			t.Errorf("the region is %q", got)
		}
		return m.GetHistogram().GetSampleSum()
	}
	const late = 300 * time.Millisecond
	before := measured()
	w.beatAt(eu, 1, w.end(eu).Sequence+1) // of an event that is on its way
	sent := time.Now()                    // at the latest
	w.until("it is late", func() bool { return time.Since(sent) > late })
	if got := measured() - before; got >= late.Seconds() {
		t.Errorf("%v s are measured of what was not read", got)
	}
	w.happens(time.Now(), &sessionsv1.SessionRevoked{Session: "ses_1"})
	w.until("the late one is measured", func() bool { return measured()-before >= late.Seconds() })
	if !r.denies("ses_1") {
		t.Error("it is measured, and not enforced")
	}
}

// A token that was made while the commit went on, by somebody who could not see it yet,
// is refused; one that was made after it is not.
func TestMadeDuringTheCommit(t *testing.T) {
	t.Parallel()
	w := open(t)
	began := time.Now()
	slow, old, live := id.New(id.User), id.New(id.User), id.New(id.User)
	w.happens(began.Add(-5*time.Second), &identityv1.UserSuspended{User: slow})
	w.happens(began.Add(-2*time.Minute), &identityv1.UserSuspended{User: old}) // the stream was made anew
	r := w.follow()
	w.fresh(r)
	w.happens(time.Now().Add(-5*time.Second), &identityv1.UserSuspended{User: live})
	made := func(user string, at time.Time) accesstoken.Claims {
		return accesstoken.Claims{Subject: user, IssuedAt: at.Unix()}
	}
	w.until("it is enforced", func() bool { return r.deny.Check(made(live, began.Add(-time.Minute)), "k") })
	for name, tc := range map[string]struct {
		user   string
		at     time.Time
		denied bool
	}{
		"during it":                      {slow, began.Add(-2 * time.Second), true},
		"during it, as it comes":         {live, began.Add(-2 * time.Second), true},
		"after it":                       {slow, time.Now().Add(2 * time.Second), false},
		"after it, as it comes":          {live, time.Now().Add(2 * time.Second), false},
		"before what is published again": {old, began.Add(-2 * time.Minute), true},
		"long after it":                  {old, began.Add(-time.Minute), false},
	} {
		if got := r.deny.Check(made(tc.user, tc.at), "k"); got != tc.denied {
			t.Errorf("a token that was made %s: denied %t", name, got)
		}
	}
}

// What a heartbeat speaks of must have been read before it counts, and without
// heartbeats what is known ages.
func TestAge(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.follow()
	w.fresh(r)
	last := time.Now()
	end, err := w.bus.End(t.Context(), bus.StreamName(eu))
	if err != nil {
		t.Fatal(err)
	}
	w.until("it ages", func() bool {
		w.beatAt(eu, 1, end.Sequence+1) // of an event that is on its way
		age, known := r.Age()
		return known && age > 200*time.Millisecond && time.Now().Add(-age).Before(last)
	})
	w.happens(time.Now(), &identityv1.OrganizationRenamed{Name: "x"})
	w.until("it is fresh again", func() bool {
		age, _ := r.Age()
		return time.Now().Add(-age).After(last)
	})
}

// An event that cannot be read may be a revocation.
func TestUnreadableEventsEndAll(t *testing.T) {
	t.Parallel()
	w := open(t)
	r := w.follow()
	w.fresh(r)
	of := func(organization string) bool {
		return r.deny.Check(accesstoken.Claims{Organization: organization, IssuedAt: time.Now().Unix() - 1}, "k")
	}
	w.publish(time.Now(), "meridian.authz.event.v9.Invented", nil)
	w.happens(time.Now(), &identityv1.OrganizationRenamed{Name: "x"})
	w.fresh(r)
	if of(w.log) {
		t.Error("an event of authz takes something back")
	}
	w.publish(time.Now(), "meridian.sessions.event.v1.Invented", []byte("?"))
	w.until("tokens of the organization are refused", func() bool { return of(w.log) })
	if of(id.New(id.Organization)) {
		t.Error("tokens of another are")
	}
	if n := r.metric(t, "meridian_revocation_unread_total").GetCounter().GetValue(); n != 1 {
		t.Errorf("%v", n)
	}
}

// Where a region is lost, and its stream with it, what it revoked last is not known:
// tokens that were made until then are refused.
func TestLostRegion(t *testing.T) {
	t.Parallel()
	w := open(t, us) // whose stream there is not
	r := w.follow()
	w.beat(eu, 1)
	if age := r.metric(t, "meridian_revocation_age_seconds").GetGauge().GetValue(); age != math.Inf(1) {
		t.Errorf("one region of two is known, and the age is %v", age)
	}
	made := time.Now().Unix()
	later := accesstoken.Claims{IssuedAt: time.Now().Add(time.Hour).Unix()}
	if r.deny.Check(accesstoken.Claims{IssuedAt: made}, "k") {
		t.Error("refused before the region moved")
	}
	w.until("all is known with the other region's relay here", func() bool {
		w.beat(eu, 1)
		w.beat(us, 2)
		_, known := r.Age()
		return known
	})
	if !r.deny.Check(accesstoken.Claims{IssuedAt: made}, "k") || r.deny.Check(later, "k") {
		t.Error("tokens are taken that may have been revoked, or none is")
	}
}

// A relay that takes over while the stream before is there costs nobody a token. It
// counts once that stream was read to its end.
func TestRegionThatMoved(t *testing.T) {
	t.Parallel()
	server, err := bus.Serve(bus.ServerOptions{StoreDir: t.TempDir(), Name: "test", Embedded: bus.Embedded{User: "u", Password: "p"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	far := &world{t: t, log: id.New(id.Organization)}
	w := &world{t: t, log: id.New(id.Organization)}
	for b, c := range map[**bus.Bus]bus.Config{&far.bus: {Region: us}, &w.bus: {Region: eu}} {
		c.URL = server.URL()
		if c.Region == eu {
			c.Mirrors = []string{us}
		}
		if *b, err = bus.Open(t.Context(), c, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup((*b).Close)
	}
	r := w.follow()
	far.happens(time.Now(), &sessionsv1.SessionRevoked{Session: "ses_far"})
	began := time.Now()
	made := accesstoken.Claims{IssuedAt: began.Unix()}
	for epoch := range uint64(3) {
		w.until("all is known", func() bool {
			w.beat(eu, 1)
			if epoch == 1 { // the relay of the other region publishes here
				w.beat(us, 2)
			} else {
				far.beatFrom(us, us, epoch+1)
				w.beatFrom(eu, us, epoch) // one that is over, and counts no more
			}
			age, known := r.Age()
			return known && time.Now().Add(-age).After(began)
		})
		if !r.denies("ses_far") || r.deny.Check(made, "k") {
			t.Fatalf("epoch %d: denied %t, all denied %t", epoch, r.denies("ses_far"), r.deny.Check(made, "k"))
		}
		began = time.Now()
	}
}

// A bus that was away is read on, and age tells meanwhile.
func TestBusThatWasAway(t *testing.T) {
	t.Parallel()
	options := bus.ServerOptions{StoreDir: t.TempDir(), Name: "test", Embedded: bus.Embedded{User: "u", Password: "p"}}
	quiet := slog.New(slog.DiscardHandler)
	server, err := bus.Serve(options, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	at, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	if options.Embedded.Port, err = strconv.Atoi(at.Port()); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, log: id.New(id.Organization)}
	if w.bus, err = bus.Open(t.Context(), bus.Config{Region: eu, URL: server.URL()}, quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.bus.Close)
	r := w.follow()
	w.happens(time.Now(), &sessionsv1.SessionRevoked{Session: "ses_1"})
	w.fresh(r)
	server.Stop()
	w.until("it ages", func() bool {
		age, _ := r.Age()
		return age > 100*time.Millisecond
	})
	if server, err = bus.Serve(options, quiet); err != nil {
		t.Fatal(err)
	}
	w.until("the bus is back", func() bool { return w.bus.Ready(t.Context()) == nil })
	w.happens(time.Now(), &sessionsv1.SessionRevoked{Session: "ses_2"})
	w.fresh(r)
	if !r.denies("ses_1") || !r.denies("ses_2") {
		t.Errorf("before %t, after %t", r.denies("ses_1"), r.denies("ses_2"))
	}
}

func (r *reader) metric(t *testing.T, name string) *dto.Metric {
	t.Helper()
	families, err := r.stats.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0]
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}
