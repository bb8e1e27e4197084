package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/e2e/load/result"
	"github.com/meridian-iam/meridian/e2e/load/workset"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// oracleServer answers as Meridian would, from the oracle. It is here to test
// how drive counts, not to stand in for Meridian anywhere else.
type oracleServer struct {
	identityv1connect.UnimplementedOrganizationServiceHandler
	authzv1connect.UnimplementedModelServiceHandler
	authzv1connect.UnimplementedRelationshipServiceHandler
	authzv1connect.UnimplementedCheckServiceHandler
	authzv1connect.UnimplementedLookupServiceHandler

	lie bool // answer every question wrongly
	cut bool // end every list early, and say so

	mu            sync.Mutex
	organizations map[string]map[workset.Tuple]bool
	oracles       map[string]*workset.Oracle
}

func serve(t *testing.T, s *oracleServer) (url string) {
	t.Helper()
	s.organizations = make(map[string]map[workset.Tuple]bool)
	s.oracles = make(map[string]*workset.Oracle)
	mux := http.NewServeMux()
	mux.Handle(identityv1connect.NewOrganizationServiceHandler(s))
	mux.Handle(authzv1connect.NewModelServiceHandler(s))
	mux.Handle(authzv1connect.NewRelationshipServiceHandler(s))
	mux.Handle(authzv1connect.NewCheckServiceHandler(s))
	mux.Handle(authzv1connect.NewLookupServiceHandler(s))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer letmein" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func (s *oracleServer) CreateOrganization(_ context.Context, r *identityv1.CreateOrganizationRequest) (*identityv1.CreateOrganizationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := "org_of_" + r.GetSlug()
	s.organizations[id] = make(map[workset.Tuple]bool)
	return &identityv1.CreateOrganizationResponse{Organization: &identityv1.Organization{Id: id}}, nil
}

func (s *oracleServer) PublishModel(_ context.Context, r *authzv1.PublishModelRequest) (*authzv1.PublishModelResponse, error) {
	if !strings.Contains(r.GetFiles()[0].GetContent(), "define can_select") {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("that is not the model"))
	}
	return &authzv1.PublishModelResponse{Model: &authzv1.Model{Id: "mdl_1"}}, nil
}

func (s *oracleServer) AssignModel(context.Context, *authzv1.AssignModelRequest) (*authzv1.AssignModelResponse, error) {
	return &authzv1.AssignModelResponse{}, nil
}

func (s *oracleServer) ImportRelationships(
	_ context.Context, stream *connect.ClientStream[authzv1.ImportRelationshipsRequest],
) (*authzv1.ImportRelationshipsResponse, error) {
	answer := &authzv1.ImportRelationshipsResponse{Revision: "r1"}
	for stream.Receive() {
		for _, one := range stream.Msg().GetRelationships() {
			if s.change(stream.Msg().GetOrganization(), one, true) {
				answer.Created++
			} else {
				answer.Unchanged++
			}
		}
	}
	return answer, stream.Err()
}

func (s *oracleServer) WriteRelationships(_ context.Context, r *authzv1.WriteRelationshipsRequest) (*authzv1.WriteRelationshipsResponse, error) {
	for _, u := range r.GetUpdates() {
		s.change(r.GetOrganization(), u.GetRelationship(), u.GetOperation() == authzv1.Operation_OPERATION_TOUCH)
	}
	return &authzv1.WriteRelationshipsResponse{Revision: "r2"}, nil
}

// change says whether it changed anything.
func (s *oracleServer) change(organization string, r *authzv1.Relationship, present bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	object, subject := thing(r.GetResource()), thing(r.GetSubject())
	id, relation, _ := strings.Cut(subject.ID, "#")
	t := workset.Tuple{
		Object: object, Relation: r.GetRelation(),
		Subject: workset.Subject{Type: subject.Type, ID: id, Relation: relation},
	}
	before := s.organizations[organization][t]
	s.organizations[organization][t] = present
	delete(s.oracles, organization)
	return before != present
}

func thing(text string) workset.Object {
	kind, id, _ := strings.Cut(text, ":")
	return workset.Object{Type: kind, ID: id}
}

// oracle is of what an organization holds now. The caller has the lock.
func (s *oracleServer) oracle(organization string) (*workset.Oracle, error) {
	tuples, found := s.organizations[organization]
	if !found {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such organization"))
	}
	if s.oracles[organization] == nil {
		var all []workset.Tuple
		for t, present := range tuples {
			if present {
				all = append(all, t)
			}
		}
		s.oracles[organization] = workset.NewOracle(all)
	}
	return s.oracles[organization], nil
}

func (s *oracleServer) Check(_ context.Context, r *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oracle, err := s.oracle(r.GetOrganization())
	if err != nil {
		return nil, err
	}
	return &authzv1.CheckResponse{Decision: s.decide(oracle, r.GetSubject(), r.GetPermission(), r.GetResource())}, nil
}

func (s *oracleServer) decide(o *workset.Oracle, subject, permission, resource string) authzv1.Decision {
	if o.Allows(thing(subject).ID, permission, thing(resource)) != s.lie {
		return authzv1.Decision_DECISION_ALLOW
	}
	return authzv1.Decision_DECISION_DENY
}

func (s *oracleServer) BatchCheck(_ context.Context, r *authzv1.BatchCheckRequest) (*authzv1.BatchCheckResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oracle, err := s.oracle(r.GetOrganization())
	if err != nil {
		return nil, err
	}
	answer := &authzv1.BatchCheckResponse{}
	for _, q := range r.GetItems() {
		answer.Results = append(answer.Results, &authzv1.BatchCheckResult{
			Decision: s.decide(oracle, q.GetSubject(), q.GetPermission(), q.GetResource()),
		})
	}
	return answer, nil
}

// found are the resources of a list. One that lies leaves the last one out.
func (s *oracleServer) found(organization, subject, permission, kind string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oracle, err := s.oracle(organization)
	if err != nil {
		return nil, err
	}
	objects := make(map[workset.Object]bool)
	for t := range s.organizations[organization] {
		if t.Object.Type == kind && oracle.Allows(thing(subject).ID, permission, t.Object) {
			objects[t.Object] = true
		}
	}
	var found []string
	for o := range objects {
		found = append(found, o.String())
	}
	if s.lie {
		found = found[:len(found)-1]
	}
	return found, nil
}

func (s *oracleServer) StreamObjects(
	_ context.Context, r *authzv1.StreamObjectsRequest, stream *connect.ServerStream[authzv1.StreamObjectsResponse],
) error {
	found, err := s.found(r.GetOrganization(), r.GetSubject(), r.GetPermission(), r.GetResourceType())
	if err != nil {
		return err
	}
	for part := range slices.Chunk(found, 7) {
		if err := stream.Send(&authzv1.StreamObjectsResponse{Objects: part}); err != nil {
			return err
		}
	}
	return stream.Send(&authzv1.StreamObjectsResponse{Complete: !s.cut})
}

// ListObjects has pages of 7, whatever is asked for.
func (s *oracleServer) ListObjects(_ context.Context, r *authzv1.ListObjectsRequest) (*authzv1.ListObjectsResponse, error) {
	found, err := s.found(r.GetOrganization(), r.GetSubject(), r.GetPermission(), r.GetResourceType())
	if err != nil {
		return nil, err
	}
	slices.Sort(found)
	from := sort.Search(len(found), func(i int) bool { return found[i] > r.GetCursor() })
	answer := &authzv1.ListObjectsResponse{Objects: found[from:], Complete: !s.cut}
	if s.cut {
		answer.IncompleteReason = authzv1.Incomplete_INCOMPLETE_DEADLINE
	} else if len(answer.GetObjects()) > 7 {
		answer.Objects, answer.Complete = answer.GetObjects()[:7], false
		answer.NextCursor, answer.IncompleteReason = answer.GetObjects()[6], authzv1.Incomplete_INCOMPLETE_PAGE
	}
	return answer, nil
}

func smallSet(t *testing.T) (dir string, tuples int) {
	t.Helper()
	s, err := workset.Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	s.Organizations, s.Checks, s.Lists, s.Probes = 3, 500, 2, 5
	dir = t.TempDir()
	summary, err := workset.Generate(t.Context(), s, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, summary.Tuples
}

// must runs drive and returns its result.
func must(t *testing.T, wantCode int, args ...string) result.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), append(args, "-token", "letmein"), &stdout, &stderr); code != wantCode {
		t.Fatalf("%v: exit code %d, want %d: %s", args, code, wantCode, &stderr)
	}
	var r result.Result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDrive(t *testing.T) {
	dir, tuples := smallSet(t)
	for _, split := range []bool{false, true} {
		t.Run(fmt.Sprintf("split=%v", split), func(t *testing.T) {
			url := serve(t, &oracleServer{})
			common := []string{"-workset", dir, "-url", url, "-state", filepath.Join(t.TempDir(), "state.json"), "-workers", "3"}
			with := func(more ...string) []string { return append(more, common...) }

			loaded := must(t, 0, with("-mode", "load", "-batch", "100", fmt.Sprintf("-split=%v", split))...)
			wantOrganizations := 1
			if split {
				wantOrganizations = 3
			}
			if loaded.Ops != uint64(tuples) || loaded.Created != uint64(tuples) || loaded.Organizations != wantOrganizations {
				t.Errorf("loaded %+v, want %d tuples in %d organizations", loaded, tuples, wantOrganizations)
			}
			checked := must(t, 0, with("-mode", "check", "-seconds", "1", "-warmup", "0")...)
			if checked.Ops < 10 || checked.Wrong != 0 || checked.Latency.P50 <= 0 || checked.Latency.P50 > checked.Latency.Max {
				t.Errorf("checked %+v", checked)
			}
			batched := must(t, 0, with("-mode", "batch", "-batch", "20", "-seconds", "1", "-warmup", "0", "-http2")...)
			if batched.Ops < 20 || batched.Ops%20 != 0 || batched.Wrong != 0 || batched.Latency.P50 <= 0 {
				t.Errorf("batched %+v", batched)
			}
			for _, read := range []string{"fast", "strong", "token"} {
				seen := must(t, 0, with("-mode", "visible", "-rounds", "4", "-read", read)...)
				if seen.Ops != 4 || seen.Write == nil || seen.Revoke == nil || seen.Revoke.Max <= 0 {
					t.Errorf("visible %+v", seen)
				}
			}
		})
	}
}

func TestDriveLists(t *testing.T) {
	dir, _ := smallSet(t)
	server := &oracleServer{}
	common := []string{"-workset", dir, "-url", serve(t, server), "-state", filepath.Join(t.TempDir(), "state.json"), "-workers", "2"}
	with := func(more ...string) []string { return append(more, common...) }
	must(t, 0, with("-mode", "load")...)
	for _, how := range []string{"-pages=false", "-pages"} {
		listed := must(t, 0, with("-mode", "list", "-seconds", "1", "-warmup", "0", how)...)
		if listed.Ops == 0 || listed.Wrong != 0 || listed.Objects < 8 {
			t.Errorf("%s: listed %+v", how, listed)
		}
	}
	server.mu.Lock()
	server.cut = true
	server.mu.Unlock()
	for how, why := range map[string]string{"-pages=false": "without being complete", "-pages": "DEADLINE"} {
		listed := must(t, 1, with("-mode", "list", "-seconds", "1", "-warmup", "0", how)...)
		if listed.Ops != 0 || listed.Errors == 0 || !strings.Contains(listed.LastError, why) {
			t.Errorf("%s: of lists that were cut: %+v", how, listed)
		}
	}
}

// Wrong answers and failed calls must be counted, and must fail the run.
func TestDriveCountsWhatIsWrong(t *testing.T) {
	dir, _ := smallSet(t)
	server := &oracleServer{}
	url := serve(t, server)
	state := filepath.Join(t.TempDir(), "state.json")
	must(t, 0, "-mode", "load", "-workset", dir, "-url", url, "-state", state)

	server.mu.Lock()
	server.lie = true
	server.mu.Unlock()
	for _, mode := range []string{"check", "batch", "list", "visible"} {
		read := map[string]string{"visible": "token"}[mode]
		r := must(t, 1, "-mode", mode, "-workset", dir, "-url", url, "-state", state, "-seconds", "1", "-warmup", "0",
			"-rounds", "2", "-read", cmp.Or(read, "fast"))
		if r.Wrong < r.Ops || r.Wrong == 0 || r.LastWrong == "" {
			t.Errorf("%s: %d of %d answers are wrong (%q), want all", mode, r.Wrong, r.Ops, r.LastWrong)
		}
	}
	r := must(t, 1, "-mode", "check", "-workset", dir, "-url", url, "-organization", "org_none", "-seconds", "1", "-warmup", "0")
	if r.Errors == 0 || r.Ops != 0 || !strings.Contains(r.LastError, "no such organization") {
		t.Errorf("errors are %d (%q) and answers %d, want only errors", r.Errors, r.LastError, r.Ops)
	}
}

// The engine in this process answers the same questions. One question whose
// expected answer is turned round must be found.
func TestDriveEmbedded(t *testing.T) {
	dir, _ := smallSet(t)
	args := []string{"-mode", "embedded", "-workset", dir, "-seconds", "1", "-warmup", "0"}
	r := must(t, 0, args...)
	if r.Ops < 500 || r.Wrong != 0 || r.Bytes < 16 || r.Bytes > 10_000 || r.Allocations == nil || r.Latency.P50 <= 0 {
		t.Errorf("embedded %+v", r)
	}
	path := filepath.Join(dir, "checks.csv")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(",true,"), []byte(",false,"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := must(t, 1, args...); r.Wrong == 0 || r.Wrong >= r.Ops {
		t.Errorf("%d of %d answers are wrong, want one of 500", r.Wrong, r.Ops)
	}
}

// An echo's answers have no meaning, so none of them is wrong.
func TestDriveEcho(t *testing.T) {
	dir, _ := smallSet(t)
	mux := http.NewServeMux()
	mux.Handle(authzv1connect.NewCheckServiceHandler(denies{}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r := must(t, 0, "-target", "echo", "-workset", dir, "-url", server.URL, "-seconds", "1", "-warmup", "0")
	if r.Ops == 0 || r.Wrong != 0 || r.Errors != 0 {
		t.Errorf("echo %+v", r)
	}
}

// slow answers when it is told to.
type slow struct {
	denies
	answer chan struct{}
}

func (s slow) Check(ctx context.Context, r *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	<-s.answer
	return s.denies.Check(ctx, r)
}

// A run in which no call ended has measured nothing: that must not look like a
// run without a wrong answer.
func TestDriveNothingMeasured(t *testing.T) {
	dir, _ := smallSet(t)
	s := slow{answer: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(authzv1connect.NewCheckServiceHandler(s))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	time.AfterFunc(1500*time.Millisecond, func() { close(s.answer) }) // after the measured second
	if r := must(t, 1, "-target", "echo", "-workset", dir, "-url", server.URL, "-seconds", "1", "-warmup", "0"); r.Ops != 0 {
		t.Errorf("slow answers %+v", r)
	}
}

type denies struct {
	authzv1connect.UnimplementedCheckServiceHandler
}

func (denies) Check(context.Context, *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	return &authzv1.CheckResponse{Decision: authzv1.Decision_DECISION_DENY}, nil
}

// A list is right when it has all ids and no other, in any order.
func TestRight(t *testing.T) {
	l := workset.List{Count: 2, Digest: workset.Digest([]string{"a", "b"})}
	for _, c := range []struct {
		ids  []string
		want bool
	}{
		{[]string{"b", "a"}, true},
		{[]string{"a", "c"}, false},
		{[]string{"a"}, false},
		{[]string{"a", "b", "b"}, false},
		{nil, false},
	} {
		if right(l, c.ids) != c.want {
			t.Errorf("%q: want %v", c.ids, c.want)
		}
	}
}

func TestBatchesOf(t *testing.T) {
	var checks []workset.Check
	for n := range 50 {
		checks = append(checks, workset.Check{Permission: strconv.Itoa(n), Object: workset.Object{Type: "table", ID: strconv.Itoa(n % 3)}})
	}
	byID := func(o workset.Object) string { return o.ID }
	for _, c := range []struct{ size, batches, each int }{{5, 9, 5}, {16, 3, 16}, {17, 2, 17}, {100, 3, 0}} {
		got := batchesOf(checks, c.size, byID)
		if len(got) != c.batches {
			t.Errorf("size %d: %d batches, want %d", c.size, len(got), c.batches)
		}
		for _, questions := range got {
			if c.each != 0 && len(questions) != c.each {
				t.Errorf("size %d: a batch of %d", c.size, len(questions))
			}
			for _, q := range questions {
				if q.Object != questions[0].Object {
					t.Errorf("size %d: a batch of two places", c.size)
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := []string{"-workset", "set", "-state", "state.json", "-token", "letmein"}
	if _, err := parse(good, new(bytes.Buffer)); err != nil {
		t.Fatal("control:", err)
	}
	for name, args := range map[string][]string{
		"no work set":          {"-workset", ""},
		"no token":             {"-token", ""},
		"no state":             {"-state", ""},
		"no such mode":         {"-mode", "dance"},
		"no such read":         {"-read", "loud"},
		"a token in a check":   {"-read", "token"},
		"no such target":       {"-target", "other"},
		"an echo that lists":   {"-target", "echo", "-mode", "list"},
		"stores that split":    {"-target", "openfga", "-split"},
		"no store":             {"-target", "openfga", "-state", ""},
		"no host":              {"-url", "localhost"},
		"no workers":           {"-workers", "0"},
		"a negative warm-up":   {"-warmup", "-1"},
		"split and one":        {"-split", "-organization", "org_1"},
		"an argument too many": {"check"},
	} {
		if _, err := parse(append(append([]string{}, good...), args...), new(bytes.Buffer)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
