package failover_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// calls are how many calls each place had.
func calls(places ...*place) []int64 {
	var had []int64
	for _, p := range places {
		had = append(had, p.called.Load())
	}
	return had
}

func wantCalls(t *testing.T, places []*place, want ...int64) {
	t.Helper()
	if had := calls(places...); !slices.Equal(had, want) {
		t.Errorf("the regions had %d calls, want %d", had, want)
	}
}

// pausedFor is after how long a region that is paused is tried again.
const pausedFor = 2*time.Second + time.Millisecond

func TestNearestFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		regions := []*place{{}, {}, {}}
		c := connected(t, failover.Options{}, regions...)
		for range 10 {
			if err := errors.Join(c.read(t.Context()), c.change(t.Context(), "key")); err != nil {
				t.Fatal(err)
			}
		}
		wantCalls(t, regions, 20, 0, 0)
		if c.repeats.Load() != 0 {
			t.Errorf("%d repetitions", c.repeats.Load())
		}
	})
}

func TestLostRegion(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(p *place, lost bool){
		"refuses":   func(p *place, lost bool) { p.refuses.Store(lost) },
		"times out": func(p *place, lost bool) { p.timesOut.Store(lost) },
		"hangs":     func(p *place, lost bool) { p.hangs.Store(lost) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, next := &place{}, &place{}
				c := connected(t, failover.Options{}, near, next)
				read := func() time.Duration {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					begun := time.Now()
					if err := c.read(ctx); err != nil {
						t.Fatal(err)
					}
					return time.Since(begun)
				}
				lost(near, true)
				for range 5 {
					read()
				}
				for range 5 {
					if took := read(); took != 0 {
						t.Errorf("a call took %v after the region was found lost", took)
					}
				}
				wantCalls(t, []*place{near, next}, 0, 10)
				if near.dialled.Load() != 5 {
					t.Errorf("the lost region was tried %d times, want 5", near.dialled.Load())
				}
				<-time.After(pausedFor)
				read()
				read()
				if near.dialled.Load() != 6 {
					t.Errorf("the lost region was tried again %d times, want once", near.dialled.Load()-5)
				}
				lost(near, false)
				<-time.After(pausedFor)
				read()
				read()
				wantCalls(t, []*place{near, next}, 2, 12)
			})
		})
	}
}

// A region that answers with an error has answered.
func TestAnswersStay(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{
		fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Exists, fault.Precondition, fault.Conflict,
		fault.Exhausted, fault.Deadline, fault.Cancelled, fault.UnknownOutcome, fault.Unimplemented, fault.Internal,
	} {
		synctest.Test(t, func(t *testing.T) {
			near, next := &place{answer: saying(kind, commonv1.Reason_CONFLICT)}, &place{}
			c := connected(t, failover.Options{Hedge: time.Second}, near, next)
			want := faultconnect.Code(kind)
			for _, err := range []error{c.read(t.Context()), c.change(t.Context(), "key")} {
				if connect.CodeOf(err) != want || !connect.IsWireError(err) {
					t.Errorf("%v, want %v as it was said", err, want)
				}
			}
			if _, err := c.tail(t.Context()); connect.CodeOf(err) != want {
				t.Errorf("a stream: %v, want %v", err, want)
			}
			wantCalls(t, []*place{near, next}, 3, 0)
		})
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	refused := func(p *place) { p.refuses.Store(true) }
	cuts := func(p *place) { p.answer = cut }
	says := func(p *place) { p.answer = unavailable }
	for name, c := range map[string]struct {
		near func(*place)
		key  string
		next int64
		want commonv1.Reason
	}{
		"refused, with a key":        {refused, "key", 1, 0},
		"refused, without":           {refused, "", 1, 0},
		"cut, with a key":            {cuts, "key", 1, 0},
		"cut, without":               {cuts, "", 0, commonv1.Reason_OUTCOME_UNKNOWN},
		"unavailable, with a key":    {says, "key", 1, 0},
		"unavailable, without a key": {says, "", 0, commonv1.Reason_DATABASE_UNAVAILABLE},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, next := &place{}, &place{}
				c.near(near)
				client := connected(t, failover.Options{}, near, next)
				err := client.change(t.Context(), c.key)
				if f := faultconnect.FromConnect(err); c.want == 0 && err != nil || c.want != 0 && (f == nil || f.Reason != c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if next.called.Load() != c.next {
					t.Errorf("%d calls of the next region, want %d", next.called.Load(), c.next)
				}
			})
		})
	}
}

// The outcome of a change stays unknown when a later region says that it did
// nothing.
func TestOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, failover.Options{}, &place{answer: unavailable}, &place{answer: cut}, &place{answer: unavailable})
		f := faultconnect.FromConnect(c.change(t.Context(), "key"))
		if f == nil || f.Kind != fault.UnknownOutcome || f.Meta["tried"] != "3" {
			t.Errorf("%v", f)
		}
	})
}

func TestWhatPauses(t *testing.T) {
	t.Parallel()
	for kind, want := range map[fault.Kind]bool{
		fault.Unavailable: true, fault.Deadline: true, fault.Internal: true,
		fault.UnknownOutcome: false, fault.Invalid: false, fault.NotFound: false, fault.Conflict: false,
		fault.Exhausted: false, fault.Unauthenticated: false, fault.Denied: false, fault.Cancelled: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			near := &place{answer: saying(kind, commonv1.Reason_CONFLICT)}
			c := connected(t, failover.Options{}, near)
			for range 30 {
				_ = c.read(t.Context())
			}
			if paused := near.called.Load() < 30; paused != want {
				t.Errorf("kind %d: paused %v after %d calls", kind, paused, near.called.Load())
			}
		})
	}
}

// A region that fails half of the time is paused, too.
func TestHalfPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near := &place{}
		near.answer = func(context.Context) error {
			if near.called.Load()%2 == 0 {
				return fault.New(fault.Internal, commonv1.Reason_DEFECT, "")
			}
			return nil
		}
		c := connected(t, failover.Options{}, near)
		for range 30 {
			_ = c.read(t.Context())
		}
		if near.called.Load() != 20 {
			t.Errorf("paused after %d calls, want 20", near.called.Load())
		}
	})
}

// A region that is cut off from the others answers reads and refuses changes.
func TestReadsAndChangesArePausedApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, next := &place{answer: unavailable}, &place{}
		c := connected(t, failover.Options{}, near, next)
		for range 6 {
			if err := c.change(t.Context(), "key"); err != nil {
				t.Fatal(err)
			}
		}
		near.answer = nil
		if err := c.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, []*place{near, next}, 6, 6)
	})
}

func TestNoRegionAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose   func(*place)
		reason commonv1.Reason
	}{
		"refuse":      {func(p *place) { p.refuses.Store(true) }, commonv1.Reason_SERVICE_UNAVAILABLE},
		"cut":         {func(p *place) { p.answer = cut }, commonv1.Reason_SERVICE_UNAVAILABLE},
		"unavailable": {func(p *place) { p.answer = unavailable }, commonv1.Reason_DATABASE_UNAVAILABLE},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				regions := []*place{{}, {}, {}, {}}
				for _, p := range regions {
					c.lose(p)
				}
				err := connected(t, failover.Options{}, regions...).read(t.Context())
				f := faultconnect.FromConnect(err)
				if f == nil || f.Kind != fault.Unavailable || f.Reason != c.reason || f.RetryAfter < 2*time.Second ||
					f.Meta["tried"] != "4" || f.Meta["regions"] != "4" {
					t.Errorf("%v, %+v", err, f)
				}
				for i, p := range regions {
					if had := p.dialled.Load(); had != 1 {
						t.Errorf("region %d was tried %d times, want once", i, had)
					}
				}
			})
		})
	}
}

// When all regions are paused, calls are refused, or go to the nearest.
func TestAllPaused(t *testing.T) {
	t.Parallel()
	for _, lastResort := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, next := &place{answer: unavailable}, &place{answer: unavailable}
			paused := make(map[string]bool)
			c := connected(t, failover.Options{LastResort: lastResort, Paused: func(url, kind string, is bool) {
				paused[url+" "+kind] = is
			}}, near, next)
			for range 10 {
				_ = c.read(t.Context())
			}
			if want := map[string]bool{"http://a.region:80 reads": true, "http://b.region:80 reads": true}; !maps.Equal(paused, want) {
				t.Fatalf("paused %v, want %v", paused, want)
			}
			before := calls(near, next)
			f := faultconnect.FromConnect(c.read(t.Context()))
			asked := near.called.Load() > before[0]
			tried := map[bool]string{false: "0", true: "1"}[lastResort]
			if f.Kind != fault.Unavailable || f.RetryAfter == 0 || f.Meta["tried"] != tried || asked != lastResort || next.called.Load() != before[1] {
				t.Errorf("last resort %v: the nearest region was asked: %v; %v %v", lastResort, asked, f, f.Meta)
			}
		})
	}
}

// With nowhere else to go, a call waits as long as it was asked to.
func TestOneRegion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const asked = 300 * time.Millisecond
		near := &place{}
		near.answer = func(context.Context) error {
			if near.called.Load() < 3 {
				return fault.New(fault.Unavailable, commonv1.Reason_STOPPING, "soon").Retry(asked)
			}
			return nil
		}
		c := connected(t, failover.Options{}, near)
		begun := time.Now()
		if err := c.read(t.Context()); err != nil || time.Since(begun) != 2*asked {
			t.Errorf("%v after %v, want an answer after %v", err, time.Since(begun), 2*asked)
		}
		near.called.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), asked)
		defer cancel()
		begun = time.Now()
		if f := faultconnect.FromConnect(c.read(ctx)); f == nil || f.Reason != commonv1.Reason_STOPPING || time.Since(begun) != 0 {
			t.Errorf("%v after %v, want to be told at once that there is no time to wait", f, time.Since(begun))
		}
	})
}

func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, next := &place{answer: stuck}, &place{}
		c := connected(t, failover.Options{}, near, next)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.read(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; connect.CodeOf(err) != connect.CodeCanceled {
			t.Errorf("%v", err)
		}
		wantCalls(t, []*place{near, next}, 1, 0)
	})
}

func TestUselessURLs(t *testing.T) {
	t.Parallel()
	for name, urls := range map[string][]string{
		"none":        nil,
		"no scheme":   {"http://a.region", "b.region"},
		"other":       {"http://a.region", "ftp://b.region"},
		"with a path": {"http://a.region", "http://b.region/meridian"},
	} {
		c := connected(t, failover.Options{URLs: urls})
		if f := faultconnect.FromConnect(c.read(t.Context())); f == nil || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != "urls" {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// Who has another way is told at once, and learns soon that a region is away.
func TestOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		only := &place{answer: saying(fault.Unavailable, commonv1.Reason_STOPPING)}
		c := connected(t, failover.Options{Once: true, Failures: 2, Pause: 5 * time.Second}, only)
		begun := time.Now()
		for range 4 {
			if err := c.change(t.Context(), "key"); connect.CodeOf(err) != connect.CodeUnavailable {
				t.Errorf("%v, want unavailable", err)
			}
		}
		wantCalls(t, []*place{only}, 2)
		if c.repeats.Load() != 0 || time.Since(begun) != 0 {
			t.Errorf("%d repetitions, %v", c.repeats.Load(), time.Since(begun))
		}
		<-time.After(5*time.Second - time.Millisecond)
		_ = c.change(t.Context(), "key")
		wantCalls(t, []*place{only}, 2)
		<-time.After(2 * time.Millisecond)
		_ = c.change(t.Context(), "key")
		wantCalls(t, []*place{only}, 3)
	})
}

// A connection that the other side resets is no caller who went away: the call
// goes on to the next region.
func TestReset(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	regions := failover.New(failover.Options{URLs: []string{"http://" + l.Addr().String()}, Once: true})
	c := identityv1connect.NewOrganizationServiceClient(regions.HTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}),
		regions.URL(), connect.WithInterceptors(regions))
	_, err = c.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{IdempotencyKey: "key"})
	if connect.CodeOf(err) != connect.CodeUnavailable || failover.NeverSent(err) {
		t.Errorf("%v, want unavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{IdempotencyKey: "key"})
	if connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("%v, want canceled by the caller", err)
	}
}
