package eventlog_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/eventlog"
)

func TestFill(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, found, err := f.Fill(t.Context(), region, "LOG"); found || err != nil {
		t.Errorf("before the first: %v, %v", found, err)
	}
	for _, want := range []eventlog.Fill{{"LOG", 7, 90}, {"LOG", 8, 3}, {"OTHER", 1, 1}} {
		if err := f.RecordFill(t.Context(), region, want); err != nil {
			t.Fatal(err)
		}
		if got, found, err := f.Fill(t.Context(), region, want.Stream); got != want || !found || err != nil {
			t.Errorf("%+v, %v, %v; want %+v", got, found, err, want)
		}
	}
	if _, found, err := f.Fill(t.Context(), "us", "LOG"); found || err != nil {
		t.Errorf("another region: %v, %v", found, err)
	}
}

// Only who holds the lease may mark, and only for the stream that was filled.
func TestMarkPublishedIsFenced(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mustAppend(t, newLog(), 0, named("x"))
	pending, _ := f.outbox(t, 10)
	right, err := f.publisher(t.Context(), region)
	if err != nil {
		t.Fatal(err)
	}
	right.Fill.Sequence = 5
	for name, change := range map[string]func(*eventlog.Publisher){
		"holder":  func(p *eventlog.Publisher) { p.Holder = "other" },
		"epoch":   func(p *eventlog.Publisher) { p.Epoch++ },
		"stream":  func(p *eventlog.Publisher) { p.Fill.Stream = "OTHER" },
		"created": func(p *eventlog.Publisher) { p.Fill.Created++ },
	} {
		wrong := right
		change(&wrong)
		if marked, err := f.MarkPublished(t.Context(), region, wrong, pending); marked || err != nil || f.count(t, "outbox") != 1 {
			t.Errorf("another %s: %v, %v, %d left", name, marked, err, f.count(t, "outbox"))
		}
	}
	f.exec(t, "UPDATE log.relay_leases SET expires_at = $1", time.Now().Add(-time.Minute))
	if marked, err := f.MarkPublished(t.Context(), region, right, pending); marked || err != nil || f.count(t, "outbox") != 1 {
		t.Errorf("after the lease: %v, %v", marked, err)
	}
	f.exec(t, "UPDATE log.relay_leases SET expires_at = $1", time.Now().Add(time.Minute))
	if marked, err := f.MarkPublished(t.Context(), region, right, pending); !marked || err != nil || f.count(t, "outbox") != 0 {
		t.Errorf("the right one: %v, %v", marked, err)
	}
	if got, _, err := f.Fill(t.Context(), region, "LOG"); got != right.Fill || err != nil {
		t.Errorf("noted %+v, %v; want %+v", got, err, right.Fill)
	}
}
