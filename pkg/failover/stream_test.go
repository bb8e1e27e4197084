package failover_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// tails sends the name of the region, and what it was asked, and ends as said.
func tails(region string, end func(context.Context) error) func(
	context.Context, *logv1.TailLogRequest, *connect.ServerStream[logv1.TailLogResponse]) error {
	return func(ctx context.Context, request *logv1.TailLogRequest, stream *connect.ServerStream[logv1.TailLogResponse]) error {
		if err := stream.Send(&logv1.TailLogResponse{Json: region + " " + request.GetLog()}); err != nil {
			return err
		}
		if err := end(ctx); err != nil {
			return faultconnect.ToConnect(faultconnect.Settle(ctx, err))
		}
		return nil
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		near  func(*place)
		heard []string
		calls [2]int64
		code  connect.Code
	}{
		"nearest": {func(*place) {}, []string{"near log"}, [2]int64{1, 0}, 0},
		"refuses": {func(p *place) { p.refuses.Store(true) }, []string{"next log"}, [2]int64{0, 1}, 0},
		"away":    {func(p *place) { p.answer = unavailable }, []string{"next log"}, [2]int64{1, 1}, 0},
		"cut":     {func(p *place) { p.answer = cut }, []string{"next log"}, [2]int64{1, 1}, 0},
		"denied": {
			func(p *place) { p.answer = saying(fault.Denied, commonv1.Reason_ACCESS_DENIED) },
			nil,
			[2]int64{1, 0},
			connect.CodePermissionDenied,
		},
		// What was heard may not be heard twice: going on is the caller's.
		"goes away later": {func(p *place) { p.tail = tails("near", unavailable) }, []string{"near log"}, [2]int64{1, 0}, connect.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, next := &place{tail: tails("near", well)}, &place{tail: tails("next", well)}
				c.near(near)
				heard, err := connected(t, failover.Options{}, near, next).tail(t.Context())
				if c.code == 0 && err != nil || c.code != 0 && connect.CodeOf(err) != c.code {
					t.Errorf("%v, want code %v", err, c.code)
				}
				if !slices.Equal(heard, c.heard) {
					t.Errorf("heard %q, want %q", heard, c.heard)
				}
				wantCalls(t, []*place{near, next}, c.calls[0], c.calls[1])
			})
		})
	}
}

func TestNoRegionStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, next, far := &place{answer: unavailable}, &place{answer: cut}, &place{}
		far.refuses.Store(true)
		_, err := connected(t, failover.Options{}, near, next, far).tail(t.Context())
		if f := faultconnect.FromConnect(err); f == nil || f.Kind != fault.Unavailable || f.Meta["tried"] != "3" {
			t.Errorf("%v", err)
		}
	})
}

// A stream may be silent, unless the caller says that it is not.
func TestSilentStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, next := &place{}, &place{tail: tails("next", well)}
		near.hangs.Store(true)
		c := connected(t, failover.Options{}, near, next)
		heard, err := c.tail(failover.FirstWithin(t.Context(), time.Second))
		if err != nil || !slices.Equal(heard, []string{"next log"}) {
			t.Errorf("heard %q, %v", heard, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begun := time.Now()
		if _, err := c.tail(ctx); connect.CodeOf(err) != connect.CodeDeadlineExceeded || time.Since(begun) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// The time to the first message is not that of the stream.
func TestStreamOutlivesFirstWithin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near := &place{tail: tails("near", within(time.Hour, well))}
		heard, err := connected(t, failover.Options{}, near).tail(failover.FirstWithin(t.Context(), time.Second))
		if err != nil || len(heard) != 1 {
			t.Errorf("heard %q, %v", heard, err)
		}
	})
}

// A stream that its caller leaves unread lets the next call try a region.
func TestUnreadStreamIsNoVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near := &place{answer: unavailable}
		c := connected(t, failover.Options{}, near)
		for range 5 {
			_ = c.read(t.Context())
		}
		<-time.After(pausedFor)
		near.answer = nil
		near.tail = tails("near", stuck)
		ctx, leave := context.WithCancel(t.Context())
		if _, err := c.logs.TailLog(ctx, &logv1.TailLogRequest{Log: "log"}); err != nil {
			t.Fatal(err)
		}
		if err := c.read(t.Context()); connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("two calls try the region: %v", err)
		}
		leave()
		synctest.Wait()
		if err := c.read(t.Context()); err != nil {
			t.Errorf("no call tries the region: %v", err)
		}
	})
}

// The next region is sent what the caller sent, headers too.
func TestStreamKeepsItsHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent string
		next := &place{answer: func(ctx context.Context) error {
			info, _ := connect.CallInfoForHandlerContext(ctx)
			sent = info.RequestHeader().Get("X-Asked-By")
			return nil
		}}
		c := connected(t, failover.Options{}, &place{answer: unavailable}, next)
		ctx, info := connect.NewClientContext(t.Context())
		info.RequestHeader().Set("X-Asked-By", "anna")
		if _, err := c.tail(ctx); err != nil || sent != "anna" {
			t.Errorf("sent %q, %v", sent, err)
		}
	})
}
