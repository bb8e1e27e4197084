package bus_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

var month = bus.ActivityLimits{MaxAge: 720 * time.Hour, MaxBytes: 1 << 20}

// activities writes n messages, 1, 2, 3, … and returns their ids.
func activities(t *testing.T, b *bus.Bus, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, id.New(id.Activity))
		if err := b.PublishActivity(t.Context(), "sessions", "RequestRefused", ids[i], []byte(fmt.Sprint(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func span(t *testing.T, b *bus.Bus, since time.Time) bus.Span {
	t.Helper()
	s, err := b.ActivitySpan(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestActivityIsReadFromItsEnd(t *testing.T) {
	b := open(t)
	if got := span(t, b, time.Time{}); got.End != 0 {
		t.Errorf("without a stream the span is %+v", got)
	}
	if err := b.EnsureActivity(t.Context(), month); err != nil {
		t.Fatal(err)
	}
	if got := span(t, b, time.Time{}); got.End > got.First {
		t.Errorf("of an empty stream the span is %+v", got)
	}
	ids := activities(t, b, 600)
	if err := b.PublishActivity(t.Context(), "sessions", "RequestRefused", ids[599], []byte("again")); err != nil {
		t.Fatal(err)
	}
	rest := span(t, b, time.Time{})
	if rest != (bus.Span{First: 1, End: 601}) {
		t.Fatalf("the span is %+v", rest)
	}
	for want := 600; want > 0; {
		var messages []bus.Message
		var err error
		if messages, rest, err = b.ActivityBefore(t.Context(), rest); err != nil || len(messages) == 0 {
			t.Fatalf("%d messages before %d, %v", len(messages), want, err)
		}
		for _, m := range slices.Backward(messages) {
			if string(m.Bytes) != fmt.Sprint(want) || m.Sequence != uint64(want) {
				t.Fatalf("message %d is %q, want %d", m.Sequence, m.Bytes, want)
			}
			want--
		}
	}
	if messages, _, err := b.ActivityBefore(t.Context(), rest); err != nil || len(messages) != 0 {
		t.Errorf("%d messages before the first, %v", len(messages), err)
	}
}

func TestActivitySince(t *testing.T) {
	b := open(t)
	if err := b.EnsureActivity(t.Context(), month); err != nil {
		t.Fatal(err)
	}
	activities(t, b, 3)
	js, err := jetstream.New(b.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), bus.ActivityName(region))
	if err != nil {
		t.Fatal(err)
	}
	second, err := stream.GetMsg(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	for since, want := range map[time.Time]bus.Span{
		second.Time.Add(-time.Hour): {First: 1, End: 4},
		second.Time:                 {First: 2, End: 4},
		second.Time.Add(time.Hour):  {First: 4, End: 4},
	} {
		if got := span(t, b, since); got != want {
			t.Errorf("since %v: %+v, want %+v", since, got, want)
		}
	}
}

// What is over the limit goes, and what is left is read: a reader who comes with an old
// place is given what there is.
func TestActivityIsBounded(t *testing.T) {
	b := open(t)
	if err := b.EnsureActivity(t.Context(), bus.ActivityLimits{MaxAge: time.Hour, MaxBytes: 20_000}); err != nil {
		t.Fatal(err)
	}
	activities(t, b, 300)
	left := span(t, b, time.Time{})
	if left.End != 301 || left.First <= 1 || left.First >= 300 {
		t.Fatalf("the span is %+v", left)
	}
	messages, _, err := b.ActivityBefore(t.Context(), bus.Span{First: 1, End: 301})
	if err != nil || uint64(len(messages)) != left.End-left.First || messages[0].Sequence != left.First {
		t.Errorf("%d messages of %+v, %v", len(messages), left, err)
	}
	if messages, _, err = b.ActivityBefore(t.Context(), bus.Span{First: 1, End: left.First}); err != nil || len(messages) != 0 {
		t.Errorf("%d messages of those that went, %v", len(messages), err)
	}
	// An existing stream stays as it is.
	if err := b.EnsureActivity(t.Context(), month); err != nil {
		t.Error(err)
	}
}

func TestActivityWithoutServer(t *testing.T) {
	server := serve(t)
	b := open(t, func(c *bus.Config) { c.URL = server.URL() })
	server.Stop()
	_, err := b.ActivitySpan(t.Context(), time.Time{})
	for what, err := range map[string]error{
		"make": b.EnsureActivity(t.Context(), month), "publish": b.PublishActivity(t.Context(), "sessions", "RequestRefused", "1", nil), "read": err,
	} {
		if !fault.Is(err, commonv1.Reason_BUS_UNAVAILABLE) {
			t.Errorf("%s: got %v, want BUS_UNAVAILABLE", what, err)
		}
	}
}
