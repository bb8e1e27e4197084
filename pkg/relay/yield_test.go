package relay_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/relay"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// A region whose stream takes no writes is relayed by another, and gets its lease
// back when it does again.
func TestRelayLeavesItsLeaseWhenItsBusFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	var full atomic.Bool
	home := f.config("home")
	home.Lease, home.Yield = 200*time.Millisecond, 100*time.Millisecond
	home.Hooks.BeforePublish = func(eventlog.Recorded) error {
		if full.Load() {
			return fault.New(fault.Unavailable, commonv1.Reason_BUS_UNAVAILABLE, "the disk is full")
		}
		return nil
	}
	run(t, relay.New(home))
	f.commit(t, log, 3)
	f.drained(t)

	full.Store(true)
	f.commit(t, log, 3)
	far := openBus(t, bus.Config{Region: "us", StoreDir: t.TempDir()})
	stands := f.config("stands by")
	stands.Bus, stands.Lease = far, home.Lease
	run(t, relay.New(stands))
	f.drained(t)
	if last, _, err := far.Last(t.Context(), log); err != nil || last != 6 {
		t.Errorf("the other region published up to %d, %v", last, err)
	}
	if last, _, err := f.bus.Last(t.Context(), log); err != nil || last != 3 {
		t.Errorf("the home region published up to %d, %v", last, err)
	}

	full.Store(false)
	until(t, "the home region publishes again", func() bool {
		f.commit(t, log, 1)
		f.drained(t)
		head, err := f.store.Head(t.Context(), f.db.Pool(), log)
		if err != nil {
			t.Fatal(err)
		}
		last, _, err := f.bus.Last(t.Context(), log)
		return err == nil && last == head.Sequence
	})
}

// Alone, it tries for ever.
func TestRelayKeepsItsLeaseWhenThereIsNoOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var failures atomic.Int32
	alone := f.config("alone")
	alone.Lease = 100 * time.Millisecond
	alone.Hooks.BeforePublish = func(eventlog.Recorded) error {
		if failures.Add(1) < 4 {
			return fault.New(fault.Unavailable, commonv1.Reason_BUS_UNAVAILABLE, "the disk is full")
		}
		return nil
	}
	run(t, relay.New(alone))
	f.commit(t, newLog(), 1)
	f.drained(t)
}
