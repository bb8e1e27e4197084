package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/budget"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/lanes"
	"github.com/meridian-iam/meridian/services/authz/internal/pinned"
)

// lookups are those of one test, on a view at sequence 7.
func lookups(t *testing.T) (*Lookups, *authzcore.View) {
	t.Helper()
	names := authzcore.NewNames()
	model, err := authzcore.Compile(names, []authzcore.File{{Path: "m.fga", Content: "model\n  schema 1.1\ntype user\n"}})
	if err != nil {
		t.Fatal(err)
	}
	graph := authzcore.NewGraph(names)
	if err := graph.ApplyBatch([]authzcore.Applied{{Sequence: 7, Model: model}}); err != nil {
		t.Fatal(err)
	}
	return &Lookups{
		Clock: time.Now, Lanes: lanes.New(lanes.Config{Running: 1, RunningEach: 1, Present: 2, PresentEach: 2}),
		Pinned: pinned.New(pinned.Config{Life: time.Minute, MostLife: time.Hour, MaxResults: 8, MaxBytes: 1 << 20, Clock: time.Now}),
	}, graph.View()
}

func names(n int) []authzcore.Found {
	out := make([]authzcore.Found, n)
	for i := range out {
		out[i].Name = fmt.Sprintf("document:%03d", i)
	}
	return out
}

const organization = "org_00000000000000000000000001"

// A list that takes longer than its call says what it found in time, that this is
// not all, and with which cursor the page begins again.
func TestDeadlineLeavesTimeToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, view := lookups(t)
		q := query{organization: organization, find: func(ctx context.Context, _ *authzcore.View, _ authzcore.Circumstances) ([]authzcore.Found, error) {
			<-ctx.Done()
			return names(5), ctx.Err()
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		from := place{sequence: 6, at: 1, after: "document:001"}
		got, err := s.pageOf(ctx, q, "text", view, &commonv1.Evaluated{Sequence: 7}, from, 2)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("%v, with the call's time over: %v", err, ctx.Err())
		}
		if got.complete() || got.incomplete != authzv1.Incomplete_INCOMPLETE_DEADLINE || !got.moved ||
			len(got.found) != 2 || got.found[0].Name != "document:002" {
			t.Errorf("%+v, want two after document:001, INCOMPLETE_DEADLINE, moved", got)
		}
		again, err := placeIn("text", got.next)
		if err != nil || again != (place{sequence: 7, after: "document:001"}) {
			t.Errorf("the cursor begins at %+v, %v; want this page's place", again, err)
		}
	})
}

// The caller's own end is an error, not a page.
func TestCancelledListIsAnError(t *testing.T) {
	s, view := lookups(t)
	ctx, cancel := context.WithCancel(t.Context())
	q := query{organization: organization, find: func(ctx context.Context, _ *authzcore.View, _ authzcore.Circumstances) ([]authzcore.Found, error) {
		cancel()
		<-ctx.Done()
		return names(5), ctx.Err()
	}}
	if got, err := s.pageOf(ctx, q, "text", view, &commonv1.Evaluated{Sequence: 7}, place{}, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v; want cancelled", got, err)
	}
}

// Lists wait for each other, so many; more are refused. Checks are not asked.
func TestListsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, view := lookups(t)
		release := make(chan struct{})
		q := query{organization: organization, find: func(context.Context, *authzcore.View, authzcore.Circumstances) ([]authzcore.Found, error) {
			<-release
			return names(1), nil
		}}
		page := func() error {
			_, err := s.pageOf(t.Context(), q, "text", view, &commonv1.Evaluated{Sequence: 7}, place{}, 2)
			return err
		}
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- page() }()
		}
		synctest.Wait()
		if err := page(); !fault.Is(err, commonv1.Reason_RATE_LIMITED) {
			t.Errorf("a third list: %v, want RATE_LIMITED", err)
		}
		close(release)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := page(); err != nil {
			t.Errorf("after the others: %v", err)
		}
	})
}

// A list that is being sent counts against the budget until its client has read
// it; more are refused, and a list that is sent or broken off gives its bytes back.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, view := lookups(t)
		s.Sending = budget.New(100_000, 50_000)
		q := query{organization: organization, find: func(context.Context, *authzcore.View, authzcore.Circumstances) ([]authzcore.Found, error) {
			return names(1000), nil // 36 bytes each
		}}
		stream := func(send func() error) error {
			return s.streamOf(t.Context(), q, view, &commonv1.Evaluated{Sequence: 7},
				func([]authzcore.Found, bool, *commonv1.Evaluated, string) error { return send() })
		}
		read := make(chan error)
		done := make(chan error, 1)
		go func() { done <- stream(func() error { return <-read }) }()
		synctest.Wait()
		if err := stream(func() error { return nil }); !fault.Is(err, commonv1.Reason_RATE_LIMITED) {
			t.Errorf("a second list while the first is not read: %v, want RATE_LIMITED", err)
		}
		broken := errors.New("the client went away")
		read <- broken
		if err := <-done; !errors.Is(err, broken) || s.Sending.Bytes() != 0 {
			t.Errorf("%v, and %d bytes are held; want none", err, s.Sending.Bytes())
		}
		if err := stream(func() error { return nil }); err != nil || s.Sending.Bytes() != 0 {
			t.Errorf("after the first: %v, and %d bytes are held", err, s.Sending.Bytes())
		}
	})
}

// A page is not older than the page before, whatever its request says.
func TestPagesAreNotOlder(t *testing.T) {
	from := place{sequence: 7, at: 1, after: "document:001"}
	for name, tc := range map[string]struct{ asked, want graphs.Freshness }{
		"any": {graphs.Freshness{}, graphs.Freshness{Level: graphs.AtLeast, Sequence: 7, MaxStaleness: graphs.DefaultStaleness}},
		"any within a bound": {
			graphs.Freshness{MaxStaleness: time.Second}, graphs.Freshness{Level: graphs.AtLeast, Sequence: 7, MaxStaleness: time.Second},
		},
		"an older one": {graphs.Freshness{Level: graphs.AtLeast, Sequence: 3}, graphs.Freshness{Level: graphs.AtLeast, Sequence: 7}},
		"a newer one":  {graphs.Freshness{Level: graphs.AtLeast, Sequence: 9}, graphs.Freshness{Level: graphs.AtLeast, Sequence: 9}},
		"the head":     {graphs.Freshness{Level: graphs.FullyConsistent}, graphs.Freshness{Level: graphs.FullyConsistent}},
	} {
		if got := notBefore(tc.asked, from); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
		if got := notBefore(tc.asked, place{}); got != tc.asked {
			t.Errorf("%s, of a new list: %+v, want what was asked", name, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, p := range []place{{sequence: 7, at: -1, after: "document:with space"}, {sequence: 1 << 63, at: 1 << 62}} {
		if got, err := placeIn("q", p.cursor("q")); err != nil || got != p {
			t.Errorf("%+v came back as %+v, %v", p, got, err)
		}
		if got, err := placeIn("r", p.cursor("q")); !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
			t.Errorf("of another query: %+v, %v", got, err)
		}
	}
	if got, err := placeIn("q", ""); err != nil || got.started() {
		t.Errorf("the start: %+v, %v", got, err)
	}
}
