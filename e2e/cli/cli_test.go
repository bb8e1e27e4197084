// Package cli_test runs every command as people and scripts do.
package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// TestAgainstDev shares one deployment, since starting it takes longer than all
// commands do.
func TestAgainstDev(t *testing.T) {
	d := harness.StartDev(t, t.TempDir())
	for _, part := range []struct {
		name string
		test func(t *testing.T, d *harness.Dev)
	}{
		{"check and explain", testCheck},
		{"lists, expansion and circumstances", testList},
		{"writing relationships", testWrite},
		{"importing relationships", testImport},
		{"reading relationships", testRead},
		{"terms, export and import", testTerms},
		{"watching relationships", testWatch},
		{"models", testModels},
		{"lives of models", testLives},
		{"roles", testRoles},
		{"organizations", testOrganizations},
		{"lives of organizations", testOrganizationLives},
		{"users", testUsers},
		{"erasure", testErasure},
		{"members", testMembers},
		{"groups", testGroups},
		{"service accounts", testServiceAccounts},
		{"clients", testClients},
		{"trusts", testTrusts},
		{"activity", testActivity},
		{"invitations", testInvitations},
		{"domains", testDomains},
		{"credentials", testCredentials},
		{"tokens", testTokens},
		{"log", testLog},
		{"importing people", testPeopleImport},
		{"an import that breaks off", testBrokenImport},
		{"seed", testSeed},
		{"log tail --follow", testFollow},
		{"errors say what to do", testErrors},
		{"a second dev", testSecondDev},
		{"files and outputs keep secrets", testSecrets},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, d) })
	}
}

// expect fails the test when the exit code is another one, and returns what was
// printed.
func expect(t *testing.T, r harness.Result, code int) string {
	t.Helper()
	if r.Code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.Code, code, r.Stdout, r.Stderr)
	}
	if code != 2 && r.Stderr != "" && !strings.HasPrefix(r.Stderr, "token ") {
		t.Errorf("an answer with words on standard error: %q", r.Stderr)
	}
	if code == 2 && (r.Stdout != "" || !strings.HasPrefix(r.Stderr, "meridian: ")) {
		t.Errorf("an error must be on standard error only: stdout %q, stderr %q", r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// lines reads one JSON object from every line.
func lines(t *testing.T, stdout string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(stdout) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("line %d is no JSON object: %v\n%s", len(out)+1, err, line)
		}
		out = append(out, object)
	}
	return out
}

// one reads the only JSON object.
func one(t *testing.T, stdout string) map[string]any {
	t.Helper()
	all := lines(t, stdout)
	if len(all) != 1 {
		t.Fatalf("%d lines of JSON, want 1:\n%s", len(all), stdout)
	}
	return all[0]
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

func testCheck(t *testing.T, d *harness.Dev) {
	allowed := []string{"user:anna", "can_select", "table:orders"}
	denied := []string{"user:anna", "can_select", "table:salaries"}
	run := func(command string, question []string, more ...string) harness.Result {
		return d.Run(t, append(append([]string{command}, question...), more...)...)
	}
	contains(t, expect(t, run("check", allowed), 0), "ALLOW  at sequence ")
	contains(t, expect(t, run("check", denied), 1), "DENY  at sequence ")
	contains(t, expect(t, run("check", allowed, "--fully-consistent"), 0), "ALLOW")
	contains(t, expect(t, run("explain", allowed), 0), "ALLOW  user:anna can_select table:orders", "✓", "group:analysts#member@user:anna")
	contains(t, expect(t, run("explain", denied), 1), "DENY  user:anna can_select table:salaries", "✗", "table:salaries#banned@group:analysts#member")

	answer := one(t, expect(t, run("check", allowed, "--json"), 0))
	if answer["decision"] != "DECISION_ALLOW" {
		t.Errorf("the decision is %v", answer["decision"])
	}
	at, ok := answer["evaluated_at"].(map[string]any)
	if !ok || at["revision"] == "" || at["sequence"] == "" {
		t.Fatalf("evaluated_at is %v", answer["evaluated_at"])
	}
	revision, _ := at["revision"].(string)
	expect(t, run("check", allowed, "--at-least", revision), 0)
	if answer := one(t, expect(t, run("check", denied, "--json"), 1)); answer["decision"] != "DECISION_DENY" {
		t.Errorf("the decision is %v", answer["decision"])
	}
	if answer := one(t, expect(t, run("explain", denied, "--json"), 1)); answer["root"] == nil {
		t.Error("no root in the explanation")
	}

	for _, wrong := range []struct {
		question []string
		want     []string
	}{
		{[]string{"user:anna", "can_selec", "table:orders"}, []string{"can_selec", "RELATION_UNKNOWN"}},
		{[]string{"user:anna", "can_select", "tabl:orders"}, []string{"tabl", "TYPE_UNKNOWN"}},
		{[]string{"anna", "can_select", "table:orders"}, []string{"subject", "INVALID_FIELD"}},
		{[]string{"user:anna", "can_select", "table:orders", "--at-least", "nonsense"}, []string{"REVISION_MALFORMED"}},
		{[]string{"user:anna", "can_select", "table:orders", "--at-least", "x", "--fully-consistent"}, []string{"at-least", "fully-consistent"}},
	} {
		for _, command := range []string{"check", "explain"} {
			r := run(command, wrong.question)
			expect(t, r, 2)
			contains(t, r.Stderr, wrong.want...)
		}
	}
}

func testWrite(t *testing.T, d *harness.Dev) {
	relationship := "table:orders#reader@user:zoe"
	out := expect(t, d.Run(t, "rel", "write", relationship), 0)
	contains(t, out, "created    "+relationship, "revision  ")
	contains(t, expect(t, d.Run(t, "rel", "write", relationship), 0), "unchanged  "+relationship)
	r := d.Run(t, "rel", "write", "--create", relationship)
	expect(t, r, 2)
	contains(t, r.Stderr, "RELATIONSHIP_EXISTS")
	answer := one(t, expect(t, d.Run(t, "rel", "write", "--delete", relationship, "table:orders#reader@user:nobody", "--json"), 0))
	revision, _ := answer["revision"].(string)
	effects, _ := answer["effects"].([]any)
	if len(effects) != 2 || effects[0] != "EFFECT_DELETED" || effects[1] != "EFFECT_ABSENT" || revision == "" {
		t.Errorf("the answer is %v", answer)
	}
	expect(t, d.Run(t, "check", "user:zoe", "can_select", "table:orders", "--at-least", revision), 1)

	// The same key is the same write: done once, answered twice.
	key := []string{"rel", "write", "--create", "--idempotency-key", "once", "table:orders#reader@user:once"}
	first, again := expect(t, d.Run(t, key...), 0), expect(t, d.Run(t, key...), 0)
	if first != again {
		t.Errorf("the repeated write answers %q, the first one %q", again, first)
	}
	r = d.Run(t, "rel", "write", "--idempotency-key", "once", relationship)
	expect(t, r, 2)
	contains(t, r.Stderr, "IDEMPOTENCY_KEY_REUSED")

	for wrong, want := range map[string][]string{
		"table:orders":                     {"table:orders", "type:id#relation@subject"},
		"tabl:orders#reader@user:zoe":      {"tabl", "TYPE_UNKNOWN"},
		"table:orders#readr@user:zoe":      {"readr", "RELATION_UNKNOWN"},
		"table:orders#reader@table:orders": {"RELATIONSHIP_FORBIDDEN"},
	} {
		r := d.Run(t, "rel", "write", wrong)
		expect(t, r, 2)
		contains(t, r.Stderr, want...)
	}
}

func testModels(t *testing.T, d *harness.Dev) {
	dir := t.TempDir()
	good := writeFile(t, dir, "good.fga", goodModel)
	published := one(t, expect(t, d.Run(t, "model", "publish", "--name", "documents", good, "--json"), 0))
	model, _ := published["model"].(map[string]any)
	id, _ := model["id"].(string)
	contains(t, expect(t, d.Run(t, "model", "publish", good, "--name", "documents"), 0), "unchanged  "+id+"  documents", "meridian model state "+id+" active")
	validated := one(t, expect(t, harness.Run(t, "model", "validate", good, "--json"), 0))
	if validated["model"] != id || validated["valid"] != any(true) {
		t.Errorf("validate says %v, publish says %s", validated, id)
	}
	contains(t, expect(t, d.Run(t, "model", "list"), 0), "MODEL", id, "cloud")
	if all := lines(t, expect(t, d.Run(t, "model", "list", "--json"), 0)); len(all) != 2 || all[0]["id"] != id {
		t.Errorf("the models are %v, want two, the newest first", all)
	}
	contains(t, expect(t, d.Run(t, "model", "show", id), 0), goodModel)
	if one(t, expect(t, d.Run(t, "model", "show", id, "--json"), 0))["model"] == nil {
		t.Error("no model in the answer")
	}
	organization, _ := one(t, expect(t, d.Run(t, "org", "create", "models", "--json"), 0))["organization"].(map[string]any)
	other, _ := organization["id"].(string)
	r := d.Run(t, "check", "user:anna", "viewer", "document:plan", "--organization", other)
	expect(t, r, 2)
	contains(t, r.Stderr, "MODEL_NOT_ASSIGNED", "meridian model assign MODEL, or --line NAME")
	r = d.Run(t, "model", "assign", "--line", "documents", "--organization", other)
	expect(t, r, 2)
	contains(t, r.Stderr, "MODEL_STATE", "meridian model state MODEL active")
	contains(t, expect(t, d.Run(t, "model", "assign", id, "--organization", other), 0), "assigned   "+id, other, "revision")
	contains(t, expect(t, d.Run(t, "model", "publish", good, "--assign", "--organization", other), 0), "unchanged", "assigned")
	contains(t, expect(t, d.Run(t, "rel", "write", "document:plan#viewer@user:anna", "-o", other), 0), "created")
	r = d.Run(t, "model", "publish", writeFile(t, dir, "bad.fga", badModel))
	expect(t, r, 2)
	contains(t, r.Stderr, "bad.fga", "MODEL_INVALID")
	r = d.Run(t, "model", "assign", "mdl_"+strings.Repeat("0", 32))
	expect(t, r, 2)
	contains(t, r.Stderr, "NOT_FOUND")
}

func testOrganizations(t *testing.T, d *harness.Dev) {
	contains(t, expect(t, d.Run(t, "org", "create", "hooli", "--name", "Hooli, Inc."), 0), "created    org_", "hooli", "revision  ")
	contains(t, expect(t, d.Run(t, "org", "list"), 0), "ORGANIZATION", "acme", "globex", "Hooli, Inc.")
	found := false
	for _, o := range lines(t, expect(t, d.Run(t, "org", "list", "--json"), 0)) {
		found = found || o["slug"] == "hooli" && o["name"] == "Hooli, Inc."
	}
	if !found {
		t.Error("hooli is not listed")
	}
	// The only region of a development deployment is where it is already.
	contains(t, expect(t, d.Run(t, "org", "move", d.Organization, "--to", "local"), 0),
		"at home    "+d.Organization, "acme", "in local", "revision  ")
	moved := one(t, expect(t, d.Run(t, "org", "move", d.Organization, "--to", "local", "--json"), 0))
	if o, _ := moved["organization"].(map[string]any); o["home_region"] != "local" || moved["revision"] == "" {
		t.Errorf("moved: %v", moved)
	}
	for name, args := range map[string][]string{
		"ALREADY_EXISTS":   {"org", "create", "hooli"},
		"slug":             {"org", "create", "Bad_Slug"},
		"region":           {"org", "create", "elsewhere", "--region", "mars"},
		`it has ["local"]`: {"org", "move", d.Organization, "--to", "mars"},
		"NOT_FOUND":        {"org", "move", "org_00000000000000000000000000", "--to", "local"},
	} {
		r := d.Run(t, args...)
		expect(t, r, 2)
		contains(t, r.Stderr, name)
	}
}
