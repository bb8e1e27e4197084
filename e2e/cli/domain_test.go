package cli_test

import (
	"regexp"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

func testDomains(t *testing.T, d *harness.Dev) {
	run := func(args ...string) harness.Result { return d.Run(t, append([]string{"domain"}, args...)...) }
	out := expect(t, run("add", "Bücher.example"), 0)
	contains(t, out, "added      dom_", "xn--bcher-kva.example  pending", "revision", "meridian domain verify xn--bcher-kva.example")
	if record := regexp.MustCompile(`(?m)^\S+\.xn--bcher-kva\.example\. 300 IN TXT "[a-z0-9=-]+"$`); !record.MatchString(out) {
		t.Errorf("no record for a zone file:\n%s", out)
	}
	contains(t, expect(t, run("list"), 0), "DOMAIN", "xn--bcher-kva.example", "pending", "never")
	shown := one(t, expect(t, run("show", "bücher.example", "--json"), 0))
	id := field(t, shown, "domain", "id")
	contains(t, expect(t, run("show", id), 0), "domain        "+id, "record", " IN TXT ", "state         pending")

	// Nobody has put the record there: whether the DNS says so depends on whether
	// this machine reaches one.
	switch r := run("verify", "bücher.example"); r.Code {
	case 1:
		contains(t, expect(t, r, 1), "not proven bücher.example", "DOMAIN_NOT_PROVEN")
	default:
		expect(t, r, 2)
		contains(t, r.Stderr, "SERVICE_UNAVAILABLE")
	}
	wrong(t, d, map[string][]string{
		"ALREADY_EXISTS": {"domain", "add", "bücher.example"},
		"name":           {"domain", "add", "com"},
		"has no domain":  {"domain", "verify", "nobody.example"},
		"NOT_FOUND":      {"domain", "show", "dom_00000000000000000000000000"},
	})
	contains(t, expect(t, run("lookup", "bücher.example"), 0), "ORGANIZATION", "SLUG")
	contains(t, expect(t, run("remove", "bücher.example"), 0), "removed    bücher.example", "revision")
	wrong(t, d, map[string][]string{"has no domain ": {"domain", "show", "bücher.example"}})
}
