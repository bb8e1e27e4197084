package cli_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

func testPeopleImport(t *testing.T, d *harness.Dev) {
	dir, org := t.TempDir(), openOrganization(t, d, "imports")
	file := writeFile(t, dir, "people.csv", "\ufeffexternal_id,email,email_verified,name,memberships\r\n"+
		"1,iris@imports.example,true,\"Iris \"\"I\"\" Ito\","+org+":admin\r\n"+
		"2,anna@acme.example,true,Somebody,"+org+"\r\n"+
		"3,ed@acme.example,,Ed,\r\n"+
		"4,jan@imports.example,,"+strings.Repeat("J", 64<<10)+",\r\n"+
		"5,kim@imports.example,,K\xffm,\r\n"+
		"6,leo@imports.example\r\n"+
		"1,max@imports.example,,Max,\r\n"+
		"7,nonsense,,Nobody,\r\n"+
		"8,ola@imports.example,,Ola,org_00000000000000000000000000\r\n"+
		"9,pia@imports.example,,Pia,\r\n")
	report := dir + "/report.jsonl"
	run := func(args ...string) harness.Result {
		return d.Run(t, append([]string{"identity", "import", "--source", "old-console"}, args...)...)
	}
	out := expect(t, run(file, "--report", report), 1)
	contains(t, out, "2 created, 1 linked, 0 unchanged, 7 refused", "line 5: line: is longer than", "line 6: line: is not UTF-8",
		"line 7: line: has 2 fields, the header has 5", "line 8: external_id: line 2 has it (ALREADY_EXISTS)", "line 9: email: must have one @",
		"line 10: memberships[0].organization: no such organization (NOT_FOUND)")
	content, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	told := lines(t, string(content))
	outcomes := ""
	for i, line := range told {
		if line["line"] != float64(i+2) {
			t.Errorf("the %d. of the report is %v", i, line)
		}
		outcomes += line["outcome"].(string)[:1]
	}
	if outcomes != "clrrrrrrrc" || told[0]["external_id"] != "1" || told[2]["reason"] != "ALREADY_EXISTS" || told[2]["field"] != "email" {
		t.Errorf("outcomes %s: %v", outcomes, told)
	}
	if info, err := os.Stat(report); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the report: %v, %v; want mode 600", info, err)
	}
	contains(t, expect(t, d.Run(t, "user", "show", "iris@imports.example"), 0), told[0]["user"].(string), `name     Iris "I" Ito`)
	contains(t, expect(t, d.Run(t, "member", "-o", org, "list"), 0), "iris@imports.example", "admin", "anna@acme.example", "migration")

	// Again: who was imported is left as is.
	summary := one(t, expect(t, run(file, "--json"), 1))
	if summary["unchanged"] != float64(3) || summary["refused"] != float64(7) || summary["lines"] != float64(10) {
		t.Errorf("again: %v", summary)
	}
	object := `{"external_id":"10","email":"quin@imports.example","memberships":[{"organization":"` + org + `","role":"member"}]}` + "\n"
	piped := harness.Command{
		Args: []string{"--dir", d.Dir, "identity", "import", "-", "--format", "jsonl", "--source", "old-console", "--report", "-"}, Stdin: object,
	}.Run(t)
	if piped.Code != 0 || one(t, piped.Stdout)["outcome"] != "created" || !strings.Contains(piped.Stderr, "1 created") {
		t.Errorf("JSON lines: %+v", piped)
	}
	testSources(t, d)
	wrong(t, d, map[string][]string{
		"neither .csv nor .jsonl":    {"identity", "import", dir + "/people", "--source", "x"},
		"lacks the column email":     {"identity", "import", writeFile(t, dir, "wrong.csv", "external_id\n1\n"), "--source", "x"},
		"no such file":               {"identity", "import", dir + "/absent.csv", "--source", "x"},
		"must be a source's name":    {"identity", "import", file, "--source", "Old Console"},
		"--parallel 65: must be 1 t": {"identity", "import", file, "--source", "x", "--parallel", "65"},
		"say what standard input is": {"identity", "import", "-", "--source", "x"},
	})
}

func testSources(t *testing.T, d *harness.Dev) {
	t.Helper()
	r := d.Run(t, "source", "put", "old-console", "--checker-url", "https://console.example/check")
	secret := strings.TrimSpace(r.Stdout)
	if r.Code != 0 || secret == "" || strings.Contains(r.Stderr, secret) || !strings.Contains(r.Stderr, "shown once") {
		t.Errorf("the key of a checker: code %d, %d bytes, %q", r.Code, len(r.Stdout), r.Stderr)
	}
	// What is not named stays.
	contains(t, expect(t, d.Run(t, "source", "put", "old-console", "--disabled"), 0), "put        old-console  https://console.example/check  disabled")
	contains(t, expect(t, d.Run(t, "source", "list"), 0), "SOURCE", "old-console", "4", "yes", "https://console.example/check")
	if again := d.Run(t, "source", "put", "old-console", "--new-secret"); again.Code != 0 || strings.TrimSpace(again.Stdout) == secret {
		t.Errorf("a new key: code %d, %q", again.Code, again.Stderr)
	}
	wrong(t, d, map[string][]string{
		"checker_url": {"source", "put", "old-console", "--checker-url", "ftp://console.example"},
		"INVALID":     {"source", "put", "Old"},
	})
}

// testBrokenImport interrupts an import, and repeats it.
func testBrokenImport(t *testing.T, d *harness.Dev) {
	dir := t.TempDir()
	var content strings.Builder
	content.WriteString("external_id,email\n")
	const people = 3000
	for i := range people {
		fmt.Fprintf(&content, "%d,p%d@broken.example\n", i, i)
	}
	file, report := writeFile(t, dir, "people.csv", content.String()), dir+"/report.jsonl"
	args := []string{"--dir", d.Dir, "identity", "import", file, "--source", "broken", "--report", report, "--parallel", "2"}
	process := harness.Start(t, args...)
	harness.Eventually(t, "some are imported", func() error {
		if info, err := os.Stat(report); err != nil || info.Size() == 0 {
			return errNotThere
		}
		return nil
	})
	process.Signal(t, os.Interrupt)
	code := process.ExitCode(t)
	if out := process.Output(); code != 2 || !strings.Contains(out, "stopped after line") || !strings.Contains(out, "the same again goes on") {
		t.Fatalf("the interrupted import says %q", out)
	}
	summary := one(t, expect(t, d.Run(t, append(args[2:], "--json")...), 0))
	created, _ := summary["created"].(float64)
	unchanged, _ := summary["unchanged"].(float64)
	if created+unchanged != people || unchanged == 0 || created == 0 {
		t.Errorf("again: %v", summary)
	}
}

func testSeed(t *testing.T, d *harness.Dev) {
	seed := func(args ...string) map[string]any {
		return one(t, expect(t, d.Run(t, append([]string{"seed", "--json"}, args...)...), 0))
	}
	if out := seed("--organizations", "3", "--users", "120"); out["organizations"] != float64(3) || out["users"] != float64(120) {
		t.Errorf("made %v", out)
	}
	if out := seed("--organizations", "5", "--users", "150"); out["organizations"] != float64(2) || out["organizations_found"] != float64(3) ||
		out["users"] != float64(30) || out["users_found"] != float64(120) {
		t.Errorf("then %v", out)
	}
	contains(t, expect(t, d.Run(t, "seed", "--organizations", "5", "--users", "150"), 0), "0 organizations made, 5 there; 0 users made, 150 there")
	wrong(t, d, map[string][]string{
		"must be 0 to 10000000": {"seed", "--users", "10000001"},
		"--parallel 0: must be": {"seed", "--parallel", "0"},
	})
}
