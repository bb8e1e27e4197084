package authz_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	"github.com/meridian-iam/meridian/services/authz"
)

// echo answers checks without deciding anything.
type echo struct {
	authzv1connect.UnimplementedCheckServiceHandler
}

func (echo) Check(context.Context, *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	return &authzv1.CheckResponse{Decision: authzv1.Decision_DECISION_DENY, Model: "mdl_00000000000000000000000000000000"}, nil
}

// BenchmarkCheckOverConnect prints what a check costs its caller over loopback,
// beside a no-op of the same stack: connect alone.
func BenchmarkCheckOverConnect(b *testing.B) {
	f := newFixture(b, authz.Config{})
	org, token := f.seeded(b)
	_ = token
	mux := http.NewServeMux()
	mux.Handle(authzv1connect.NewCheckServiceHandler(echo{}, connect.WithCompressMinBytes(1024)))
	bare := httptest.NewServer(mux)
	defer bare.Close()
	request := &authzv1.CheckRequest{Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan"}
	for _, target := range []struct{ name, url string }{{"echo", bare.URL}, {"check", f.address}} {
		for _, workers := range []int{1, 16} {
			b.Run(target.name+map[int]string{1: "/1-worker", 16: "/16-workers"}[workers], func(b *testing.B) {
				transport := &http.Transport{MaxIdleConnsPerHost: workers}
				defer transport.CloseIdleConnections()
				client := authzv1connect.NewCheckServiceClient(&http.Client{Transport: transport}, target.url,
					connect.WithInterceptors(bearer{}), connect.WithCompressMinBytes(1024))
				closedLoop(b, workers, func() error {
					_, err := client.Check(b.Context(), request)
					return err
				})
			})
		}
	}
}

// BenchmarkWrite prints what a write of one relationship costs, and how long
// until a check with its token is answered.
func BenchmarkWrite(b *testing.B) {
	f := newFixture(b, authz.Config{})
	org, _ := f.seeded(b)
	operation := map[bool]authzv1.Operation{true: touch, false: remove}
	for _, visible := range []bool{false, true} {
		b.Run(map[bool]string{false: "acknowledged", true: "visible"}[visible], func(b *testing.B) {
			i := 0
			closedLoop(b, 1, func() error {
				i++
				token := f.write(b, org, operation[i%2 == 0], relationship("document:bench", "reader", "user:anna"))
				if !visible {
					return nil
				}
				_, err := f.check(b.Context(), org, "user:anna", "can_read", "document:bench", atLeast(token))
				return err
			})
		})
	}
}

// closedLoop calls again and again from a number of workers and prints the
// rate and the latencies.
func closedLoop(b *testing.B, workers int, call func() error) {
	b.Helper()
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		took []time.Duration
	)
	b.ResetTimer()
	for w := range workers {
		wait.Go(func() {
			mine := make([]time.Duration, 0, b.N/workers+1)
			for i := w; i < b.N; i += workers {
				began := time.Now()
				if err := call(); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wait.Wait()
	b.StopTimer()
	slices.Sort(took)
	if len(took) > 0 {
		b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "calls/s")
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	}
}
