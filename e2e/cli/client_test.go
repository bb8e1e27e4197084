package cli_test

import (
	"fmt"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

func testClients(t *testing.T, d *harness.Dev) {
	run := func(args ...string) harness.Result { return d.Run(t, append([]string{"client"}, args...)...) }
	made := one(t, expect(t, run("create", "Console", "--redirect", "https://console.example/callback", "--delete-unused", "--json"), 0))
	id := field(t, made, "client", "id")
	if s, _ := made["client"].(map[string]any)["settings"].(map[string]any); fmt.Sprint(s["delete_unused"], made["secret"] != "") != "true true" {
		t.Errorf("made %v", made)
	}
	contains(t, expect(t, run("list"), 0), "CLIENT", id, "Console", "enabled")
	contains(t, expect(t, run("disable", id), 0), "disabled", id)
	contains(t, expect(t, run("show", id), 0), "Console", "disabled", "https://console.example/callback")
	expect(t, run("delete", id), 0)
	wrong(t, d, map[string][]string{
		"NOT_FOUND":              {"client", "show", id},
		"settings.redirect_uris": {"client", "create", "Console", "--redirect", "javascript:alert(1)"},
		"--auth":                 {"client", "create", "Console", "--auth", "handshake"},
		"client":                 {"client", "block", "https://agent.example.com"},
	})

	const agent, other = "https://agent.example.com/client.json", "https://other.example.com/client.json"
	contains(t, expect(t, run("block", agent), 0), "blocked    "+agent, "revision")
	expect(t, run("block", other, "--platform", "--json"), 0)
	if list := lines(t, expect(t, run("blocked", "--json"), 0)); len(list) != 1 || list[0]["client"] != agent {
		t.Errorf("blocked are %v", list)
	}
	contains(t, expect(t, run("blocked", "--platform"), 0), "CLIENT", "BLOCKED", other)
	contains(t, expect(t, run("unblock", agent), 0), "unblocked  "+agent)
	expect(t, run("unblock", other, "--platform"), 0)
	if list := lines(t, expect(t, run("blocked", "--json"), 0)); len(list) != 0 {
		t.Errorf("blocked are %v", list)
	}
}
