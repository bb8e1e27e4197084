package project_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/relay"
)

// young waits until the replica says that it is fresh.
func young(t *testing.T, a *project.Attachment) {
	t.Helper()
	until(t, "the replica is fresh", func() bool {
		age, known := a.Age()
		return known && age < 400*time.Millisecond
	})
}

func old(t *testing.T, a *project.Attachment) {
	t.Helper()
	until(t, "the replica says that it ages", func() bool {
		age, known := a.Age()
		return known && age > 600*time.Millisecond
	})
}

func TestAgeGrowsWhileTheRelayIsAway(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	f.commit(t, log, 1)
	follower := f.follow(t)
	r := newReplica(t, 0)
	a := follower.Attach(log, 0, r.apply)
	r.wait(a, 1)
	if _, known := a.Age(); known {
		t.Fatal("the age is known before any heartbeat")
	}
	for range 2 {
		stop := f.relay(t)
		young(t, a)
		stop()
		old(t, a)
	}
	// Reading the newest event from the table proves nothing about others.
	f.commit(t, log, 1)
	r.wait(a, 2)
	if age, _ := a.Age(); age < 600*time.Millisecond {
		t.Fatalf("the age went back to %s without a heartbeat", age)
	}
}

func TestAgeOfABusyReplicaGrows(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	f.relay(t)
	follower := f.follow(t)
	blocked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r := newReplica(t, 0)
	f.commit(t, log, 1)
	a := follower.Attach(log, 0, func(ctx context.Context, batch []eventlog.Recorded) error {
		if batch[0].Envelope.GetSequence() == 2 {
			once.Do(func() {
				close(blocked)
				<-goOn
			})
		}
		return r.apply(ctx, batch)
	})
	young(t, a)
	f.commit(t, log, 1)
	<-blocked
	old(t, a) // heartbeats go on, but event 2 is not applied
	close(goOn)
	young(t, a)
}

func TestFollowerSurvivesRestartsOfTheBus(t *testing.T) {
	f := newFixture(t)
	server := serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	f.relay(t)
	follower := f.follow(t)
	log, quietLog := newLog(), newLog()
	f.commit(t, quietLog, 1)
	r, q := newReplica(t, 0), newReplica(t, 0)
	a, b := follower.Attach(log, 0, r.apply), follower.Attach(quietLog, 0, q.apply)
	for n := range uint64(3) {
		f.commit(t, log, 5)
		server.Stop()
		f.commit(t, log, 5)
		r.wait(a, 10*n+10) // from the events table
		server.start(t)
		young(t, a)
		young(t, b)
	}
	f.drained(t)
	f.sound(t, log, 30)
}

func TestFollowerSurvivesTheLossOfTheStream(t *testing.T) {
	f := newFixture(t)
	server := serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	f.relay(t)
	follower := f.follow(t)
	log := newLog()
	f.commit(t, log, 50)
	r := newReplica(t, 0)
	a := follower.Attach(log, 0, r.apply)
	r.wait(a, 50)
	young(t, a)
	server.Stop()
	if err := os.RemoveAll(server.options.StoreDir); err != nil {
		t.Fatal(err)
	}
	f.commit(t, log, 5)
	server.start(t)
	r.wait(a, 55)
	young(t, a)
	f.drained(t)
	until(t, "the stream holds everything again", func() bool {
		end, err := f.bus.End(t.Context(), "LOG_EU")
		return err == nil && end.Sequence >= 55
	})
	f.sound(t, log, 55)
	f.commit(t, log, 1)
	r.wait(a, 56)
}

// What the lost region published last never arrived in the other one. The new
// relay's heartbeats must not make the replica there look fresh without it.
func TestTakeOverDoesNotHideWhatIsMissing(t *testing.T) {
	for name, deaf := range map[string]bool{"heard before": false, "never heard": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			usServer, euServer := serve(t), serve(t)
			us := openBus(t, bus.Config{Region: "us", URL: usServer.URL()})
			f.bus = openBus(t, bus.Config{Region: region, URL: euServer.URL()})
			log := newLog()
			f.commit(t, log, 1)
			far := f.follow(t, func(c *project.Config) { c.Bus, c.LateAfter = us, time.Hour })
			r := newReplica(t, 0)
			a := far.Attach(log, 0, r.apply)
			r.wait(a, 1)
			if !deaf {
				early := bus.Heartbeat{HomeRegion: region, Clock: time.Now(), Stream: "LOG_EU", Created: 1, Sequence: 1, Epoch: 1}
				if err := us.PublishHeartbeat(early); err != nil {
					t.Fatal(err)
				}
			}
			stop := f.relay(t)
			f.commit(t, log, 1)
			f.drained(t)
			stop()
			f.relay(t, func(c *relay.Config) { c.Bus = us })
			young(t, a)
			if a.Sequence() != 2 {
				t.Fatalf("the replica says that it is fresh, at event %d of 2", a.Sequence())
			}
		})
	}
}

// Another region relays for the lost one, into its own stream.
func TestAnotherRegionTakesOver(t *testing.T) {
	f := newFixture(t)
	server := serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	us := openBus(t, bus.Config{Region: "us", URL: server.URL(), Mirrors: []string{region}})
	stop := f.relay(t)
	far := f.follow(t, func(c *project.Config) { c.Bus = us })
	log := newLog()
	f.commit(t, log, 3)
	r := newReplica(t, 0)
	a := far.Attach(log, 0, r.apply)
	r.wait(a, 3)
	young(t, a)
	stop()
	old(t, a)
	f.relay(t, func(c *relay.Config) { c.Bus = us })
	f.commit(t, log, 3)
	r.wait(a, 6)
	young(t, a)
	fresh := newReplica(t, 0)
	fresh.wait(far.Attach(log, 0, fresh.apply), 6)
	v := &eventlog.Verifier{Store: f.store, Copy: us.Copy()}
	if result, err := v.Verify(t.Context(), log, nil); err != nil || result.Difference != nil || result.Pending != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
}
