package bus_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/id"
)

func TestSince(t *testing.T) {
	t.Parallel()
	b := open(t)
	stream := bus.StreamName(region)
	since := func(at time.Time) (before, end uint64) {
		t.Helper()
		from, to, err := b.Since(t.Context(), stream, at)
		if err != nil {
			t.Fatal(err)
		}
		if from.Created == 0 || from.Created != to.Created || from.Stream != stream {
			t.Errorf("from %+v to %+v", from, to)
		}
		return from.Sequence, to.Sequence
	}
	if before, end := since(time.Now().Add(-time.Hour)); before != 0 || end != 0 {
		t.Errorf("an empty stream: %d to %d", before, end)
	}
	events := chain(t, id.New(id.Organization), 6)
	for _, e := range events[:3] {
		if _, err := b.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	middle := time.Now()
	for _, e := range events[3:] {
		if _, err := b.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		at     time.Time
		before uint64
	}{
		"all": {middle.Add(-time.Hour), 0}, "those after": {middle, 3}, "none": {time.Now().Add(time.Hour), 6},
	} {
		if before, end := since(tc.at); before != tc.before || end != 6 {
			t.Errorf("%s: after %d to %d, want after %d to 6", name, before, end, tc.before)
		}
	}
	if _, _, err := b.Since(t.Context(), "LOG_NOWHERE", middle); err == nil {
		t.Error("a stream that there is not")
	}
}
