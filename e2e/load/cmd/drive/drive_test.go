package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

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

	lie bool // answer every check the wrong way round

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
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer letmein" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
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

func (s *oracleServer) Check(_ context.Context, r *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tuples, found := s.organizations[r.GetOrganization()]
	if !found {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such organization"))
	}
	if s.oracles[r.GetOrganization()] == nil {
		var all []workset.Tuple
		for t, present := range tuples {
			if present {
				all = append(all, t)
			}
		}
		s.oracles[r.GetOrganization()] = workset.NewOracle(all)
	}
	allowed := s.oracles[r.GetOrganization()].Allows(thing(r.GetSubject()).ID, r.GetPermission(), thing(r.GetResource()))
	if allowed != s.lie {
		return &authzv1.CheckResponse{Decision: authzv1.Decision_DECISION_ALLOW}, nil
	}
	return &authzv1.CheckResponse{Decision: authzv1.Decision_DECISION_DENY}, nil
}

func smallSet(t *testing.T) (dir string, tuples int) {
	t.Helper()
	s, err := workset.Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	s.Organizations, s.Checks, s.Lists, s.Probes = 3, 500, 1, 5
	dir = t.TempDir()
	summary, err := workset.Generate(t.Context(), s, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, summary.Tuples
}

// must runs drive and returns its result.
func must(t *testing.T, wantCode int, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), append(args, "-token", "letmein"), &stdout, &stderr); code != wantCode {
		t.Fatalf("%v: exit code %d, want %d: %s", args, code, wantCode, &stderr)
	}
	var r result
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
			seen := must(t, 0, with("-mode", "visible", "-rounds", "4", "-read", "strong")...)
			if seen.Ops != 4 || seen.Write == nil || seen.Revoke == nil || seen.Revoke.Max <= 0 {
				t.Errorf("visible %+v", seen)
			}
		})
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
	r := must(t, 1, "-mode", "check", "-workset", dir, "-url", url, "-state", state, "-seconds", "1", "-warmup", "0")
	if r.Wrong < r.Ops || r.Wrong == 0 || r.LastWrong == "" {
		t.Errorf("%d of %d answers are wrong (%q), want all", r.Wrong, r.Ops, r.LastWrong)
	}
	r = must(t, 1, "-mode", "check", "-workset", dir, "-url", url, "-organization", "org_none", "-seconds", "1", "-warmup", "0")
	if r.Errors == 0 || r.Ops != 0 || !strings.Contains(r.LastError, "no such organization") {
		t.Errorf("errors are %d (%q) and answers %d, want only errors", r.Errors, r.LastError, r.Ops)
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
