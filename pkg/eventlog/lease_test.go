package eventlog_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func (f fixture) acquire(t testing.TB, holder string, ttl time.Duration) (bool, uint64) {
	t.Helper()
	held, epoch, err := f.Acquire(t.Context(), region, holder, ttl, true)
	if err != nil {
		t.Fatal(err)
	}
	return held, epoch
}

func TestLease(t *testing.T) {
	t.Parallel()
	// The process's clock is far off: only the database's counts.
	f := newFixture(t, func(c *eventlog.Config) {
		c.Clock = func() time.Time { return time.Now().Add(1000 * time.Hour) }
	})
	expire := func() {
		f.exec(t, "UPDATE log.relay_leases SET expires_at = clock_timestamp() - INTERVAL '1 second'")
	}
	release := func(holder string) {
		if err := f.Release(t.Context(), region, holder); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name   string
		before func()
		holder string
		held   bool
		epoch  uint64
	}{
		{"free", nil, "a", true, 1},
		{"held by another", nil, "b", false, 0},
		{"own: extended", nil, "a", true, 1},
		{"own, over: extended", expire, "a", true, 1},
		{"over", expire, "b", true, 2},
		{"taken", nil, "a", false, 0},
		{"a release of another's", func() { release("a") }, "a", false, 0},
		{"released", func() { release("b") }, "a", true, 3},
		{"released and taken again", func() { release("a") }, "a", true, 3},
	} {
		if step.before != nil {
			step.before()
		}
		if held, epoch := f.acquire(t, step.holder, time.Minute); held != step.held || epoch != step.epoch {
			t.Fatalf("%s: held %v, epoch %d", step.name, held, epoch)
		}
	}
	if held, epoch, err := f.Acquire(t.Context(), "us", "b", time.Minute, true); !held || epoch != 1 || err != nil {
		t.Errorf("another region: %v, %d, %v", held, epoch, err)
	}
}

// A relay of another region takes the lease of a lost region, and lets go of it
// when one of the region itself is back.
func TestLeaseGoesHome(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expire := func() {
		f.exec(t, "UPDATE log.relay_leases SET expires_at = clock_timestamp() - INTERVAL '1 second'")
	}
	for _, step := range []struct {
		name   string
		before func()
		holder string
		home   bool
		held   bool
		epoch  uint64
	}{
		{name: "free", holder: "home", home: true, held: true, epoch: 1},
		{name: "another region stands by", holder: "far"},
		{name: "home is lost", before: expire, holder: "far", held: true, epoch: 2},
		{name: "it stays lost", holder: "far", held: true, epoch: 2},
		{name: "home is back and waits", holder: "home", home: true},
		{name: "no extension while home waits", holder: "far"},
		{name: "nor by a third region", before: expire, holder: "third"},
		{name: "home has it", holder: "home", home: true, held: true, epoch: 3},
		{name: "home is lost again, and waits no more", before: func() {
			expire()
			f.exec(t, "UPDATE log.relay_leases SET home_waits_until = clock_timestamp()")
		}, holder: "third", held: true, epoch: 4},
	} {
		if step.before != nil {
			step.before()
		}
		held, epoch, err := f.Acquire(t.Context(), region, step.holder, time.Minute, step.home)
		if err != nil || held != step.held || epoch != step.epoch {
			t.Fatalf("%s: held %v, epoch %d, %v", step.name, held, epoch, err)
		}
	}
}

func TestLeaseIsTakenByOneOfMany(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for want := uint64(1); want <= 3; want++ {
		var holders atomic.Int32
		inParallel(t, 8, func(ctx context.Context, worker int) error {
			// A new name each time: a change of holder.
			held, epoch, err := f.Acquire(ctx, region, string(rune('a'+worker))+string(rune('0'+want)), time.Minute, true)
			if held {
				holders.Add(1)
				if epoch != want {
					t.Errorf("epoch %d, want %d", epoch, want)
				}
			}
			return err
		})
		if holders.Load() != 1 {
			t.Errorf("%d holders", holders.Load())
		}
		f.exec(t, "UPDATE log.relay_leases SET expires_at = clock_timestamp()")
	}
}

func TestLeaseRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		region, holder string
		ttl            time.Duration
	}{{"", "a", time.Second}, {region, "", time.Second}, {region, "a", 0}, {region, "a", -1}, {region, "a", 2 * time.Hour}} {
		_, _, err := f.Acquire(t.Context(), c.region, c.holder, c.ttl, true)
		wantReason(t, err, commonv1.Reason_INVALID_FIELD)
	}
}
