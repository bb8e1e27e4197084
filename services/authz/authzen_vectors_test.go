package authz_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// notTested: published decisions are absent.
var notTested atomic.Bool

func TestMain(m *testing.M) {
	code := m.Run()
	if notTested.Load() {
		fmt.Println("NOT TESTED: AuthZEN's published decisions are absent; MERIDIAN_SHARED names the folder that has vectors")
	}
	os.Exit(code)
}

// vectors reads the published decisions of AuthZEN's interoperability events from
// the folder of shared vectors: $MERIDIAN_SHARED, or shared beside the
// repository. Where they are not, nothing is tested, and the end of the output
// says so.
func vectors(t *testing.T, name string, into any) bool {
	t.Helper()
	shared := os.Getenv("MERIDIAN_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	content, err := os.ReadFile(filepath.Join(shared, "vectors", "authzen", name))
	if os.IsNotExist(err) {
		notTested.Store(true)
		t.Logf("NOT TESTED: the published decisions %s are not on this machine (set MERIDIAN_SHARED): %v", name, err)
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
	return true
}

// evaluationVector is one published request with its decision, or decisions.
type evaluationVector struct {
	Request  json.RawMessage `json:"request"`
	Expected json.RawMessage `json:"expected"`
}

// published opens an organization with a model and relationships, each written
// as resource#relation@subject.
func (f *fixture) published(t *testing.T, model string, relationships []string) (at, token string) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", "authzen", model))
	if err != nil {
		t.Fatal(err)
	}
	org := f.organization(t)
	f.assign(t, org, string(source))
	for batch := range slices.Chunk(relationships, 100) {
		req := &authzv1.WriteRelationshipsRequest{Organization: org, IdempotencyKey: f.key()}
		for _, text := range batch {
			resource, rest, _ := strings.Cut(text, "#")
			relation, subject, _ := strings.Cut(rest, "@")
			req.Updates = append(req.Updates, &authzv1.RelationshipUpdate{Operation: touch, Relationship: relationship(resource, relation, subject)})
		}
		written, err := f.relationships.WriteRelationships(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		token = written.GetRevision()
	}
	return "/authzen/" + org, token
}

// The people of the published Todo application, by their ids, and their roles.
var people = []struct {
	id, mail string
	roles    []string
}{
	{"CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "rick@the-citadel.com", []string{"viewer", "editor", "admin", "evil_genius"}},
	{"CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "morty@the-citadel.com", []string{"viewer", "editor"}},
	{"CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "summer@the-smiths.com", []string{"viewer", "editor"}},
	{"CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "beth@the-smiths.com", []string{"viewer"}},
	{"CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", "jerry@the-smiths.com", []string{"viewer"}},
}

// todoRelationships are those of the Todo application: its users can be read by
// all, and each of its todos has an owner, whom the requests name by mail.
func todoRelationships(todos map[string]string) []string {
	var out []string
	for _, p := range people {
		out = append(out, fmt.Sprintf("user:%s#can_read_user@user:*", p.mail))
		for _, role := range p.roles {
			out = append(out, fmt.Sprintf("role:%s#assignee@user:%s", role, p.id))
		}
	}
	for todo, owner := range todos {
		for _, role := range []string{"viewer", "editor", "admin", "evil_genius"} {
			out = append(out, fmt.Sprintf("todo:%s#%s@role:%s#assignee", todo, role, role))
		}
		for _, p := range people {
			if p.mail == owner {
				out = append(out, fmt.Sprintf("todo:%s#owner@user:%s", todo, p.id))
			}
		}
	}
	return out
}

// todosOf finds the todos that requests name, with the mail of their owners.
func todosOf(t *testing.T, requests []evaluationVector) map[string]string {
	t.Helper()
	type resource struct {
		Type       string `json:"type"`
		ID         string `json:"id"`
		Properties struct {
			OwnerID string `json:"ownerID"`
		} `json:"properties"`
	}
	out := map[string]string{}
	for _, v := range requests {
		var request struct {
			Resource    resource `json:"resource"`
			Evaluations []struct {
				Resource resource `json:"resource"`
			} `json:"evaluations"`
		}
		if err := json.Unmarshal(v.Request, &request); err != nil {
			t.Fatal(err)
		}
		named := []resource{request.Resource}
		for _, e := range request.Evaluations {
			named = append(named, e.Resource)
		}
		for _, r := range named {
			if r.Type == "todo" {
				out[r.ID] = r.Properties.OwnerID
			}
		}
	}
	return out
}

// evaluate sends every request and compares the decisions.
func (f *fixture) evaluate(t *testing.T, at, token string, all []evaluationVector) {
	t.Helper()
	if len(all) == 0 {
		t.Fatal("no decision was published")
	}
	for _, v := range all {
		got := f.ask(t, at+"/access/v1/evaluation", string(v.Request), map[string]string{"X-Meridian-Revision": token})
		if fmt.Sprint(got["decision"]) != string(v.Expected) || len(got) != 1 {
			t.Errorf("%s: %v, want %s", v.Request, got, v.Expected)
		}
	}
	t.Logf("%d published decisions", len(all))
}

func TestPublishedTodo(t *testing.T) {
	f := newFixture(t, authz.Config{})
	for _, name := range []string{"todo-decisions-1_0-01.json", "todo-decisions-1_0-02.json"} {
		t.Run(name, func(t *testing.T) {
			var all struct{ Evaluation, Evaluations []evaluationVector }
			if !vectors(t, name, &all) {
				return
			}
			at, token := f.published(t, "todo.fga", todoRelationships(todosOf(t, append(all.Evaluation, all.Evaluations...))))
			f.evaluate(t, at, token, all.Evaluation)
			for _, v := range all.Evaluations {
				got := f.ask(t, at+"/access/v1/evaluations", string(v.Request), map[string]string{"X-Meridian-Revision": token})
				sameJSON(t, got, `{"evaluations":`+string(v.Expected)+`}`)
			}
		})
	}
}

func TestPublishedGateway(t *testing.T) {
	f := newFixture(t, authz.Config{})
	var all struct{ Evaluation []evaluationVector }
	if !vectors(t, "api-gateway-decisions.json", &all) {
		return
	}
	var relationships []string
	for _, p := range people {
		for _, role := range p.roles {
			relationships = append(relationships, fmt.Sprintf("role:%s#assignee@identity:%s", role, p.id))
		}
	}
	at, token := f.published(t, "gateway.fga", append(relationships,
		"route:/users/{userId}#GET@role:viewer#assignee", "route:/todos#GET@role:viewer#assignee",
		"route:/todos#POST@role:editor#assignee", "route:/todos/{todoId}#PUT@role:editor#assignee",
		"route:/todos/{todoId}#DELETE@role:editor#assignee",
	))
	f.evaluate(t, at, token, all.Evaluation)
}

// searchVector is one published search with its results.
type searchVector struct {
	Request  json.RawMessage `json:"request"`
	Expected struct {
		Results []map[string]any `json:"results"`
	} `json:"expected"`
}

// search sends every request, pages through the results, and compares them as
// sets: an order was not published.
func (f *fixture) search(t *testing.T, path, token string, all []searchVector, limit int) {
	t.Helper()
	if len(all) == 0 {
		t.Fatal("no search was published")
	}
	for _, v := range all {
		var request map[string]any
		if err := json.Unmarshal(v.Request, &request); err != nil {
			t.Fatal(err)
		}
		got := f.results(t, path, token, request, limit)
		if want := set(v.Expected.Results); !slices.Equal(set(got), want) || len(got) != len(want) {
			t.Errorf("%s: %v, want %v", v.Request, set(got), want)
		}
	}
	t.Logf("%d published searches, %d results a page", len(all), limit)
}

// results pages through a search.
func (f *fixture) results(t *testing.T, path, token string, request map[string]any, limit int) []map[string]any {
	t.Helper()
	var out []map[string]any
	next := ""
	for {
		request["page"] = map[string]any{"limit": limit, "token": next}
		body, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		answer := f.ask(t, path, string(body), map[string]string{"X-Meridian-Revision": token})
		results, _ := answer["results"].([]any)
		if len(results) > limit {
			t.Fatalf("a page of %d results, the limit is %d", len(results), limit)
		}
		for _, r := range results {
			if found, ok := r.(map[string]any); ok {
				out = append(out, found)
			}
		}
		page, _ := answer["page"].(map[string]any)
		if next, _ = page["next_token"].(string); next == "" {
			return out
		}
	}
}

// set returns entities as sorted texts.
func set(entities []map[string]any) []string {
	out := []string{}
	for _, e := range entities {
		out = append(out, fmt.Sprint(e["type"], ":", e["id"], " ", e["name"]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// records are the published records, and who is what where.
func recordRelationships(t *testing.T, records, users string) []string {
	t.Helper()
	var all []struct {
		ID                any
		Department, Owner string
	}
	var staff []struct{ ID, Role, Department string }
	if !vectors(t, records, &all) || !vectors(t, users, &staff) {
		return nil
	}
	var out []string
	for _, u := range staff {
		if u.Department == "" {
			continue
		}
		out = append(out, fmt.Sprintf("department:%s#member@user:%s", u.Department, u.ID), fmt.Sprintf("role:%s#assignee@user:%s", u.Role, u.ID))
		if u.Role == "manager" {
			out = append(out, fmt.Sprintf("department:%s#manager@user:%s", u.Department, u.ID))
		}
	}
	for _, r := range all {
		out = append(out, fmt.Sprintf("record:%v#delete@user:%s", r.ID, r.Owner))
		if r.Department == "" {
			continue
		}
		out = append(out, fmt.Sprintf("record:%v#edit@department:%s#manager", r.ID, r.Department),
			fmt.Sprintf("record:%v#view@department:%s#member", r.ID, r.Department), fmt.Sprintf("record:%v#view@role:manager#assignee", r.ID))
	}
	return out
}

func TestPublishedSearches(t *testing.T) {
	f := newFixture(t, authz.Config{})
	at, token := f.published(t, "records.fga", recordRelationships(t, "search-records.json", "search-users.json"))
	for name, path := range map[string]string{
		"search-subject-results.json": "subject", "search-resource-results.json": "resource", "search-action-results.json": "action",
	} {
		for _, limit := range []int{1000, 2} {
			t.Run(fmt.Sprintf("%s/%d", path, limit), func(t *testing.T) {
				var all struct{ Evaluation []searchVector }
				if !vectors(t, name, &all) {
					return
				}
				f.search(t, at+"/access/v1/search/"+path, token, all.Evaluation, limit)
			})
		}
	}
}

func TestPublishedIdentityProvider(t *testing.T) {
	f := newFixture(t, authz.Config{})
	at, token := f.published(t, "records.fga", recordRelationships(t, "idp-records.json", "idp-users.json"))
	var all struct{ Search []searchVector }
	if !vectors(t, "idp-search-results.json", &all) {
		return
	}
	f.search(t, at+"/access/v1/search/resource", token, all.Search, 1000)
}
