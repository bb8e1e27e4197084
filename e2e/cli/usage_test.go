package cli_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

const goodModel = `model
  schema 1.1
type user
type document
  relations
    define viewer: [user]
`

const badModel = `model
  schema 1.1
type user
type document
  relations
    define viewer: [usr]
`

// commands finds every command by reading the help, as people do.
func commands(t *testing.T, under ...string) [][]string {
	t.Helper()
	help := expect(t, harness.Run(t, append(under, "--help")...), 0)
	_, listed, groups := strings.Cut(help, "[command]\n")
	if !groups {
		return [][]string{under}
	}
	var out [][]string
	for line := range strings.Lines(listed) {
		if strings.HasPrefix(line, "Flags:") {
			break
		}
		name, found := strings.CutPrefix(line, "  ")
		name, _, _ = strings.Cut(name, " ")
		if found && name != "help" && name != "completion" {
			out = append(out, commands(t, append(slices.Clip(under), name)...)...)
		}
	}
	return out
}

func TestHelp(t *testing.T) {
	all := commands(t)
	if len(all) < 80 {
		t.Errorf("found only %d commands: %v", len(all), all)
	}
	for _, command := range all {
		name := strings.Join(command, " ")
		t.Run(name, func(t *testing.T) {
			help := expect(t, harness.Run(t, append(command, "--help")...), 0)
			contains(t, help, "Usage:\n  meridian "+name, "Examples:\n  ", "meridian "+name, "--json")
			r := harness.Run(t, append(command, "--bogus")...)
			expect(t, r, 2)
			contains(t, r.Stderr, "unknown flag: --bogus", "meridian "+name+" --help")
			r = harness.Run(t, append(command, "1", "2", "3", "4")...)
			if strings.Contains(help, "...") { // takes any number
				return
			}
			expect(t, r, 2)
			contains(t, r.Stderr, "meridian "+name+" --help")
		})
	}
}

func TestTyping(t *testing.T) {
	for _, c := range []struct {
		args string
		want []string
	}{
		{"chekc", []string{`unknown command "chekc"`, "check", "meridian --help"}},
		{"rel", []string{"export, import, read, watch, write", "meridian rel --help"}},
		{"rel wirte", []string{`unknown command "wirte"`, "export, import, read, watch, write"}},
		{"check user:anna", []string{"3 arg", "meridian check --help"}},
		{"explain", []string{"3 arg", "meridian explain --help"}},
		{"rel write", []string{"at least 1 arg"}},
		{"rel import", []string{"1 arg"}},
		{"model validate", []string{"at least 1 arg"}},
		{"model publish", []string{"at least 1 arg"}},
		{"model test", []string{"at least 1 arg"}},
		{"model rollout", []string{"1 arg"}},
		{"org create", []string{"1 arg"}},
		{"org move org_x", []string{`"to" not set`}},
		{"token create", []string{"1 arg"}},
		{"token revoke", []string{"1 arg"}},
		{"token rotate", []string{"1 arg"}},
		{"user", []string{"create, email, erase, export", "meridian user --help"}},
		{"user update usr_x", []string{"at least one of the flags"}},
		{"user set-password usr_x secret", []string{"1 arg", "meridian user set-password --help"}},
		{"group add Engineering", []string{"at least 2 arg"}},
		{"service-account update svc_x", []string{"at least one of the flags"}},
		{"org update acme", []string{"at least one of the flags"}},
		{"identity import people.csv", []string{`"source" not set`}},
		{"keys", []string{"1 arg"}},
		{"serve", []string{`"config" not set`}},
		{"migrate", []string{`"config" not set`}},
		{"bootstrap", []string{`"config" not set`}},
		{"rel read --limit many", []string{"--limit", "meridian rel read --help"}},
	} {
		r := harness.Run(t, strings.Fields(c.args)...)
		expect(t, r, 2)
		contains(t, r.Stderr, c.want...)
	}
}

func TestVersion(t *testing.T) {
	contains(t, expect(t, harness.Run(t, "version"), 0), "meridian ", "go1.")
	if v := one(t, expect(t, harness.Run(t, "version", "--json"), 0)); v["version"] == "" || v["go"] == "" {
		t.Errorf("%v", v)
	}
}

func TestModelValidate(t *testing.T) {
	dir := t.TempDir()
	good, bad := writeFile(t, dir, "good.fga", goodModel), writeFile(t, dir, "bad.fga", badModel)
	broken := writeFile(t, dir, "broken.fga", "model\n  schema 1.1\ntype user\n  relatons\n")
	contains(t, expect(t, harness.Run(t, "model", "validate", good), 0), "valid  mdl_", "2 types")
	place := regexp.MustCompile(`^bad\.fga:6:\d+: .*usr`)
	if out := expect(t, harness.Run(t, "model", "validate", bad), 1); !place.MatchString(out) {
		t.Errorf("the problem is %q, want bad.fga:6:column: text", out)
	}
	problems, _ := one(t, expect(t, harness.Run(t, "model", "validate", bad, "--json"), 1))["problems"].([]any)
	if len(problems) == 0 {
		t.Fatal("no problems in the JSON")
	}
	if out := expect(t, harness.Run(t, "model", "validate", broken), 1); !strings.HasPrefix(out, "broken.fga:4:") {
		t.Errorf("the problem is %q, want broken.fga:4:column: text", out)
	}
	writeFile(t, dir, "fga.mod", "schema: '1.2'\ncontents:\n  - core.fga\n")
	writeFile(t, dir, "core.fga", "module core\n\ntype user\n")
	contains(t, expect(t, harness.Run(t, "model", "validate", filepath.Join(dir, "fga.mod")), 0), "valid  mdl_", "1 types")
	writeFile(t, dir, "core.fga", "module core\n\ntype document\n  relations\n    define viewer: [usr]\n")
	if out := expect(t, harness.Run(t, "model", "validate", filepath.Join(dir, "fga.mod")), 1); !strings.HasPrefix(out, "core.fga:5:") {
		t.Errorf("the problem is %q, want core.fga:5:column: text", out)
	}
	writeFile(t, dir, "fga.mod", "schema: '1.2'\ncontents:\n  - ../outside.fga\n")
	for path, want := range map[string]string{
		filepath.Join(dir, "absent.fga"): "absent.fga",
		filepath.Join(dir, "fga.mod"):    "outside",
	} {
		r := harness.Run(t, "model", "validate", path)
		expect(t, r, 2)
		contains(t, r.Stderr, want)
	}
}

func TestKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	out := expect(t, harness.Run(t, "keys", dir), 0)
	service := filepath.Join(dir, "service.key")
	contains(t, out, service, filepath.Join(dir, "regional.json"), filepath.Join(dir, "blind.key"))
	before, err := os.ReadFile(service)
	if err != nil {
		t.Fatal(err)
	}
	again := one(t, expect(t, harness.Run(t, "keys", dir, "--json"), 0))
	after, err := os.ReadFile(service)
	if err != nil || string(before) != string(after) || again["service_file"] != service {
		t.Errorf("keys again: %v, %v; existing ones must be kept", again, err)
	}
	for file := range strings.FieldsSeq(out) {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 600", file, info, err)
		}
	}
}

func testErrors(t *testing.T, d *harness.Dev) {
	dir := t.TempDir()
	empty, wrong := writeFile(t, dir, "empty", "\n"), writeFile(t, dir, "wrong", "nonsense\n")
	unknown := writeFile(t, dir, "unknown", d.AdminToken[:len(d.AdminToken)-8]+"00000000")
	question := []string{"check", "user:anna", "can_select", "table:orders"}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"nothing runs":          {[]string{"--dir", dir}, []string{"meridian dev", "--url", "--token-file"}},
		"nothing runs there":    {[]string{"--url", "http://127.0.0.1:1", "--token-file", wrong, "-o", d.Organization}, []string{"cannot be reached", "meridian dev"}},
		"no such token file":    {[]string{"--dir", d.Dir, "--token-file", filepath.Join(dir, "absent")}, []string{"--token-file", "absent"}},
		"an empty token file":   {[]string{"--dir", d.Dir, "--token-file", empty}, []string{"--token-file", "empty"}},
		"a file without token":  {[]string{"--dir", d.Dir, "--token-file", wrong}, []string{"TOKEN_MALFORMED", "--token-file"}},
		"a mistyped token":      {[]string{"--dir", d.Dir, "--token-file", unknown}, []string{"TOKEN_MALFORMED", "--token-file"}},
		"no organization":       {[]string{"--dir", dir, "--url", d.URL, "--token-file", wrong}, []string{"--organization"}},
		"unknown organization":  {[]string{"--dir", d.Dir, "-o", "org_00000000000000000000000000"}, []string{"no such organization", "NOT_FOUND"}},
		"no id of organization": {[]string{"--dir", d.Dir, "-o", "acme"}, []string{"organization", "INVALID_FIELD"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := harness.Run(t, append(c.args, question...)...)
			expect(t, r, 2)
			contains(t, r.Stderr, c.want...)
			if strings.Contains(r.Stderr, d.AdminToken[4:60]) {
				t.Error("the error holds the token")
			}
		})
	}
}

func testSecondDev(t *testing.T, d *harness.Dev) {
	r := harness.Run(t, "dev", "--dir", d.Dir, "--listen", "127.0.0.1:0")
	if r.Code != 2 || !strings.Contains(r.Stderr, d.Dir) || !strings.Contains(r.Stderr, "--dir") {
		t.Errorf("in the same folder: %+v", r)
	}
	at, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	r = harness.Run(t, "dev", "--dir", filepath.Join(t.TempDir(), "other"), "--listen", at.Host)
	if r.Code != 2 || !strings.Contains(r.Stderr, at.Host) || !strings.Contains(r.Stderr, "--listen") {
		t.Errorf("at the same address: %+v", r)
	}
	// Neither disturbed the first.
	expect(t, d.Run(t, "check", "user:anna", "can_select", "table:orders"), 0)
}
