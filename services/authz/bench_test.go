package authz_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
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
	mux.Handle(authzv1connect.NewCheckServiceHandler(echo{}, connect.WithCompressMinBytes(compressFrom)))
	bare := httptest.NewServer(mux)
	defer bare.Close()
	request := &authzv1.CheckRequest{Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan"}
	for _, target := range []struct{ name, url string }{{"echo", bare.URL}, {"check", f.address}} {
		for _, workers := range []int{1, 8, 16} {
			b.Run(target.name+"/"+strconv.Itoa(workers)+"-workers", func(b *testing.B) {
				client := benchClient(b, target.url, workers)
				closedLoop(b, workers, func() error {
					_, err := client.Check(b.Context(), request)
					return err
				})
			})
		}
	}
}

// BatchCheck answers a batch without deciding anything.
func (echo) BatchCheck(_ context.Context, req *authzv1.BatchCheckRequest) (*authzv1.BatchCheckResponse, error) {
	results := make([]authzv1.BatchCheckResult, len(req.GetItems()))
	out := &authzv1.BatchCheckResponse{Results: make([]*authzv1.BatchCheckResult, len(results))}
	for i := range results {
		results[i].Decision = authzv1.Decision_DECISION_DENY
		out.Results[i] = &results[i]
	}
	return out, nil
}

// BenchmarkBatchCheckOverConnect prints how many decisions a second batches of
// 100 bring over loopback, beside a no-op of the same stack. Client and server
// share the machine.
func BenchmarkBatchCheckOverConnect(b *testing.B) {
	const size = 100
	f := newFixture(b, authz.Config{})
	org, token := f.shelf(b, size)
	mux := http.NewServeMux()
	mux.Handle(authzv1connect.NewCheckServiceHandler(echo{}, connect.WithCompressMinBytes(compressFrom)))
	bare := httptest.NewServer(mux)
	defer bare.Close()
	if _, err := f.lookups.ListObjects(b.Context(), objectsOf(org, "", 1, atLeast(token))); err != nil {
		b.Fatal(err)
	}
	request := &authzv1.BatchCheckRequest{Organization: org}
	for i := range size {
		request.Items = append(request.Items, &authzv1.BatchCheckItem{
			Subject: "user:anna", Permission: "can_read", Resource: fmt.Sprintf("document:%03d", i),
		})
	}
	for _, target := range []struct{ name, url string }{{"echo", bare.URL}, {"batch", f.address}} {
		for _, workers := range []int{1, 8} {
			b.Run(target.name+"/"+strconv.Itoa(workers)+"-workers", func(b *testing.B) {
				client := benchClient(b, target.url, workers)
				closedLoop(b, workers, func() error {
					answer, err := client.BatchCheck(b.Context(), request)
					if err == nil && len(answer.GetResults()) != size {
						err = fmt.Errorf("%d results", len(answer.GetResults()))
					}
					return err
				})
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "decisions/s")
			})
		}
	}
}

const compressFrom = 1024

func benchClient(b *testing.B, url string, workers int) authzv1connect.CheckServiceClient {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: workers}
	b.Cleanup(transport.CloseIdleConnections)
	return authzv1connect.NewCheckServiceClient(&http.Client{Transport: transport}, url,
		connect.WithInterceptors(bearer{}), connect.WithCompressMinBytes(compressFrom))
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

// BenchmarkImport prints how many relationships a second an import commits:
// one stream, 10,000 relationships a message.
func BenchmarkImport(b *testing.B) {
	const batch = 10_000
	f := newFixture(b, authz.Config{})
	org := f.organization(b)
	client := authzv1connect.NewRelationshipServiceClient(http.DefaultClient, f.address,
		connect.WithInterceptors(bearer{}), connect.WithCompressMinBytes(1024))
	stream, err := client.ImportRelationships(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	message := &authzv1.ImportRelationshipsRequest{Organization: org, Relationships: make([]*authzv1.Relationship, batch)}
	n := 0
	for b.Loop() {
		for i := range message.Relationships {
			message.Relationships[i] = relationship(fmt.Sprintf("document:d%d", n/8), "reader", fmt.Sprintf("user:u%d", n%5000))
			n++
		}
		if err := stream.Send(message); err != nil {
			b.Fatal(err)
		}
	}
	answer, err := stream.CloseAndReceive()
	if err != nil || answer.GetCreated() != uint64(n) {
		b.Fatalf("import = %v, %v; want %d created", answer, err, n)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "relationships/s")
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
