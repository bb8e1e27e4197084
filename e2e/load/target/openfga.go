package target

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	fga "github.com/openfga/api/proto/openfga/v1"
	"github.com/openfga/language/pkg/go/transformer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// OpenFGAOptions say where OpenFGA is.
type OpenFGAOptions struct {
	// Address is host:port of its gRPC.
	Address string
	// State is the file in which Settle keeps what Restore needs; may be empty.
	State string
	// Connections is how many connections calls go over.
	Connections int
}

// OpenFGA is a running OpenFGA, asked over gRPC. The whole work set is in one
// store.
type OpenFGA struct {
	o           OpenFGAOptions
	connections []*grpc.ClientConn
	clients     []fga.OpenFGAServiceClient
	next        atomic.Uint64
	in          store
}

// store is where the relationships are.
type store struct {
	Store string `json:"store"`
	Model string `json:"model"`
}

// maxAnswer is the largest answer: a list of all objects.
const maxAnswer = 64 << 20

// NewOpenFGA returns a client; it calls nothing yet.
func NewOpenFGA(o OpenFGAOptions) (*OpenFGA, error) {
	t := &OpenFGA{o: o}
	for range max(o.Connections, 1) {
		c, err := grpc.NewClient(o.Address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
		if err != nil {
			t.Close()
			return nil, fmt.Errorf("openfga: %w", err)
		}
		t.connections = append(t.connections, c)
		t.clients = append(t.clients, fga.NewOpenFGAServiceClient(c))
	}
	return t, nil
}

// client is the next one in turn.
func (t *OpenFGA) client() fga.OpenFGAServiceClient {
	return t.clients[t.next.Add(1)%uint64(len(t.clients))]
}

// Close implements [Target].
func (t *OpenFGA) Close() {
	for _, c := range t.connections {
		_ = c.Close() // nothing is lost
	}
}

// Place implements [Target]: all are in one.
func (t *OpenFGA) Place(workset.Object) string { return "" }

// Open implements [Target].
func (t *OpenFGA) Open(ctx context.Context, _ string) error {
	model, err := transformer.TransformDSLToProto(workset.Model)
	if err != nil {
		return fmt.Errorf("openfga: model: %w", err)
	}
	made, err := t.client().CreateStore(ctx, &fga.CreateStoreRequest{Name: "load"})
	if err != nil {
		return fmt.Errorf("openfga: create store: %w", err)
	}
	t.in.Store = made.GetId()
	written, err := t.client().WriteAuthorizationModel(ctx, &fga.WriteAuthorizationModelRequest{
		StoreId: t.in.Store, SchemaVersion: model.GetSchemaVersion(),
		TypeDefinitions: model.GetTypeDefinitions(), Conditions: model.GetConditions(),
	})
	if err != nil {
		return fmt.Errorf("openfga: write model: %w", err)
	}
	t.in.Model = written.GetAuthorizationModelId()
	return nil
}

// Load implements [Target]. OpenFGA takes at most 100 at a time.
func (t *OpenFGA) Load(ctx context.Context, _ string, tuples []workset.Tuple) (uint64, error) {
	keys := make([]*fga.TupleKey, len(tuples))
	for i, one := range tuples {
		keys[i] = &fga.TupleKey{User: one.Subject.String(), Relation: one.Relation, Object: one.Object.String()}
	}
	_, err := t.client().Write(ctx, &fga.WriteRequest{
		StoreId: t.in.Store, AuthorizationModelId: t.in.Model, Writes: &fga.WriteRequestWrites{TupleKeys: keys},
	})
	if err != nil {
		return 0, fmt.Errorf("openfga: write: %w", err)
	}
	return uint64(len(tuples)), nil
}

// Settle implements [Target].
func (t *OpenFGA) Settle(context.Context) error { return writeState(t.o.State, t.in) }

// Restore implements [Target].
func (t *OpenFGA) Restore(context.Context) error { return readState(t.o.State, &t.in) }

// Check implements [Target].
func (t *OpenFGA) Check(ctx context.Context, q workset.Check, f Freshness) (bool, error) {
	answer, err := t.client().Check(ctx, &fga.CheckRequest{
		StoreId: t.in.Store, AuthorizationModelId: t.in.Model, Consistency: consistencyOf(f),
		TupleKey: keyOf(q),
	})
	if err != nil {
		return false, fmt.Errorf("openfga: check: %w", err)
	}
	return answer.GetAllowed(), nil
}

// Batch implements [Target].
func (t *OpenFGA) Batch(ctx context.Context, questions []workset.Check, f Freshness) ([]bool, error) {
	items := make([]*fga.BatchCheckItem, len(questions))
	for i, q := range questions {
		items[i] = &fga.BatchCheckItem{TupleKey: keyOf(q), CorrelationId: strconv.Itoa(i)}
	}
	answer, err := t.client().BatchCheck(ctx, &fga.BatchCheckRequest{
		StoreId: t.in.Store, AuthorizationModelId: t.in.Model, Consistency: consistencyOf(f), Checks: items,
	})
	if err != nil {
		return nil, fmt.Errorf("openfga: batch check: %w", err)
	}
	answers := make([]bool, len(questions))
	for i := range questions {
		one, found := answer.GetResult()[strconv.Itoa(i)]
		if !found || one.GetError() != nil {
			return nil, fmt.Errorf("openfga: batch check: item %d has no answer: %v", i, one.GetError())
		}
		answers[i] = one.GetAllowed()
	}
	return answers, nil
}

// List implements [Target]. The server must run without a limit of results: it
// does not say that it cut a list.
func (t *OpenFGA) List(ctx context.Context, l workset.List, f Freshness) ([]string, error) {
	answer, err := t.client().ListObjects(ctx, &fga.ListObjectsRequest{
		StoreId: t.in.Store, AuthorizationModelId: t.in.Model, Consistency: consistencyOf(f),
		Type: l.ObjectType, Relation: l.Permission, User: l.Subject.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("openfga: list objects: %w", err)
	}
	ids := make([]string, len(answer.GetObjects()))
	for i, o := range answer.GetObjects() {
		if ids[i], err = idOf(o, l.ObjectType); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Change implements [Target]. What is as it should be already is no error.
func (t *OpenFGA) Change(ctx context.Context, one workset.Tuple, present bool) (string, error) {
	r := &fga.WriteRequest{StoreId: t.in.Store, AuthorizationModelId: t.in.Model}
	if present {
		r.Writes = &fga.WriteRequestWrites{OnDuplicate: "ignore", TupleKeys: []*fga.TupleKey{
			{User: one.Subject.String(), Relation: one.Relation, Object: one.Object.String()},
		}}
	} else {
		r.Deletes = &fga.WriteRequestDeletes{OnMissing: "ignore", TupleKeys: []*fga.TupleKeyWithoutCondition{
			{User: one.Subject.String(), Relation: one.Relation, Object: one.Object.String()},
		}}
	}
	if _, err := t.client().Write(ctx, r); err != nil {
		return "", fmt.Errorf("openfga: write: %w", err)
	}
	return "", nil
}

func keyOf(q workset.Check) *fga.CheckRequestTupleKey {
	return &fga.CheckRequestTupleKey{User: q.Subject.String(), Relation: q.Permission, Object: q.Object.String()}
}

func consistencyOf(f Freshness) fga.ConsistencyPreference {
	if f.Strong || f.Token != "" {
		return fga.ConsistencyPreference_HIGHER_CONSISTENCY
	}
	return fga.ConsistencyPreference_MINIMIZE_LATENCY
}
