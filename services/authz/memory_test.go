package authz_test

import (
	"fmt"
	"testing"
	"time"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/services/authz"
)

// gauge is the value of one of the service's metrics.
func (f *fixture) gauge(t testing.TB, name string) float64 {
	t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue() + family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// until waits for something that the service does by itself.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for began := time.Now(); !done(); <-look.C {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("not in 30 s: %s", what)
		}
	}
}

// fill writes n relationships, 100 to a write, and returns the last revision.
func (f *fixture) fill(t testing.TB, org string, n int) (token string) {
	t.Helper()
	for from := 0; from < n; from += 100 {
		req := &authzv1.WriteRelationshipsRequest{Organization: org, IdempotencyKey: f.key()}
		for i := range 100 {
			req.Updates = append(req.Updates, &authzv1.RelationshipUpdate{
				Operation: touch, Relationship: relationship(fmt.Sprintf("document:filler-%d", from+i), "reader", fmt.Sprintf("user:filler-%d", from+i)),
			})
		}
		written, err := f.relationships.WriteRelationships(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		token = written.GetRevision()
	}
	return token
}

// Of two organizations whose graphs fit into the process's memory one at a time,
// the one that was asked about less recently is let go, and comes back when it is
// asked about: both are answered all the time.
func TestProcessMemory(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, token := f.seeded(t)
	second, other := f.seeded(t)
	until(t, "the size of both graphs is known", func() bool {
		return f.gauge(t, "meridian_authz_graphs") == 2 && f.gauge(t, "meridian_authz_graph_bytes") > 0
	})
	both := uint64(f.gauge(t, "meridian_authz_graph_bytes"))
	f.stopService()
	// The shortest idle time looks after graphs most often; nothing gets that old.
	f.config = authz.Config{MaxBytes: both - 1, IdleAfter: 200 * time.Millisecond}
	stand := time.Now()
	f.startServiceAt(t, func() time.Time { return stand })
	for range 3 {
		before := f.gauge(t, "meridian_authz_graph_evictions_total")
		f.answers(t, first, token)
		f.answers(t, second, other)
		until(t, "one of the graphs is let go", func() bool { return f.gauge(t, "meridian_authz_graph_evictions_total") > before })
		until(t, "the other stays", func() bool {
			return f.gauge(t, "meridian_authz_graphs") == 1 && uint64(f.gauge(t, "meridian_authz_graph_bytes")) < both
		})
	}
	if n := f.gauge(t, "meridian_authz_graphs_too_large"); n != 0 {
		t.Errorf("%v graphs are said to be too large", n)
	}
}

// While a graph outgrows its memory, every answer is right or GRAPH_TOO_LARGE,
// never a deny of what is allowed; the metric says so; a minute later it is tried
// again. With more memory it answers.
func TestOutgrownGraph(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.seeded(t)
	until(t, "the size of the graph is known", func() bool { return f.gauge(t, "meridian_authz_graph_bytes") > 0 })
	small := uint64(f.gauge(t, "meridian_authz_graph_bytes"))
	f.stopService()
	f.config = authz.Config{MaxGraphBytes: 2*small + 20_000, IdleAfter: 200 * time.Millisecond}
	began := time.Now()
	clock := func() time.Time { return began.Add(time.Duration(f.ahead.Load())) }
	f.startServiceAt(t, clock)
	f.answers(t, org, token)
	healthy, healthyToken := f.seeded(t)

	stop, asked := make(chan struct{}), make(chan [2]int)
	go func() {
		var counts [2]int // answers, refusals
		defer func() { asked <- counts }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", nil)
			switch {
			case err == nil && allowed:
				counts[0]++
			case err != nil && faultconnect.FromConnect(err).Reason == commonv1.Reason_GRAPH_TOO_LARGE:
				counts[1]++
			default:
				t.Errorf("while the graph outgrows its memory: %v, %v", allowed, err)
				return
			}
		}
	}()
	last := f.fill(t, org, 3000)
	until(t, "the graph is too large", func() bool { return f.gauge(t, "meridian_authz_graphs_too_large") == 1 })
	f.answers(t, healthy, healthyToken)

	evicted := f.gauge(t, "meridian_authz_graph_evictions_total")
	f.ahead.Add(int64(time.Minute + time.Second))
	until(t, "it is tried again", func() bool { return f.gauge(t, "meridian_authz_graph_evictions_total") > evicted })
	until(t, "it is too large again", func() bool { return f.gauge(t, "meridian_authz_graphs_too_large") == 1 })
	close(stop)
	if counts := <-asked; counts[0] == 0 || counts[1] == 0 {
		t.Errorf("%d answers and %d refusals, want both", counts[0], counts[1])
	}
	f.stopService()
	f.config.MaxGraphBytes = 0 // the default
	f.startServiceAt(t, clock)
	f.answers(t, org, last)
	if n := f.gauge(t, "meridian_authz_graphs_too_large"); n != 0 {
		t.Errorf("%v graphs are too large with enough memory", n)
	}
}
