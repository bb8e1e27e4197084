package cli_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

func testList(t *testing.T, d *harness.Dev) {
	contains(t, expect(t, d.Run(t, "list", "objects", "user:anna", "can_select", "table", "--fully-consistent"), 0),
		"RESOURCE", "DECISION", "table:orders", "ALLOW")
	contains(t, expect(t, d.Run(t, "list", "subjects", "table:orders", "can_select", "user"), 0), "SUBJECT", "user:anna")
	contains(t, expect(t, d.Run(t, "list", "subjects", "table:orders", "can_select", "group", "--relation", "member"), 0), "group:analysts#member")
	contains(t, expect(t, d.Run(t, "list", "actions", "user:anna", "table:orders"), 0), "PERMISSION", "can_select", "ALLOW")
	contains(t, expect(t, d.Run(t, "expand", "table:orders", "can_select"), 0), "but not  table:orders#can_select", "├─ or  table:orders#can_select", "└─ but not ─ computed  ")

	first := expect(t, d.Run(t, "list", "subjects", "table:orders", "can_select", "user", "--limit", "1", "--json"), 0)
	if subject := one(t, first); subject["decision"] != "DECISION_ALLOW" || !strings.HasPrefix(subject["subject"].(string), "user:") {
		t.Errorf("one subject is %v", subject)
	}
	if root := one(t, expect(t, d.Run(t, "expand", "table:orders", "can_select", "--json"), 0)); root["root"] == nil {
		t.Errorf("the expansion is %v", root)
	}

	// What is true for this question only.
	nobody := []string{"check", "user:nobody", "can_select", "table:orders"}
	expect(t, d.Run(t, nobody...), 1)
	contains(t, expect(t, d.Run(t, append(nobody, "--with", "group:analysts#member@user:nobody", "--context", `{"ip":"10.0.0.7"}`)...), 0), "ALLOW")
	contains(t, expect(t, d.Run(t, "list", "objects", "user:nobody", "can_select", "table", "--with", "group:analysts#member@user:nobody"), 0), "table:orders")
	carl := []string{"check", "user:carl", "can_select", "table:salaries"}
	contains(t, expect(t, d.Run(t, carl...), 1), "CONDITIONAL", "missing: ip\n")
	expect(t, d.Run(t, append(carl, "--context", `{"ip":"10.1.2.3"}`)...), 0)
	carl[0] = "explain"
	contains(t, expect(t, d.Run(t, carl...), 1), "CONDITIONAL", "\n? table:salaries#can_select  (but not)\n", "with office_network, which lacks ip\n",
		"└─ but not ─ ✗ table:salaries#can_select  (computed)\n")
	contains(t, expect(t, d.Run(t, append(carl, "--context", `{"ip":"203.0.113.9"}`)...), 1), "DENY",
		"✗ table:salaries#reader  (direct)  table:salaries#reader@user:carl with office_network, not met\n")
	for _, wrong := range []struct {
		args []string
		want string
	}{
		{[]string{"--context", "ip=7"}, "--context: is not a JSON object"},
		{[]string{"--context", "[]"}, "--context: is not a JSON object"},
		{[]string{"--with", "nonsense"}, "--with: "},
		{[]string{"--with", "folder:a#reader@user:a"}, "TYPE_UNKNOWN"},
	} {
		r := d.Run(t, append(nobody, wrong.args...)...)
		expect(t, r, 2)
		contains(t, r.Stderr, wrong.want)
	}
	r := d.Run(t, "list", "objects", "user:anna", "can_fly", "table")
	expect(t, r, 2)
	contains(t, r.Stderr, "RELATION_UNKNOWN")
	r = d.Run(t, "list", "everything")
	expect(t, r, 2)
	contains(t, r.Stderr, "actions, objects, subjects")
}
