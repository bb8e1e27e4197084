package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
)

const csvHeader = "object_type,object_id,relation,subject_type,subject_id,subject_relation\n"

func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func testImport(t *testing.T, d *harness.Dev) {
	dir := t.TempDir()
	// More than one commit holds.
	var many strings.Builder
	many.WriteString(csvHeader)
	const rows = 6000
	for i := range rows {
		fmt.Fprintf(&many, "dashboard,imported-%d,viewer,user,u%d,\n", i, i)
	}
	file := writeFile(t, dir, "many.csv", many.String())
	contains(t, expect(t, d.Run(t, "rel", "import", file), 0), "6000 created, 0 updated, 0 unchanged", "revision  ")
	again := one(t, expect(t, d.Run(t, "rel", "import", file, "--json"), 0))
	if again["unchanged"] != "6000" || again["created"] != nil {
		t.Errorf("importing again answers %v", again)
	}
	expect(t, d.Run(t, "check", "user:u5999", "can_view", "dashboard:imported-5999", "--fully-consistent"), 0)

	stdin := func(content string) harness.Result {
		return harness.Command{Args: []string{"--dir", d.Dir, "rel", "import", "-"}, Stdin: content}.Run(t)
	}
	contains(t, expect(t, stdin(csvHeader+"table,orders,reader,user,piped,\ntable,orders,reader,group,data,member\n"), 0), "2 created")
	contains(t, expect(t, stdin(csvHeader), 0), "0 created")
	good := "table,orders,reader,user,before,\n"
	good3 := "table,orders,reader,user,before,,,,\n"
	termsHeader := strings.TrimSpace(csvHeader) + ",condition,context,expires_at\n"
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"nothing":           {"", []string{"line 1", strings.TrimSpace(csvHeader)}},
		"another header":    {"a,b,c,d,e,f\n", []string{"line 1", "a,b,c,d,e,f", strings.TrimSpace(csvHeader)}},
		"a short header":    {"a,b\n", []string{"line 1", strings.TrimSpace(csvHeader)}},
		"a short line":      {csvHeader + good + "table,orders,reader\n", []string{"line 3"}},
		"a quote":           {csvHeader + good + "table,orders,reader,\"user,x,\n", []string{"line 3"}},
		"an empty id":       {csvHeader + good + "table,orders,reader,user,,\n", []string{"line 3", "subject"}},
		"unknown type":      {csvHeader + good + good + "tabl,orders,reader,user,x,\n", []string{"line 4", "tabl", "TYPE_UNKNOWN"}},
		"unknown relation":  {csvHeader + "table,orders,readr,user,x,\n", []string{"line 2", "readr", "RELATION_UNKNOWN"}},
		"in a later batch":  {csvHeader + strings.Repeat("table,repeated,reader,user,x,\n", 6000) + "tabl,orders,reader,user,x,\n", []string{"line 6002", "TYPE_UNKNOWN"}},
		"a column unknown":  {strings.TrimSpace(csvHeader) + ",colour\n", []string{"line 1", "colour"}},
		"a column twice":    {strings.TrimSpace(csvHeader) + ",context,context\n", []string{"line 1", "context,context"}},
		"context alone":     {termsHeader + good3 + "table,orders,reader,user,x,,,{},\n", []string{"line 3", "context", "condition"}},
		"context no JSON":   {termsHeader + good3 + "table,orders,reader,user,x,,office,9,\n", []string{"line 3", "context", "JSON"}},
		"no time":           {termsHeader + good3 + "table,orders,reader,user,x,,,,soon\n", []string{"line 3", "expires_at", "soon"}},
		"a time gone by":    {termsHeader + good3 + "table,orders,reader,user,x,,,,2001-01-01T00:00:00Z\n", []string{"line 3", "expires_at", "INVALID_FIELD"}},
		"no such condition": {termsHeader + good3 + "table,orders,reader,user,x,,office,,\n", []string{"line 3", "office", "CONDITION_UNKNOWN"}},
		"forbidden":         {csvHeader + "table,orders,reader,table,x,\n", []string{"line 2", "RELATIONSHIP_FORBIDDEN"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := stdin(c.content)
			expect(t, r, 2)
			contains(t, r.Stderr, c.want...)
		})
	}
	// A batch is written whole or not at all.
	expect(t, d.Run(t, "check", "user:before", "reader", "table:orders", "--fully-consistent"), 1)
	r := d.Run(t, "rel", "import", filepath.Join(dir, "absent.csv"))
	expect(t, r, 2)
	contains(t, r.Stderr, "absent.csv")
}

// testRead runs after testImport, which leaves 6,000 viewers of dashboards.
func testRead(t *testing.T, d *harness.Dev) {
	all := lines(t, expect(t, d.Run(t, "rel", "read", "--resource", "dashboard", "--relation", "viewer", "--limit", "10000", "--json", "--fully-consistent"), 0))
	seen := map[any]bool{}
	for _, r := range all {
		seen[r["resource"]] = true
	}
	if len(all) != 6001 || len(seen) != 6001 { // and that of the demo
		t.Errorf("%d relationships of %d dashboards, want 6001 of 6001", len(all), len(seen))
	}
	for _, limit := range []int{1, 1000, 1001} {
		r := d.Run(t, "rel", "read", "--limit", fmt.Sprint(limit))
		if r.Code != 0 || strings.Count(r.Stdout, "\n") != limit+1 || !strings.Contains(r.Stderr, "--limit") {
			t.Errorf("--limit %d prints %d lines and %q", limit, strings.Count(r.Stdout, "\n"), r.Stderr)
		}
		if got := lines(t, d.Run(t, "rel", "read", "--json", "--limit", fmt.Sprint(limit)).Stdout); len(got) != limit {
			t.Errorf("--limit %d --json prints %d", limit, len(got))
		}
	}
	contains(t, expect(t, d.Run(t, "rel", "read", "--subject", "user:mia"), 0), "RESOURCE", "organization:acme", "user:mia")
	if out := expect(t, d.Run(t, "rel", "read", "--subject", "user:nobody", "--json"), 0); out != "" {
		t.Errorf("nobody has %q", out)
	}
	r := d.Run(t, "rel", "read", "--resource", "table:or ders")
	expect(t, r, 2)
	contains(t, r.Stderr, "resource", "INVALID_FIELD")
}

// testTerms writes relationships that expire, and moves them from the export
// into the import.
func testTerms(t *testing.T, d *harness.Dev) {
	contractor := "table:orders#reader@user:contractor"
	contains(t, expect(t, d.Run(t, "rel", "write", "--expires", "2h", contractor), 0), "created")
	contains(t, expect(t, d.Run(t, "rel", "write", "--expires", "30d", contractor), 0), "updated")
	contains(t, expect(t, d.Run(t, "rel", "write", "--expires", "2099-01-31T18:00:00Z", contractor), 0), "updated")
	contains(t, expect(t, d.Run(t, "rel", "read", "--subject", "user:contractor", "--fully-consistent"), 0), "TERMS", "until 2099-01-31T18:00:00Z")
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"an expiry that is none":      {[]string{"--expires", "soon"}, []string{"--expires", "soon", "2h"}},
		"an expiry gone by":           {[]string{"--expires=-2h"}, []string{"expires_at", "INVALID_FIELD"}},
		"a context without condition": {[]string{"--context", "{}"}, []string{"--context", "condition"}},
		"a context that is no object": {[]string{"--condition", "office", "--context", "[9]"}, []string{"--context", "JSON object"}},
		"an unknown condition":        {[]string{"--condition", "office"}, []string{"office", "CONDITION_UNKNOWN"}},
		"terms of what is removed":    {[]string{"--delete", "--expires", "2h"}, []string{"delete", "expires"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := d.Run(t, append(append([]string{"rel", "write"}, c.args...), contractor)...)
			expect(t, r, 2)
			contains(t, r.Stderr, c.want...)
		})
	}

	exported := expect(t, d.Run(t, "rel", "export", "--resource", "table", "--fully-consistent"), 0)
	contains(t, exported, strings.TrimSpace(csvHeader)+",condition,context,expires_at\n", "table,orders,reader,user,contractor,,,,2099-01-31T18:00:00Z\n")
	again := one(t, expect(t, d.Run(t, "rel", "import", writeFile(t, t.TempDir(), "exported.csv", exported), "--json"), 0))
	if rows := strings.Count(exported, "\n") - 1; again["unchanged"] != fmt.Sprint(rows) || again["created"] != nil || again["updated"] != nil {
		t.Errorf("importing the export of %d rows answers %v", rows, again)
	}
	all := lines(t, expect(t, d.Run(t, "rel", "export", "--json", "--fully-consistent"), 0))
	if last := all[len(all)-1]; last["complete"] != any(true) || last["evaluated_at"] == nil || len(all) < 6001 {
		t.Errorf("the export has %d lines, the last is %v", len(all), last)
	}
	r := d.Run(t, "rel", "export", "--relation", "not one")
	expect(t, r, 2)
	contains(t, r.Stderr, "relation", "INVALID_FIELD")
}

func testWatch(t *testing.T, d *harness.Dev) {
	people := harness.Start(t, "--dir", d.Dir, "rel", "watch", "--resource", "table:orders")
	machines := harness.Start(t, "--dir", d.Dir, "rel", "watch", "--json")
	printed := func(p *harness.Process, what string) func() error {
		return func() error {
			if !strings.Contains(p.Output(), what) {
				return errNotThere
			}
			return nil
		}
	}
	harness.Eventually(t, "a checkpoint", printed(machines, "checkpoint"))
	// The other has begun when it prints one of these.
	n := 0
	harness.Eventually(t, "a change", func() error {
		n++
		expect(t, d.Run(t, "rel", "write", "--expires", "2h", fmt.Sprintf("table:orders#reader@user:watched-%d", n)), 0)
		return printed(people, "written  table:orders#reader@user:watched-")()
	})
	expect(t, d.Run(t, "rel", "write", "dashboard:other#viewer@user:elsewhere", fmt.Sprintf("table:orders#reader@user:watched-%d", n)), 0)
	expect(t, d.Run(t, "rel", "write", "--delete", fmt.Sprintf("table:orders#reader@user:watched-%d", n)), 0)
	deleted := fmt.Sprintf("deleted  table:orders#reader@user:watched-%d\n", n)
	harness.Eventually(t, "the deletion", printed(people, deleted))
	harness.Eventually(t, "another resource's change", printed(machines, "user:elsewhere"))
	contains(t, people.Output(), "until 20")
	if strings.Contains(people.Output(), "elsewhere") {
		t.Errorf("the filter let through:\n%s", people.Output())
	}
	for _, p := range []*harness.Process{people, machines} {
		if took := p.Stop(t); took > time.Second {
			t.Errorf("Ctrl-C took %v", took)
		}
	}
	lines(t, machines.Output()) // and nothing but messages was printed
	r := d.Run(t, "rel", "watch", "--after", "nonsense")
	expect(t, r, 2)
	contains(t, r.Stderr, "REVISION_MALFORMED")
}
