package cli_test

import (
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// publicKeys is the key of RFC 7515, appendix A.3.
const publicKeys = `{"keys":[{"kty":"EC","crv":"P-256","kid":"1",` +
	`"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

func testTrusts(t *testing.T, d *harness.Dev) {
	const issuer = "https://token.actions.githubusercontent.com"
	account := field(t, one(t, expect(t, d.Run(t, "service-account", "create", "Releaser", "--json"), 0)), "service_account", "id")
	run := func(args ...string) harness.Result { return d.Run(t, append([]string{"trust"}, args...)...) }
	create := []string{"create", "Releases", "--issuer", issuer, "--subject", "repo:example/app:*", "--audience", "https://id.example", "--service-account", account}
	out := expect(t, run(append(create, "--scope", "deploy", "--scope", "read", "--resource", "https://api.example")...), 0)
	contains(t, out, "created    tru_", "Releases", "revision   ")
	made := one(t, expect(t, run(append(create, "--jwks", publicKeys, "--json")...), 0))
	inline := field(t, made, "trust", "id")

	all := lines(t, expect(t, run("list", "--json"), 0))
	if len(all) != 2 || all[1]["id"] != inline {
		t.Fatalf("listed %v", all)
	}
	first, _ := all[0]["id"].(string)
	contains(t, expect(t, run("list"), 0), "TRUST", "SUBJECT", first, "where the issuer says", inline, "in the trust", account)
	contains(t, run("list", "--limit", "1").Stderr, "there are more than 1")
	contains(t, expect(t, run("get", first), 0), "trust            "+first, "name             Releases", "keys             where the issuer says",
		"issuer           "+issuer, "subject          repo:example/app:*", "audience         https://id.example", "scopes           deploy read",
		"resources        https://api.example", "service account  "+account)

	// What no flag is given for stays.
	contains(t, expect(t, run("update", first, "--name", "Builds", "--jwks-uri", "https://keys.example/jwks"), 0), "updated    "+first+"  Builds", "revision")
	out = expect(t, run("get", first), 0)
	contains(t, out, "name             Builds", "keys             https://keys.example/jwks", "subject          repo:example/app:*", "scopes           deploy read")
	contains(t, expect(t, run("update", inline, "--discover", "--subject", "repo:example/other:*", "--scope", "read"), 0), "updated    "+inline)
	contains(t, expect(t, run("show", inline), 0), "where the issuer says", "subject          repo:example/other:*", "scopes           read")
	settings, _ := one(t, expect(t, run("update", inline, "--jwks", publicKeys, "--json"), 0))["trust"].(map[string]any)
	if s, _ := settings["settings"].(map[string]any); s["jwks"] != publicKeys || s["jwks_uri"] != nil || s["audience"] != "https://id.example" {
		t.Errorf("the answer is %v", settings)
	}

	wrong(t, d, map[string][]string{
		"settings.subject":                       {"trust", "update", first, "--subject", "repo:*"},
		"settings.jwks_uri":                      {"trust", "update", first, "--jwks-uri", "http://keys.example"},
		"at least one of the flags":              {"trust", "update", first},
		"if any flags in the group [jwks":        {"trust", "update", first, "--jwks", publicKeys, "--jwks-uri", "https://keys.example"},
		"if any flags in the group [discover jw": {"trust", "update", first, "--discover", "--jwks", publicKeys},
		`"subject" not set`:                      {"trust", "create", "Releases", "--issuer", issuer, "--audience", "a", "--service-account", account},
	})
	contains(t, expect(t, run("delete", first), 0), "deleted    "+first, "revision")
	wrong(t, d, map[string][]string{"NOT_FOUND": {"trust", "get", first}})
	expect(t, run("delete", inline, "--json"), 0)
	expect(t, d.Run(t, "service-account", "delete", account), 0)
}
