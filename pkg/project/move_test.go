package project_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/relay"
)

// twoRegions has the relay of eu running, and a follower in us that asks the
// events table for nothing that comes late.
func twoRegions(t *testing.T) (f *fixture, us *bus.Bus, far *project.Follower, stop func()) {
	t.Helper()
	f = newFixture(t)
	server := serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	us = openBus(t, bus.Config{Region: "us", URL: server.URL(), Mirrors: []string{region}})
	stop = f.relay(t)
	far = f.follow(t, func(c *project.Config) { c.Bus, c.LateAfter = us, time.Hour })
	return f, us, far, stop
}

// published waits until the streams of a region have all events of a log but
// those that wait in outboxes, which are so many.
func (f *fixture) published(t *testing.T, b *bus.Bus, log string, waiting uint64) {
	t.Helper()
	v := &eventlog.Verifier{Store: f.store, Copy: b.Copy()}
	until(t, "the streams have the log", func() bool {
		result, err := v.Verify(t.Context(), log, nil)
		return err == nil && result.Difference == nil && result.Pending == waiting
	})
}

// claim is the clock up to which the replica says that it is complete, or a
// little less.
func claim(a *project.Attachment) time.Time {
	now := time.Now()
	age, known := a.Age()
	if !known {
		return time.Time{}
	}
	return now.Add(-age)
}

// Once a log has moved, its old home's heartbeats say nothing of what follows.
func TestAgeAfterAMove(t *testing.T) {
	f, us, far, _ := twoRegions(t)
	log, stays := newLog(), newLog()
	f.commit(t, log, 3)
	f.commit(t, stays, 1)
	r, q := newReplica(t, 0), newReplica(t, 0)
	a, b := far.Attach(log, 0, r.apply), far.Attach(stays, 0, q.apply)
	r.wait(a, 3)
	young(t, a)
	f.move(t, log, "us")
	until(t, "the old home's relay has published the move", func() bool { return a.Sequence() == 4 })
	f.commit(t, log, 1)
	committed := time.Now()
	old(t, a)
	young(t, b) // the control: heartbeats of the old home go on
	if claimed := claim(a); claimed.After(committed) || a.Sequence() != 4 {
		t.Fatalf("the replica has %d of 5 events, and says that it is complete %s after the last", a.Sequence(), claimed.Sub(committed))
	}
	f.relay(t, func(c *relay.Config) { c.Bus, c.Region = us, "us" })
	r.wait(a, 5)
	young(t, a)
	f.published(t, us, log, 0)
}

// A replica that is busy holds a heartbeat of the old home when it applies the
// move, from after the commit of an event that it lacks.
func TestHeartbeatFromBeforeAMoveDoesNotCount(t *testing.T) {
	f, us, far, _ := twoRegions(t)
	log, stays := newLog(), newLog()
	f.commit(t, log, 1)
	f.commit(t, stays, 1)
	r, q := newReplica(t, 0), newReplica(t, 0)
	blocked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	a := far.Attach(log, 0, func(ctx context.Context, batch []eventlog.Recorded) error {
		if batch[0].Envelope.GetSequence() == 2 {
			once.Do(func() {
				close(blocked)
				<-goOn
			})
		}
		return r.apply(ctx, batch)
	})
	b := far.Attach(stays, 0, q.apply)
	young(t, a)
	f.commit(t, log, 1)
	<-blocked
	f.move(t, log, "us")
	f.drained(t)
	f.commit(t, log, 1)
	committed := time.Now()
	until(t, "a heartbeat from after the last commit counts", func() bool { return claim(b).After(committed) })
	close(goOn)
	until(t, "the move is applied", func() bool { return a.Sequence() == 3 })
	old(t, a)
	if claimed := claim(a); claimed.After(committed) || a.Sequence() != 3 {
		t.Fatalf("the replica has %d of 4 events, and says that it is complete %s after the last", a.Sequence(), claimed.Sub(committed))
	}
	f.relay(t, func(c *relay.Config) { c.Bus, c.Region = us, "us" })
	r.wait(a, 4)
	young(t, a)
}

// What the new home's relay publishes comes before the event that moved the log,
// which waits for the old home's relay.
func TestMoveWhileTheOldRelayIsAway(t *testing.T) {
	f, us, far, stop := twoRegions(t)
	log, before := newLog(), newLog()
	f.commit(t, log, 3)
	f.commit(t, before, 1)
	f.move(t, before, "us")
	f.relay(t, func(c *relay.Config) { c.Bus, c.Region = us, "us" })
	r, q := newReplica(t, 0), newReplica(t, 0)
	a, b := far.Attach(log, 0, r.apply), far.Attach(before, 0, q.apply)
	r.wait(a, 3)
	q.wait(b, 2)
	young(t, b) // heartbeats of the new home are heard
	f.drained(t)
	stop()
	f.move(t, log, "us")
	f.commit(t, log, 2)
	r.wait(a, 6)
	young(t, a)
	f.published(t, us, log, 1)
	f.relay(t)
	f.drained(t)
	fresh := newReplica(t, 0)
	fresh.wait(far.Attach(log, 0, fresh.apply), 6)
}
