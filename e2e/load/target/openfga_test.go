package target_test

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	fga "github.com/openfga/api/proto/openfga/v1"
	"google.golang.org/grpc"

	"github.com/meridian-iam/meridian/e2e/load/target"
	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// stored answers as OpenFGA does where a relationship itself is asked for. It is
// here to test what the target sends and reads.
type stored struct {
	fga.UnimplementedOpenFGAServiceServer

	mu    sync.Mutex
	types int
	keys  map[string]bool
	read  fga.ConsistencyPreference // of the last question
}

const storeID, modelID = "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"

func textOf(user, relation, object string) string { return object + "#" + relation + "@" + user }

func (s *stored) CreateStore(context.Context, *fga.CreateStoreRequest) (*fga.CreateStoreResponse, error) {
	return &fga.CreateStoreResponse{Id: storeID}, nil
}

func (s *stored) WriteAuthorizationModel(
	_ context.Context, r *fga.WriteAuthorizationModelRequest,
) (*fga.WriteAuthorizationModelResponse, error) {
	s.types = len(r.GetTypeDefinitions())
	return &fga.WriteAuthorizationModelResponse{AuthorizationModelId: modelID}, nil
}

func (s *stored) Write(_ context.Context, r *fga.WriteRequest) (*fga.WriteResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range r.GetWrites().GetTupleKeys() {
		s.keys[textOf(k.GetUser(), k.GetRelation(), k.GetObject())] = true
	}
	for _, k := range r.GetDeletes().GetTupleKeys() {
		delete(s.keys, textOf(k.GetUser(), k.GetRelation(), k.GetObject()))
	}
	return &fga.WriteResponse{}, nil
}

func (s *stored) allows(k *fga.CheckRequestTupleKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[textOf(k.GetUser(), k.GetRelation(), k.GetObject())]
}

func (s *stored) Check(_ context.Context, r *fga.CheckRequest) (*fga.CheckResponse, error) {
	s.read = r.GetConsistency()
	return &fga.CheckResponse{Allowed: r.GetStoreId() == storeID && r.GetAuthorizationModelId() == modelID && s.allows(r.GetTupleKey())}, nil
}

func (s *stored) BatchCheck(_ context.Context, r *fga.BatchCheckRequest) (*fga.BatchCheckResponse, error) {
	answers := make(map[string]*fga.BatchCheckSingleResult)
	for _, q := range r.GetChecks() {
		answers[q.GetCorrelationId()] = &fga.BatchCheckSingleResult{
			CheckResult: &fga.BatchCheckSingleResult_Allowed{Allowed: s.allows(q.GetTupleKey())},
		}
	}
	return &fga.BatchCheckResponse{Result: answers}, nil
}

func (s *stored) ListObjects(_ context.Context, r *fga.ListObjectsRequest) (*fga.ListObjectsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &fga.ListObjectsResponse{}
	for text := range s.keys {
		object, rest, _ := strings.Cut(text, "#")
		if rest == r.GetRelation()+"@"+r.GetUser() {
			answer.Objects = append(answer.Objects, object)
		}
	}
	return answer, nil
}

func openStored(t *testing.T, s *stored) (state, address string) {
	t.Helper()
	s.keys = make(map[string]bool)
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	fga.RegisterOpenFGAServiceServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return filepath.Join(t.TempDir(), "state.json"), listener.Addr().String()
}

func newOpenFGA(t *testing.T, state, address string) *target.OpenFGA {
	t.Helper()
	f, err := target.NewOpenFGA(target.OpenFGAOptions{Address: address, State: state, Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func reader(user, table string) workset.Tuple {
	return workset.Tuple{
		Object: workset.Object{Type: "table", ID: table}, Relation: "reader", Subject: workset.Subject{Type: "user", ID: user},
	}
}

func question(t workset.Tuple) workset.Check {
	return workset.Check{Subject: t.Subject, Permission: t.Relation, Object: t.Object}
}

func TestOpenFGA(t *testing.T) {
	server := &stored{}
	state, address := openStored(t, server)
	loading := newOpenFGA(t, state, address)
	anna, ben := reader("anna", "orders"), reader("ben", "orders")
	if err := loading.Open(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if n, err := loading.Load(t.Context(), "", []workset.Tuple{anna, reader("anna", "salaries")}); err != nil || n != 2 {
		t.Fatalf("loaded %d, %v", n, err)
	}
	if err := loading.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if server.types != 8 {
		t.Errorf("the model has %d types, want 8", server.types)
	}

	// What one driver loaded, another one finds by the state.
	asking := newOpenFGA(t, state, address)
	if err := asking.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers, err := asking.Batch(t.Context(), []workset.Check{question(ben), question(anna), question(ben)}, target.Freshness{})
	if err != nil || !slices.Equal(answers, []bool{false, true, false}) {
		t.Errorf("answers are %v, %v", answers, err)
	}
	ids, err := asking.List(t.Context(), workset.List{Subject: anna.Subject, Permission: "reader", ObjectType: "table"}, target.Freshness{})
	slices.Sort(ids)
	if err != nil || !slices.Equal(ids, []string{"orders", "salaries"}) {
		t.Errorf("listed %q, %v", ids, err)
	}
	for _, present := range []bool{true, false} {
		if _, err := asking.Change(t.Context(), ben, present); err != nil {
			t.Fatal(err)
		}
		if got, err := asking.Check(t.Context(), question(ben), target.Freshness{Strong: true}); err != nil || got != present {
			t.Errorf("after the change to %v the answer is %v, %v", present, got, err)
		}
		if server.read != fga.ConsistencyPreference_HIGHER_CONSISTENCY {
			t.Errorf("a strong question asked for %v", server.read)
		}
	}
	if _, err := asking.Check(t.Context(), question(ben), target.Freshness{}); err != nil || server.read != fga.ConsistencyPreference_MINIMIZE_LATENCY {
		t.Errorf("a fast question asked for %v, %v", server.read, err)
	}
}
