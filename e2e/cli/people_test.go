package cli_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// field returns a field of the object in an answer's field, as id of user.
func field(t *testing.T, answer map[string]any, object, name string) string {
	t.Helper()
	of, _ := answer[object].(map[string]any)
	text, ok := of[name].(string)
	if !ok {
		t.Fatalf("no %s of %s in %v", name, object, answer)
	}
	return text
}

// wrong runs commands that must fail with certain words.
func wrong(t *testing.T, d *harness.Dev, commands map[string][]string) {
	t.Helper()
	for want, args := range commands {
		r := d.Run(t, args...)
		expect(t, r, 2)
		contains(t, r.Stderr, want)
	}
}

func testUsers(t *testing.T, d *harness.Dev) {
	out := expect(t, d.Run(t, "user", "create", "walter@hooli.example", "--name", "Walter Weiß", "--locale", "de"), 0)
	contains(t, out, "created    usr_", "walter@hooli.example  active  in local", "revision   ")
	answer := one(t, expect(t, d.Run(t, "user", "show", "Walter@hooli.example", "--json"), 0))
	id := field(t, answer, "user", "id")
	contains(t, expect(t, d.Run(t, "user", "show", id), 0), "user     "+id, "email    walter@hooli.example  (not verified)", "Walter Weiß", "locale   de")
	contains(t, expect(t, d.Run(t, "user", "update", id, "--name", "Walter Schwarz", "--verified"), 0), "updated    "+id, "revision")
	out = expect(t, d.Run(t, "user", "show", id), 0)
	contains(t, out, "name     Walter Schwarz", "locale   de")
	if strings.Contains(out, "not verified") {
		t.Errorf("the address is not verified:\n%s", out)
	}
	contains(t, expect(t, d.Run(t, "user", "email", "walter@hooli.example", "walter.s@hooli.example"), 0), "updated    "+id+"  walter.s@hooli.example")
	contains(t, expect(t, d.Run(t, "user", "suspend", id), 0), "suspended  "+id, "suspended  in local")
	if all := lines(t, expect(t, d.Run(t, "user", "list", "--state", "suspended", "--json"), 0)); len(all) != 1 || all[0]["id"] != id {
		t.Errorf("suspended are %v", all)
	}
	contains(t, expect(t, d.Run(t, "user", "resume", id), 0), "resumed    "+id, "active")

	// The people of the demo.
	contains(t, expect(t, d.Run(t, "user", "list"), 0), "USER", "EMAIL", "anna@acme.example", "gus@globex.example", id)
	contains(t, expect(t, d.Run(t, "user", "list", "--search", "arendt"), 0), "Anna Arendt")
	limited := d.Run(t, "user", "list", "--limit", "3", "--json")
	if all := lines(t, expect(t, limited, 0)); len(all) != 3 {
		t.Errorf("%d users, want 3", len(all))
	}
	r := d.Run(t, "user", "list", "--limit", "3")
	contains(t, r.Stderr, "there are more than 3")
	out = expect(t, d.Run(t, "user", "organizations", "dana@acme.example"), 0)
	contains(t, out, "ORGANIZATION", "acme", "globex", "initech", "member  active")

	wrong(t, d, map[string][]string{
		"ALREADY_EXISTS":                      {"user", "create", "anna@acme.example"},
		"must have one @":                     {"user", "create", "nonsense"},
		"must be a user's id":                 {"user", "show", "anna"},
		"nobody@acme.example: no such user":   {"user", "show", "nobody@acme.example"},
		"NOT_FOUND":                           {"user", "show", "usr_00000000000000000000000000"},
		"must be active, suspended or erased": {"user", "list", "--state", "gone"},
		"give --yes":                          {"user", "erase", "anna@acme.example"},
		"give --stdin":                        {"user", "set-password", "anna@acme.example"},
		"language tag":                        {"user", "update", id, "--locale", "x"},
		"walter@hooli.example: no such user":  {"user", "show", "walter@hooli.example"},
		"ALREADY_EXISTS)":                     {"user", "email", id, "anna@acme.example"},
	})
}

func testErasure(t *testing.T, d *harness.Dev) {
	id := field(t, one(t, expect(t, d.Run(t, "user", "create", "walter.w@hooli.example", "--name", "Walter Grau", "--json"), 0)), "user", "id")
	org := openOrganization(t, d, "erasure")
	expect(t, d.Run(t, "member", "-o", org, "add", id), 0)
	export := expect(t, d.Run(t, "user", "export", id), 0)
	contains(t, export, `"email": "walter.w@hooli.example"`, `"name": "Walter Grau"`, `"type": "meridian.identity.event.v1.UserCreated"`, `"slug": "erasure"`)
	whole := one(t, expect(t, d.Run(t, "user", "export", id, "--json"), 0))
	if events, _ := whole["events"].([]any); len(events) != 1 || whole["truncated"] != any(false) {
		t.Errorf("exported %v", whole)
	}
	proof := one(t, expect(t, d.Run(t, "user", "erase", id, "--yes", "--json"), 0))
	if field(t, proof, "proof", "user") != id || field(t, proof, "proof", "key_digest") == "" || field(t, proof, "proof", "hash") == "" {
		t.Errorf("the proof is %v", proof)
	}
	// Again: the first proof, for people.
	contains(t, expect(t, d.Run(t, "user", "erase", id, "--yes"), 0), "erased    "+id, "key       ", "sequence  2", "hash      ", "revision  ")
	if out := expect(t, d.Run(t, "user", "show", id), 0); strings.Contains(out, "Walter") || !strings.Contains(out, "state    erased") {
		t.Errorf("an erased user is\n%s", out)
	}
	contains(t, expect(t, d.Run(t, "user", "list", "--state", "erased"), 0), id)
	if out := expect(t, d.Run(t, "member", "-o", org, "list"), 0); strings.Contains(out, id) {
		t.Errorf("an erased user is a member:\n%s", out)
	}
	wrong(t, d, map[string][]string{
		"USER_ERASED":  {"user", "update", id, "--name", "Walter"},
		"USER_ERASED)": {"user", "export", id},
	})
}

func testMembers(t *testing.T, d *harness.Dev) {
	org := openOrganization(t, d, "members")
	run := func(args ...string) harness.Result {
		return d.Run(t, append([]string{"member", "-o", org}, args...)...)
	}
	contains(t, expect(t, run("add", "anna@acme.example", "--role", "admin"), 0), "added      usr_", "anna@acme.example  admin  active", "revision")
	contains(t, expect(t, run("add", "ed@acme.example"), 0), "ed@acme.example  member  active")
	contains(t, expect(t, run("list"), 0), "USER", "ROLE", "Anna Arendt", "admin", "ed@acme.example", "api")
	if all := lines(t, expect(t, run("list", "--role", "admin", "--json"), 0)); len(all) != 1 || all[0]["email"] != "anna@acme.example" {
		t.Errorf("administrators are %v", all)
	}
	if all := lines(t, expect(t, run("list", "--search", "lind", "--json"), 0)); len(all) != 1 || all[0]["email"] != "ed@acme.example" {
		t.Errorf("found %v", all)
	}
	contains(t, expect(t, run("suspend", "ed@acme.example"), 0), "suspended  usr_", "member  suspended")
	contains(t, expect(t, run("show", "ed@acme.example"), 0), "state         suspended", "organization  "+org)
	contains(t, expect(t, run("resume", "ed@acme.example"), 0), "resumed    usr_")
	contains(t, expect(t, run("role", "ed@acme.example", "admin"), 0), "updated    usr_", "admin  active")
	contains(t, expect(t, run("role", "anna@acme.example", "member"), 0), "member  active")
	contains(t, expect(t, run("remove", "anna@acme.example"), 0), "removed    usr_", "from "+org, "revision")
	wrong(t, d, map[string][]string{
		"LAST_ADMINISTRATOR":                {"member", "-o", org, "remove", "ed@acme.example"},
		"no member of " + org:               {"member", "-o", org, "show", "anna@acme.example"},
		"ALREADY_EXISTS":                    {"member", "-o", org, "add", "ed@acme.example"},
		"nobody@acme.example: no such":      {"member", "-o", org, "add", "nobody@acme.example"},
		`role "boss": must be member or ad`: {"member", "-o", org, "role", "ed@acme.example", "boss"},
		"NOT_FOUND":                         {"member", "-o", "org_00000000000000000000000000", "list"},
	})

	// Members of one organization are nobody in another.
	r := d.Run(t, "member", "show", "gus@globex.example")
	expect(t, r, 2)
	contains(t, r.Stderr, "no member of "+d.Organization)
}

func testGroups(t *testing.T, d *harness.Dev) {
	run := func(args ...string) harness.Result { return d.Run(t, append([]string{"group"}, args...)...) }
	contains(t, expect(t, run("list"), 0), "GROUP", "Analysts", "Data", "Engineering", "Who builds it")
	contains(t, expect(t, run("members", "Engineering"), 0), "MEMBER", "grp_", "svc_", "usr_")
	id := field(t, one(t, expect(t, run("create", "On call", "--description", "Who gets up", "--json"), 0)), "group", "id")
	contains(t, expect(t, run("add", "on call", "anna@acme.example", "ed@acme.example"), 0), "added      2 to "+id)
	contains(t, expect(t, run("add", id, "anna@acme.example"), 0), "added      0 to "+id)
	contains(t, expect(t, run("show", id), 0), "name          On call", "description   Who gets up", "members       2")
	contains(t, expect(t, run("remove", id, "ed@acme.example"), 0), "removed    1 from "+id)
	if all := lines(t, expect(t, run("members", id, "--json"), 0)); len(all) != 1 || !strings.HasPrefix(all[0]["member"].(string), "usr_") {
		t.Errorf("the members are %v", all)
	}
	contains(t, expect(t, run("rename", "On call", "Night shift"), 0), "renamed    "+id+"  Night shift")
	contains(t, expect(t, run("list", "--search", "night"), 0), "Night shift", "Who gets up")
	engineering := field(t, one(t, expect(t, run("show", "Engineering", "--json"), 0)), "group", "id")
	expect(t, run("add", "Engineering", id), 0)
	wrong(t, d, map[string][]string{
		"ALREADY_EXISTS":                {"group", "create", "night SHIFT"},
		`is called "On call"`:           {"group", "show", "On call"},
		"GROUP_CYCLE":                   {"group", "add", id, engineering},
		"no member of":                  {"group", "add", id, "gus@globex.example"},
		"NOT_FOUND":                     {"group", "add", id, "grp_00000000000000000000000000"},
		"the id of a user, a service a": {"group", "add", id, "anna"},
	})
	contains(t, expect(t, run("delete", id), 0), "deleted    "+id, "revision")
	if out := expect(t, run("members", "Engineering"), 0); strings.Contains(out, id) {
		t.Errorf("a deleted group is a member:\n%s", out)
	}
}

func testServiceAccounts(t *testing.T, d *harness.Dev) {
	run := func(args ...string) harness.Result { return d.Run(t, append([]string{"service-account"}, args...)...) }
	id := field(t, one(t, expect(t, run("create", "builder", "--json"), 0)), "service_account", "id")
	contains(t, expect(t, run("list"), 0), "SERVICE ACCOUNT", id, "builder", "enabled", "deployer")
	contains(t, expect(t, run("update", id, "--description", "Builds"), 0), "updated    "+id+"  builder")
	contains(t, expect(t, run("disable", id), 0), "disabled   "+id)
	contains(t, expect(t, run("show", id), 0), "state            disabled", "description      Builds")
	contains(t, expect(t, run("enable", id), 0), "enabled    "+id)
	wrong(t, d, map[string][]string{
		"ALREADY_EXISTS":                 {"service-account", "create", "Builder"},
		"must be a service account's id": {"service-account", "show", "builder"},
	})
	contains(t, expect(t, run("delete", id), 0), "deleted    "+id)
	wrong(t, d, map[string][]string{"NOT_FOUND": {"service-account", "show", id}})
}

func testOrganizationLives(t *testing.T, d *harness.Dev) {
	run := func(args ...string) harness.Result { return d.Run(t, append([]string{"org"}, args...)...) }
	id := openOrganization(t, d, "lives-of-one")
	contains(t, expect(t, run("update", "lives-of-one", "--name", "Lives", "--password-min-length", "16", "--sign-in-methods", "passkey,email"), 0), "updated    "+id)
	contains(t, expect(t, run("update", id, "--require-second-factor"), 0), "updated    "+id)
	contains(t, expect(t, run("show", "lives-of-one"), 0), "organization   "+id, "name           Lives", "mode           shared",
		"16 characters at least", "required", "email, passkey")
	contains(t, expect(t, run("suspend", id, "--reason", "unpaid"), 0), "suspended  "+id)
	contains(t, expect(t, run("list", "--state", "suspended", "--search", "lives"), 0), id, "suspended")
	contains(t, expect(t, run("resume", id), 0), "resumed    "+id)
	contains(t, expect(t, run("delete", id), 0), "deleting   "+id)
	contains(t, expect(t, run("show", id), 0), "state          deleting", "deleted at     ")
	contains(t, expect(t, run("resume", id), 0), "resumed    "+id)
	wrong(t, d, map[string][]string{
		"give --yes":                   {"org", "delete", id, "--grace-days", "0"},
		"no organization has the slug": {"org", "show", "nobody-at-all"},
		"must be active, suspended":    {"org", "list", "--state", "gone"},
		"at least one of the flags":    {"org", "update", id},
		"sign_in_methods":              {"org", "update", id, "--sign-in-methods", "telegram"},
	})
	expect(t, run("delete", id, "--grace-days", "0", "--yes"), 0)
	harness.Eventually(t, "the organization is deleted", func() error {
		if strings.Contains(expect(t, run("show", id), 0), "state          deleted") {
			return nil
		}
		return errNotThere
	})
	contains(t, expect(t, run("list", "--state", "deleted"), 0), id)
	wrong(t, d, map[string][]string{"ORGANIZATION_STATE": {"org", "resume", id}})
}
