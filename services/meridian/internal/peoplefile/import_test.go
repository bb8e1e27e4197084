package peoplefile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/meridian/internal/peoplefile"
)

// migration takes users as the contract says: once each, batches of 100 at most.
// Those whose external id begins with refused- or broken- are refused, the latter
// with their batch.
type migration struct {
	identityv1connect.UnimplementedMigrationServiceHandler

	mu      sync.Mutex
	users   map[string]string
	batches []int
	// before, if there is one, is called first.
	before func(call int) error
}

func (m *migration) ImportUsers(_ context.Context, r *identityv1.ImportUsersRequest) (*identityv1.ImportUsersResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches = append(m.batches, len(r.GetUsers()))
	if m.before != nil {
		if err := m.before(len(m.batches)); err != nil {
			return nil, err
		}
	}
	for i, u := range r.GetUsers() {
		if strings.HasPrefix(u.GetExternalId(), "broken-") {
			return nil, faultconnect.ToConnect(fault.Field(fmt.Sprintf("users[%d].name", i), "string.pattern", "is broken"))
		}
	}
	answer := &identityv1.ImportUsersResponse{}
	for _, u := range r.GetUsers() {
		id := r.GetSource() + "/" + u.GetExternalId()
		result := &identityv1.ImportResult{User: m.users[id], Outcome: identityv1.ImportOutcome_IMPORT_OUTCOME_UNCHANGED}
		switch {
		case strings.HasPrefix(u.GetExternalId(), "refused-"):
			result = &identityv1.ImportResult{Outcome: identityv1.ImportOutcome_IMPORT_OUTCOME_REFUSED, Reason: "NOT_FOUND", Field: fmt.Sprintf("users[%d].memberships[0].organization", len(answer.GetResults())), Detail: "memberships[0].organization: no such organization"}
		case result.GetUser() == "":
			result.User, result.Outcome = fmt.Sprintf("usr_%d", len(m.users)), identityv1.ImportOutcome_IMPORT_OUTCOME_CREATED
			m.users[id] = result.GetUser()
		}
		answer.Results = append(answer.Results, result)
	}
	return answer, nil
}

func serving(t *testing.T) (*migration, peoplefile.Import) {
	t.Helper()
	m := &migration{users: map[string]string{}}
	mux := http.NewServeMux()
	mux.Handle(identityv1connect.NewMigrationServiceHandler(m))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return m, peoplefile.Import{Client: meridian.New(server.URL, "token"), Source: "legacy", Parallel: 4}
}

// run imports a CSV and returns what was told of each line.
func run(t *testing.T, i peoplefile.Import, content string) ([]peoplefile.Result, error) {
	t.Helper()
	r, err := peoplefile.NewReader(strings.NewReader(content), peoplefile.CSV)
	if err != nil {
		t.Fatal(err)
	}
	var out []peoplefile.Result
	i.Result = func(r peoplefile.Result) error {
		out = append(out, r)
		return nil
	}
	return out, func() error { return i.Run(t.Context(), r.Next) }()
}

func people(from, to int) string {
	var out strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&out, "%d,a%d@b.example\n", i, i)
	}
	return out.String()
}

const head = "external_id,email\n"

func TestImport(t *testing.T) {
	m, i := serving(t)
	content := head + "1,a@b.example\n,nobody@b.example\nrefused-1,c@b.example\n\nbroken-1,d@b.example\n1,a@b.example\nbroken-2,e@b.example\n2,f@b.example\n"
	want := []peoplefile.Result{
		{Line: 2, ExternalID: "1", Outcome: "created", User: "usr_0"},
		{Line: 3, Outcome: "refused", Reason: "INVALID_FIELD", Field: "external_id", Detail: "must be 1 to 128 visible ASCII characters"},
		{Line: 4, ExternalID: "refused-1", Outcome: "refused", Reason: "NOT_FOUND", Field: "memberships[0].organization", Detail: "no such organization"},
		{Line: 6, ExternalID: "broken-1", Outcome: "refused", Reason: "INVALID_FIELD", Field: "name", Detail: "breaks the rule string.pattern"},
		{Line: 7, ExternalID: "1", Outcome: "refused", Reason: "ALREADY_EXISTS", Field: "external_id", Detail: "line 2 has it"},
		{Line: 8, ExternalID: "broken-2", Outcome: "refused", Reason: "INVALID_FIELD", Field: "name", Detail: "breaks the rule string.pattern"},
		{Line: 9, ExternalID: "2", Outcome: "created", User: "usr_1"},
	}
	got, err := run(t, i, content)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	// Again: who was imported is left as is.
	want[0].Outcome, want[6].Outcome = "unchanged", "unchanged"
	got, err = run(t, i, content)
	if diff := cmp.Diff(want, got); diff != "" || err != nil || len(m.users) != 2 {
		t.Errorf("%v, %d users\n%s", err, len(m.users), diff)
	}
}

// What is told comes in the order of the file, whichever call ends first.
func TestImportKeepsTheOrder(t *testing.T) {
	m, i := serving(t)
	m.before = func(call int) error {
		if call%3 == 1 { // some are sent again, later
			return faultconnect.ToConnect(fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "slow down"))
		}
		return nil
	}
	const n = 2345
	got, err := run(t, i, head+people(0, n))
	if err != nil || len(got) != n || len(m.users) != n {
		t.Fatalf("told of %d, imported %d: %v", len(got), len(m.users), err)
	}
	for at, r := range got {
		if r.Line != int64(at+2) || r.Outcome != peoplefile.Created || r.ExternalID != fmt.Sprint(at) {
			t.Fatalf("the %d. is %+v", at, r)
		}
	}
	if most := slices.Max(m.batches); most != 100 {
		t.Errorf("a batch had %d users", most)
	}
}

// An import that breaks off says where, and goes on when it is repeated.
func TestImportBreaksOff(t *testing.T) {
	m, i := serving(t)
	i.Parallel = 1
	m.before = func(call int) error {
		if call > 3 {
			return connect.NewError(connect.CodePermissionDenied, errors.New("the token was revoked"))
		}
		return nil
	}
	got, err := run(t, i, head+people(0, 1000))
	if connect.CodeOf(err) != connect.CodePermissionDenied || !strings.Contains(err.Error(), "stopped after line ") || len(got) > 300 {
		t.Fatalf("told of %d: %v", len(got), err)
	}
	m.before = nil
	got, err = run(t, i, head+people(0, 1000))
	if err != nil || len(got) != 1000 || got[0].Outcome != peoplefile.Unchanged || got[999].Outcome != peoplefile.Created || len(m.users) != 1000 {
		t.Errorf("told of %d, imported %d: %v", len(got), len(m.users), err)
	}
}

func TestImportEndsWithItsContext(t *testing.T) {
	_, i := serving(t)
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	i.Result = func(peoplefile.Result) error {
		if told++; told == 250 {
			cancel()
		}
		return nil
	}
	r, err := peoplefile.NewReader(&endless{begin: head, line: "%,a%@b.example\n"}, peoplefile.CSV)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Run(ctx, r.Next); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestImportEndsWithItsReport(t *testing.T) {
	_, i := serving(t)
	i.Result = func(peoplefile.Result) error { return io.ErrShortWrite }
	r, err := peoplefile.NewReader(&endless{begin: head, line: "%,a%@b.example\n"}, peoplefile.CSV)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Run(t.Context(), r.Next); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v", err)
	}
}

// A file of which nothing can be imported is read on with as little memory as any
// other.
func TestImportOfRefusedLines(t *testing.T) {
	m, i := serving(t)
	const lines = 200_000
	made := &endless{begin: head, line: "only one field " + strings.Repeat("x", 200) + "\n"}
	r, err := peoplefile.NewReader(io.LimitReader(made, lines*216), peoplefile.CSV)
	if err != nil {
		t.Fatal(err)
	}
	told, most := 0, uint64(0)
	i.Result = func(peoplefile.Result) error {
		if told++; told%10_000 == 0 {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
		}
		return nil
	}
	if err := i.Run(t.Context(), r.Next); err != nil || told < lines-1 || len(m.batches) > 0 {
		t.Fatalf("told of %d with %d calls: %v", told, len(m.batches), err)
	}
	if most > 32<<20 {
		t.Errorf("%d MiB in use", most>>20)
	}
}
