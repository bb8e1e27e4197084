package cli_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

func testCredentials(t *testing.T, d *harness.Dev) {
	const email, password = "cleo@hooli.example", "seventeen plainly hidden otters"
	expect(t, d.Run(t, "user", "create", email), 0)
	set := func(stdin string, more ...string) harness.Result {
		args := append([]string{"--dir", d.Dir, "user", "set-password", email, "--stdin"}, more...)
		return harness.Command{Args: args, Stdin: stdin}.Run(t)
	}
	contains(t, expect(t, set(password+"\n"), 0), "set        crd_", "revision")
	id, _ := one(t, expect(t, d.Run(t, "credential", "list", email, "--json"), 0))["id"].(string)
	out := expect(t, d.Run(t, "credential", "list", email), 0)
	contains(t, out, "CREDENTIAL", "KIND", id, "password", "never")
	for name, r := range map[string]harness.Result{
		"min_length|password: ": set("short"),
		"there is nothing":      set(""),
		"more than one line":    set("one line\nand another\n"),
		"password_hash":         set("no hash", "--hash"),
	} {
		expect(t, r, 2)
		first, second, _ := strings.Cut(name, "|")
		if !strings.Contains(r.Stderr, first) && (second == "" || !strings.Contains(r.Stderr, second)) {
			t.Errorf("%q is missing in %s", name, r.Stderr)
		}
	}
	wrong(t, d, map[string][]string{
		"neither a passkey nor a TOTP": {"credential", "rename", email, id, "mine"},
		"must be a credential's id":    {"credential", "delete", email, "password"},
		"NOT_FOUND":                    {"credential", "delete", "anna@acme.example", id},
	})
	contains(t, expect(t, d.Run(t, "credential", "delete", email, id), 0), "deleted    "+id)
	if all := lines(t, expect(t, d.Run(t, "credential", "list", email, "--json"), 0)); len(all) != 0 {
		t.Errorf("there are %v", all)
	}
}
