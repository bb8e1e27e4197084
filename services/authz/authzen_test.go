package authz_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// httpAnswer is what a plain HTTP call brought.
type httpAnswer struct {
	status int
	header http.Header
	body   string
}

// post sends a body as it is.
func (f *fixture) post(t testing.TB, path, body string, header map[string]string) httpAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer test")
	for name, value := range header {
		req.Header.Set(name, value)
		if value == "" {
			req.Header.Del(name)
		}
	}
	return send(t, req)
}

func send(t testing.TB, req *http.Request) httpAnswer {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return httpAnswer{res.StatusCode, res.Header, string(content)}
}

// ask sends a request and reads the JSON of a good answer.
func (f *fixture) ask(t testing.TB, path, body string, header map[string]string) map[string]any {
	t.Helper()
	got := f.post(t, path, body, header)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s %s: %d %s %s", path, body, got.status, got.header.Get("Content-Type"), got.body)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// sameJSON fails the test unless got is want.
func sameJSON(t testing.TB, got any, want string) {
	t.Helper()
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(wanted)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

// pdp is an organization with a plan that anna may read and bert may not.
func (f *fixture) pdp(t testing.TB) (org, at, token string) {
	t.Helper()
	org = f.organization(t)
	f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	token = f.write(t, org, touch, relationship("document:a%20b", "reader", "user:anna"))
	f.answers(t, org, token)
	return org, "/authzen/" + org, token
}

const (
	annaReads = `"subject":{"type":"user","id":"anna"},"action":{"name":"can_read"},"resource":{"type":"document","id":"plan"}`
	bertReads = `"subject":{"type":"user","id":"bert"},"action":{"name":"can_read"},"resource":{"type":"document","id":"plan"}`
)

func TestAuthZENEvaluation(t *testing.T) {
	f := newFixture(t, authz.Config{})
	_, at, _ := f.pdp(t)
	for name, tc := range map[string]struct{ body, want string }{
		"permit":                                {`{` + annaReads + `}`, `{"decision":true}`},
		"deny":                                  {`{` + bertReads + `}`, `{"decision":false}`},
		"context and members that nobody knows": {`{` + annaReads + `,"context":{"time":"now"},"future":[1,{"x":null}]}`, `{"decision":true}`},
		"properties": {`{"subject":{"type":"user","id":"anna","properties":{"role":"x"}},"action":{"name":"can_read","properties":{"soft":true}},
			"resource":{"type":"document","id":"plan","properties":{"a":[1,2]}}}`, `{"decision":true}`},
		"an id with a space": {`{"subject":{"type":"user","id":"anna"},"action":{"name":"can_read"},"resource":{"type":"document","id":"a b"}}`, `{"decision":true}`},
		"an id that reads like an escaped one": {
			`{"subject":{"type":"user","id":"anna"},"action":{"name":"can_read"},"resource":{"type":"document","id":"a%20b"}}`, `{"decision":false}`,
		},
		"an action that the model does not know": {
			`{"subject":{"type":"user","id":"anna"},"action":{"name":"can_fly"},"resource":{"type":"document","id":"plan"}}`,
			`{"decision":false,"context":{"reason_admin":{"404":"action.name: type \"document\" has no relation \"can_fly\""}}}`,
		},
		"a type that the model does not know": {
			`{"subject":{"type":"robot","id":"anna"},"action":{"name":"can_read"},"resource":{"type":"document","id":"plan"}}`,
			`{"decision":false,"context":{"reason_admin":{"404":"subject: the model has no type \"robot\""}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			sameJSON(t, f.ask(t, at+"/access/v1/evaluation", tc.body, nil), tc.want)
		})
	}
}

func TestAuthZENRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, at, _ := f.pdp(t)
	whole := `{` + annaReads + `}`
	deep := strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40)
	for name, tc := range map[string]struct {
		body   string
		header map[string]string
		status int
		want   string
	}{
		"no subject":          {`{"action":{"name":"can_read"},"resource":{"type":"document","id":"plan"}}`, nil, 400, "INVALID_FIELD: subject: is required\n"},
		"no action":           {`{"subject":{"type":"user","id":"anna"},"resource":{"type":"document","id":"plan"}}`, nil, 400, "INVALID_FIELD: action: is required\n"},
		"no resource":         {`{"subject":{"type":"user","id":"anna"},"action":{"name":"can_read"}}`, nil, 400, "INVALID_FIELD: resource: is required\n"},
		"no subject type":     {`{"subject":{"id":"anna"}}`, nil, 400, "INVALID_FIELD: subject.type: is required\n"},
		"no subject id":       {`{"subject":{"type":"user"}}`, nil, 400, "INVALID_FIELD: subject.id: is required\n"},
		"an empty id":         {`{"subject":{"type":"user","id":""}}`, nil, 400, "INVALID_FIELD: subject.id: must not be empty\n"},
		"an id of a number":   {`{"subject":{"type":"user","id":7}}`, nil, 400, "INVALID_FIELD: subject.id: must be a string\n"},
		"a subject of a text": {`{"subject":"anna"}`, nil, 400, "INVALID_FIELD: subject: must be an object\n"},
		"a name in capitals":  {`{"Subject":{"type":"user","id":"anna"}}`, nil, 400, "INVALID_FIELD: subject: is required\n"},
		"a name twice":        {`{"subject":{"type":"user","id":"anna","id":"bert"}}`, nil, 400, "INVALID_FIELD: body: has the name \"id\" twice in one object\n"},
		"properties of a list": {
			`{"subject":{"type":"user","id":"anna","properties":[]}}`, nil, 400, "INVALID_FIELD: subject.properties: must be an object\n",
		},
		"a context of a text": {`{` + annaReads + `,"context":"x"}`, nil, 400, "INVALID_FIELD: context: must be an object\n"},
		"a parameter from two places": {
			`{"subject":{"type":"user","id":"anna","properties":{"role":"x"}},"action":{"name":"can_read"},"resource":{"type":"document","id":"plan"},"context":{"subject_role":"y"}}`,
			nil, 400, "INVALID_FIELD: subject.properties: gives the parameter \"subject_role\" once more\n",
		},
		"a context that is too large": {
			`{` + annaReads + `,"context":{"x":"` + strings.Repeat("x", 5000) + `"}}`, nil, 400, "INVALID_FIELD: context: must be at most 4 KiB as JSON\n",
		},
		"nothing":         {``, nil, 400, "INVALID_FIELD: body: is not JSON\n"},
		"half of it":      {`{"subject":`, nil, 400, "INVALID_FIELD: body: is not JSON\n"},
		"more after it":   {whole + `{}`, nil, 400, "INVALID_FIELD: body: is not JSON\n"},
		"a list":          {`[]`, nil, 400, "INVALID_FIELD: body: must be a JSON object\n"},
		"not UTF-8":       {"{\"subject\":\"\xff\"}", nil, 400, "INVALID_FIELD: body: must be UTF-8, without half of a surrogate pair\n"},
		"too deep":        {`{"x":` + deep + `}`, nil, 400, "INVALID_FIELD: body: must not nest deeper than 32\n"},
		"too large":       {`{"x":"` + strings.Repeat("x", 256<<10) + `"}`, nil, 413, "BATCH_TOO_LARGE: the request is larger than 256 KiB\n"},
		"text":            {whole, map[string]string{"Content-Type": "text/plain"}, 400, "INVALID_FIELD: Content-Type: must be application/json\n"},
		"no content type": {whole, map[string]string{"Content-Type": ""}, 400, "INVALID_FIELD: Content-Type: must be application/json\n"},
		"no token":        {whole, map[string]string{"Authorization": ""}, 401, "TOKEN_MISSING: a bearer token is needed\n"},
		"a revision of another": {
			whole, map[string]string{"X-Meridian-Revision": "garbage"}, 400, "REVISION_MALFORMED: X-Meridian-Revision is not a revision token\n",
		},
		"a long revision": {
			whole,
			map[string]string{"X-Meridian-Revision": strings.Repeat("x", 129)},
			400,
			"INVALID_FIELD: X-Meridian-Revision: must be a revision token of at most 128 characters\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := f.post(t, at+"/access/v1/evaluation", tc.body, tc.header)
			if got.status != tc.status || got.body != tc.want || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
				t.Errorf("%d %q %s, want %d %q as text", got.status, got.body, got.header.Get("Content-Type"), tc.status, tc.want)
			}
		})
	}
	for name, path := range map[string]string{
		"absent": strings.Replace(at, org, id.New(id.Organization), 1), "malformed": "/authzen/acme", "the platform": "/authzen/platform",
	} {
		t.Run("organization "+name, func(t *testing.T) {
			got := f.post(t, path+"/access/v1/evaluation", whole, nil)
			if got.status != http.StatusNotFound || got.body != "NOT_FOUND: no such organization\n" {
				t.Errorf("%d %q", got.status, got.body)
			}
		})
	}
}

func TestAuthZENHeaders(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, at, _ := f.pdp(t)
	for _, body := range []string{`{` + annaReads + `}`, `{}`} {
		for given, want := range map[string]string{
			"bfe9eb29-ab87": "bfe9eb29-ab87", "with a space": "with a space", strings.Repeat("x", 257): "", "caf\u00e9": "",
		} {
			got := f.post(t, at+"/access/v1/evaluation", body, map[string]string{"X-Request-ID": given})
			if got.header.Get("X-Request-ID") != want {
				t.Errorf("X-Request-ID %.20q came back as %q, want %q", given, got.header.Get("X-Request-ID"), want)
			}
		}
	}
	if got := f.post(t, at+"/access/v1/evaluation", `{`, map[string]string{"Authorization": ""}); got.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("401 without WWW-Authenticate: %v", got)
	}
	// A revision that was written a moment ago is waited for, and told.
	token := f.write(t, org, remove, relationship("document:plan", "reader", "user:anna"))
	got := f.post(t, at+"/access/v1/evaluation", `{`+annaReads+`}`, map[string]string{"X-Meridian-Revision": token})
	if got.body != `{"decision":false}` || got.header.Get("X-Meridian-Revision") != token {
		t.Errorf("%v, want a deny at %s", got, token)
	}
}

// What the model does not know is answered at a revision too, and an error is not.
func TestAuthZENRevisionOfEveryAnswer(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, at, _ := f.pdp(t)
	head := tokenOf(t, org, f.head(t, org))
	fresh := map[string]string{"X-Meridian-Revision": head}
	const user, plan, reads = `"subject":{"type":"user","id":"anna"}`, `"resource":{"type":"document","id":"plan"}`, `"action":{"name":"can_read"}`
	for name, tc := range map[string]struct{ path, body, want string }{
		"unknown type":               {"evaluation", `{` + user + `,` + reads + `,"resource":{"type":"folder","id":"x"}}`, head},
		"unknown action":             {"evaluation", `{` + user + `,"action":{"name":"can_fly"},` + plan + `}`, head},
		"unknown in many":            {"evaluations", `{"evaluations":[{` + user + `,` + reads + `,"resource":{"type":"folder","id":"x"}}]}`, head},
		"nobody decided":             {"evaluations", `{"evaluations":[{}]}`, head},
		"search of unknown subjects": {"search/subject", `{"subject":{"type":"usr"},` + reads + `,` + plan + `}`, head},
		"search of unknown objects":  {"search/resource", `{` + user + `,` + reads + `,"resource":{"type":"folder"}}`, head},
		"search of unknown actions":  {"search/action", `{` + user + `,"resource":{"type":"folder","id":"x"}}`, head},
		"search without results":     {"search/resource", `{"subject":{"type":"user","id":"absent"},` + reads + `,"resource":{"type":"document"}}`, head},
		"an error":                   {"evaluation", `{}`, ""},
	} {
		got := f.post(t, at+"/access/v1/"+tc.path, tc.body, fresh)
		if got.header.Get("X-Meridian-Revision") != tc.want || (got.status == http.StatusOK) != (tc.want != "") {
			t.Errorf("%s: %d %s at %q, want %q", name, got.status, got.body, got.header.Get("X-Meridian-Revision"), tc.want)
		}
	}
}

func TestAuthZENEvaluations(t *testing.T) {
	f := newFixture(t, authz.Config{})
	_, at, _ := f.pdp(t)
	anna, bert := `{`+annaReads+`}`, `{`+bertReads+`}`
	two := `"subject":{"type":"user","id":"anna"},"action":{"name":"can_read"},"evaluations":[`
	for name, tc := range map[string]struct{ body, want string }{
		"all": {`{"evaluations":[` + anna + `,` + bert + `,` + anna + `]}`, `{"evaluations":[{"decision":true},{"decision":false},{"decision":true}]}`},
		"until the first deny": {
			`{"options":{"evaluations_semantic":"deny_on_first_deny"},"evaluations":[` + anna + `,` + bert + `,` + anna + `]}`,
			`{"evaluations":[{"decision":true},{"decision":false}]}`,
		},
		"until the first error": {
			`{"options":{"evaluations_semantic":"deny_on_first_deny"},"evaluations":[` + anna + `,{},` + anna + `]}`,
			`{"evaluations":[{"decision":true},{"decision":false,"context":{"error":{"status":400,"message":"INVALID_FIELD: subject: is required"}}}]}`,
		},
		"until the first permit": {
			`{"options":{"evaluations_semantic":"permit_on_first_permit"},"evaluations":[` + bert + `,` + anna + `,` + anna + `]}`,
			`{"evaluations":[{"decision":false},{"decision":true}]}`,
		},
		"defaults": {
			`{` + two + `{"resource":{"type":"document","id":"plan"}},{"subject":{"type":"user","id":"bert"},"resource":{"type":"document","id":"plan"}}]}`,
			`{"evaluations":[{"decision":true},{"decision":false}]}`,
		},
		"a default is not merged, it is replaced": {
			`{` + two + `{"subject":{"id":"bert"},"resource":{"type":"document","id":"plan"}}]}`,
			`{"evaluations":[{"decision":false,"context":{"error":{"status":400,"message":"INVALID_FIELD: subject.type: is required"}}}]}`,
		},
		"errors of items": {
			`{` + two + `7,{"resource":{"type":"document","id":"\u0000"}},{"resource":{"type":"folder","id":"x"}},{"resource":{"type":"document","id":"plan"}}]}`,
			`{"evaluations":[
			  {"decision":false,"context":{"error":{"status":400,"message":"INVALID_FIELD: evaluation: must be an object"}}},
			  {"decision":false},
			  {"decision":false,"context":{"reason_admin":{"404":"resource: the model has no type \"folder\""}}},
			  {"decision":true}]}`,
		},
		"none":    {`{` + annaReads + `}`, `{"decision":true}`},
		"no more": {`{` + annaReads + `,"evaluations":[]}`, `{"decision":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			sameJSON(t, f.ask(t, at+"/access/v1/evaluations", tc.body, nil), tc.want)
		})
	}
	for name, tc := range map[string]struct{ body, want string }{
		"not a list": {`{"evaluations":{}}`, "INVALID_FIELD: evaluations: must be an array\n"},
		"201":        {`{"evaluations":[` + strings.Repeat("{},", 200) + `{}]}`, "BATCH_TOO_LARGE: evaluations: must be at most 200\n"},
		"another semantic": {
			`{"options":{"evaluations_semantic":"maybe"},"evaluations":[{}]}`,
			"INVALID_FIELD: options.evaluations_semantic: must be execute_all, deny_on_first_deny or permit_on_first_permit\n",
		},
		"options of a text": {`{"options":"x","evaluations":[{}]}`, "INVALID_FIELD: options: must be an object\n"},
		"nothing":           {`{}`, "INVALID_FIELD: subject: is required\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := f.post(t, at+"/access/v1/evaluations", tc.body, nil); got.status != http.StatusBadRequest || got.body != tc.want {
				t.Errorf("%d %q, want 400 %q", got.status, got.body, tc.want)
			}
		})
	}
}

// The metadata's URLs are those of the configuration, whatever host a client
// names, and tell nothing about organizations.
func TestAuthZENMetadata(t *testing.T) {
	f := newFixture(t, authz.Config{PublicURL: "https://pdp.example.com"})
	get := func(path string) httpAnswer {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.address+"/.well-known/authzen-configuration"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "evil.example.com"
		return send(t, req)
	}
	org := id.New(id.Organization)
	got := get("/authzen/" + org)
	var body any
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.header.Get("Content-Type") != "application/json" {
		t.Fatal(got, err)
	}
	base := "https://pdp.example.com/authzen/" + org
	sameJSON(t, body, `{"policy_decision_point":"`+base+`",
		"access_evaluation_endpoint":"`+base+`/access/v1/evaluation","access_evaluations_endpoint":"`+base+`/access/v1/evaluations",
		"search_subject_endpoint":"`+base+`/access/v1/search/subject","search_resource_endpoint":"`+base+`/access/v1/search/resource",
		"search_action_endpoint":"`+base+`/access/v1/search/action"}`)
	if got := get("/authzen/acme"); got.status != http.StatusNotFound {
		t.Errorf("of a malformed organization: %v", got)
	}
	for _, url := range []string{"pdp.example.com", "https://", "https://a/b", "ftp://a", "https://u:p@a", "https://a?x", "https://a#x", "https://a/"} {
		if _, err := authz.New(authz.Options{Config: authz.Config{PublicURL: url}, Dir: t.TempDir()}); err == nil ||
			!strings.HasPrefix(err.Error(), "authz.public_url: ") {
			t.Errorf("public_url %q: %v, want a refusal", url, err)
		}
	}
}

func TestAuthZENWithoutPublicURL(t *testing.T) {
	f := newFixture(t, authz.Config{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.address+"/.well-known/authzen-configuration/authzen/"+id.New(id.Organization), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := send(t, req); got.status != http.StatusNotFound || !strings.Contains(got.body, "authz.public_url") {
		t.Errorf("%v, want 404 that names the setting", got)
	}
}

// Pages go on with the same request only.
func TestAuthZENPages(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.shelf(t, 50)
	const (
		resources = `"subject":{"type":"user","id":"anna"},"action":{"name":"can_read"},"resource":{"type":"document","id":"ignored"}`
		actions   = `"subject":{"type":"user","id":"anna"},"resource":{"type":"document","id":"000"}`
	)
	at := "/authzen/" + org + "/access/v1/search/"
	next := func(path, body string) string {
		t.Helper()
		answer := f.ask(t, at+path, body, map[string]string{"X-Meridian-Revision": token})
		page, _ := answer["page"].(map[string]any)
		text, ok := page["next_token"].(string)
		if !ok {
			t.Fatalf("no next_token in %v", answer)
		}
		return text
	}
	of := next("resource", `{`+resources+`,"page":{"limit":7}}`)
	act := next("action", `{`+actions+`,"page":{"limit":1}}`)
	if of == "" || act == "" {
		t.Fatal("a list of many pages has one")
	}
	for path, body := range map[string]string{"resource": `{` + resources + `}`, "action": `{` + actions + `}`} {
		if got := next(path, body); got != "" {
			t.Errorf("%s: a list of one page goes on at %q", path, got)
		}
	}
	for name, body := range map[string]string{
		"the same limit": `{` + resources + `,"page":{"limit":7,"token":"` + of + `"}}`,
		"no limit":       `{` + resources + `,"page":{"token":"` + of + `"}}`,
	} {
		if answer := f.ask(t, at+"resource", body, nil); len(answer["results"].([]any)) != 7 {
			t.Errorf("%s: %v, want 7 results", name, answer)
		}
	}
	const notOurs = "INVALID_FIELD: page.token: is not a token of this search; start again without one\n"
	bad := func(name, path, body, want string) {
		t.Run(name, func(t *testing.T) {
			if got := f.post(t, at+path, body, nil); got.status != http.StatusBadRequest || got.body != want {
				t.Errorf("%d %q, want 400 %q", got.status, got.body, want)
			}
		})
	}
	page := func(of string) string { return `"page":{"token":"` + of + `"}` }
	bad("another limit", "resource", `{`+resources+`,"page":{"limit":8,"token":"`+of+`"}}`, "INVALID_FIELD: page.limit: must be that of the first page\n")
	bad("another subject", "resource", `{`+strings.Replace(resources, "anna", "bert", 1)+`,`+page(of)+`}`, notOurs)
	bad("another action", "resource", `{`+strings.Replace(resources, "can_read", "owner", 1)+`,`+page(of)+`}`, notOurs)
	bad("another context", "resource", `{`+resources+`,"context":{"ip":"x"},`+page(of)+`}`, notOurs)
	bad("another search", "subject", `{`+strings.Replace(resources, "ignored", "000", 1)+`,`+page(of)+`}`, notOurs)
	bad("a token of actions with another subject", "action", `{`+strings.Replace(actions, "anna", "bert", 1)+`,`+page(act)+`}`, notOurs)
	bad("a tampered token", "resource", `{`+resources+`,`+page(of[:len(of)-4]+"AAAA")+`}`, notOurs)
	bad("a token without a limit", "resource", `{`+resources+`,`+page(of[2:])+`}`, notOurs)
	bad("a token that is none", "resource", `{`+resources+`,`+page("x")+`}`, notOurs)
	bad("a number as token", "resource", `{`+resources+`,"page":{"token":7}}`, "INVALID_FIELD: page.token: must be a string\n")
	for _, limit := range []string{"-1", "1.5", `"7"`, "true"} {
		bad("limit "+limit, "resource", `{`+resources+`,"page":{"limit":`+limit+`}}`, "INVALID_FIELD: page.limit: must be an integer that is not negative\n")
	}
	bad("no resource id", "subject", `{"subject":{"type":"user"},"action":{"name":"can_read"},"resource":{"type":"document"}}`, "INVALID_FIELD: resource.id: is required\n")
	bad("no subject id", "action", `{"subject":{"type":"user"},"resource":{"type":"document","id":"000"}}`, "INVALID_FIELD: subject.id: is required\n")
	bad("no action", "resource", `{"subject":{"type":"user","id":"anna"},"resource":{"type":"document"}}`, "INVALID_FIELD: action: is required\n")
	// What the model does not know has no results.
	sameJSON(t, f.ask(t, at+"subject", `{"subject":{"type":"robot"},"action":{"name":"can_read"},"resource":{"type":"document","id":"000"}}`, nil),
		`{"page":{"next_token":"","count":0},"results":[],"context":{"reason_admin":{"404":"subject: the model has no type \"robot\""}}}`)
}

// Context and properties reach the conditions of stored relationships.
func TestAuthZENConditions(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	f.assign(t, org, strings.Replace(model, "define reader: [user,", "define reader: [user with office, user,", 1)+`
condition office(hour: int, subject_floor: int) {
  hour < 17 && subject_floor > 1
}
`)
	guarded := relationship("document:plan", "reader", "user:bert")
	guarded.Condition = &authzv1.Condition{Name: "office"}
	_, token := f.effect(t, org, touch, guarded)
	fresh := map[string]string{"X-Meridian-Revision": token}
	question := func(context, properties string) string {
		return `{"subject":{"type":"user","id":"bert","properties":` + properties + `},"action":{"name":"can_read"},` +
			`"resource":{"type":"document","id":"plan"},"context":` + context + `}`
	}
	for name, tc := range map[string]struct{ context, properties, want string }{
		"met":     {`{"hour":12}`, `{"floor":2}`, `[true,null]`},
		"not met": {`{"hour":20}`, `{"floor":2}`, `[false,null]`},
		"lacking": {`{}`, `{"floor":2}`, `[false,["hour"]]`},
	} {
		t.Run(name, func(t *testing.T) {
			got := f.ask(t, "/authzen/"+org+"/access/v1/evaluation", question(tc.context, tc.properties), fresh)
			context, _ := got["context"].(map[string]any)
			sameJSON(t, []any{got["decision"], context["missing_context"]}, tc.want)
		})
	}
	if got := f.post(t, "/authzen/"+org+"/access/v1/evaluation", question(`{"hour":"noon"}`, `{"floor":2}`), fresh); got.status != http.StatusBadRequest ||
		!strings.Contains(got.body, "CONTEXT_INVALID") {
		t.Errorf("a context of the wrong type: %d %s", got.status, got.body)
	}
	found := f.ask(t, "/authzen/"+org+"/access/v1/search/resource",
		`{"subject":{"type":"user","id":"bert","properties":{"floor":3}},"action":{"name":"can_read"},"resource":{"type":"document"},"context":{"hour":9}}`, fresh)
	sameJSON(t, found["results"], `[{"type":"document","id":"plan"}]`)
}
