package cli_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
)

func testTokens(t *testing.T, d *harness.Dev) {
	r := d.Run(t, "token", "create", "product", "--level", "read")
	expect(t, r, 0)
	secret := strings.TrimSpace(r.Stdout)
	contains(t, r.Stderr, "level read", "shown once")
	id := strings.Trim(strings.Fields(r.Stderr)[1], ",")
	if !strings.HasPrefix(secret, "mat_") || strings.Contains(r.Stderr, secret) || !strings.HasPrefix(id, "tok_") {
		t.Fatalf("standard output must be the secret and nothing else may hold it: %d bytes, %q", len(secret), r.Stderr)
	}
	use := func(env string, args ...string) harness.Result {
		args = append([]string{"--url", d.URL, "-o", d.Organization}, args...)
		return harness.Command{Args: args, Env: []string{env}, Dir: t.TempDir()}.Run(t)
	}
	question := []string{"check", "user:anna", "can_select", "table:orders"}
	expect(t, use("MERIDIAN_TOKEN="+secret, question...), 0)
	file := writeFile(t, t.TempDir(), "token", secret+"\n")
	expect(t, use("MERIDIAN_TOKEN_FILE="+file, question...), 0)
	write := use("MERIDIAN_TOKEN="+secret, "rel", "write", "table:orders#reader@user:thief")
	expect(t, write, 2)
	contains(t, write.Stderr, "ACCESS_DENIED")

	contains(t, expect(t, d.Run(t, "token", "list"), 0), "TOKEN", id, "product", "read", "until ")
	contains(t, expect(t, d.Run(t, "token", "list", "--platform"), 0), "meridian dev", "admin")
	contains(t, expect(t, d.Run(t, "token", "revoke", id), 0), "revoked    "+id, "revision  ")
	revoked := time.Now()
	harness.Eventually(t, "the token is refused", func() error {
		r := use("MERIDIAN_TOKEN="+secret, question...)
		if r.Code == 2 && strings.Contains(r.Stderr, "TOKEN_REJECTED") && strings.Contains(r.Stderr, "MERIDIAN_TOKEN") {
			return nil
		}
		return errNotThere
	})
	if took := time.Since(revoked); took > time.Second {
		t.Errorf("the revoked token was accepted for %v", took)
	}
	expect(t, d.Run(t, "token", "revoke", id), 0) // again is no error
	contains(t, expect(t, d.Run(t, "token", "list"), 0), "revoked")
	for _, token := range lines(t, expect(t, d.Run(t, "token", "list", "--json"), 0)) {
		if token["secret"] != nil || token["id"] == id && token["revoked_at"] == nil {
			t.Errorf("listed: %v", token)
		}
	}
	testRotation(t, d)
	made := one(t, expect(t, d.Run(t, "token", "create", "machine", "--platform", "--level", "admin", "--days", "1", "--json"), 0))
	if text, _ := made["secret"].(string); !strings.HasPrefix(text, "mat_") {
		t.Error("no secret in the JSON")
	}
	for want, args := range map[string][]string{
		"read, write or admin": {"token", "create", "x", "--level", "root"},
		"lifetime":             {"token", "create", "x", "--days", "367"},
		"NOT_FOUND":            {"token", "revoke", "tok_00000000000000000000000000"},
		"token":                {"token", "revoke", "nonsense"},
	} {
		r := d.Run(t, args...)
		expect(t, r, 2)
		contains(t, r.Stderr, want)
	}
}

// testRotation gives a service account a token with a scope, and then another one.
func testRotation(t *testing.T, d *harness.Dev) {
	t.Helper()
	account := field(t, one(t, expect(t, d.Run(t, "service-account", "create", "rotating", "--json"), 0)), "service_account", "id")
	made := one(t, expect(t, d.Run(t, "token", "create", "old", "--service-account", account, "--scope", "meridian.authz.v1.CheckService", "--json"), 0))
	old := field(t, made, "token", "id")
	contains(t, expect(t, d.Run(t, "token", "list"), 0), "SERVICE ACCOUNT", account, "meridian.authz.v1.CheckService")
	r := d.Run(t, "token", "rotate", old, "--overlap", "1h")
	secret := strings.TrimSpace(r.Stdout)
	if r.Code != 0 || !strings.HasPrefix(secret, "mat_") || strings.Contains(r.Stderr, secret) {
		t.Fatalf("rotated: code %d, %d bytes, %q", r.Code, len(r.Stdout), r.Stderr)
	}
	contains(t, r.Stderr, "token "+old+" goes on until ", "level read", "shown once")
	both := []string{secret, made["secret"].(string)}
	for _, token := range both {
		run := func(args ...string) harness.Result {
			args = append([]string{"--url", d.URL, "-o", d.Organization}, args...)
			return harness.Command{Args: args, Env: []string{"MERIDIAN_TOKEN=" + token}, Dir: t.TempDir()}.Run(t)
		}
		expect(t, run("check", "user:anna", "can_select", "table:orders"), 0)
		outside := run("list", "objects", "user:anna", "can_select", "table")
		expect(t, outside, 2)
		contains(t, outside.Stderr, "ACCESS_DENIED")
	}
	for want, args := range map[string][]string{
		"LIMIT_REACHED":        {"token", "rotate", old},
		"must be 1s to 720h":   {"token", "rotate", old, "--overlap", "721h"},
		"scopes[0]":            {"token", "create", "x", "--scope", "nonsense"},
		"service_account":      {"token", "create", "x", "--service-account", "rotating"},
		"no such token (NOT_F": {"token", "rotate", "tok_00000000000000000000000000"},
	} {
		r := d.Run(t, args...)
		expect(t, r, 2)
		contains(t, r.Stderr, want)
	}
}

// testSecrets runs last: what the commands before left behind is looked
// through for the admin token.
func testSecrets(t *testing.T, d *harness.Dev) {
	for _, name := range []string{"dev.json", "meridian.log", "keys/service.key", "keys/blind.key", "keys/regional.json"} {
		info, err := os.Stat(filepath.Join(d.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %o, want 600", name, info.Mode().Perm())
		}
	}
	searched := 0
	err := filepath.WalkDir(d.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "dev.json" {
			return err
		}
		content, err := os.ReadFile(path)
		searched++
		if strings.Contains(string(content), "mat_"+d.AdminToken[4:]) {
			t.Errorf("%s holds the admin token", path)
		}
		return err
	})
	if err != nil || searched < 10 {
		t.Errorf("searched %d files: %v", searched, err)
	}
	log, err := os.ReadFile(filepath.Join(d.Dir, "meridian.log"))
	if err != nil {
		t.Fatal(err)
	}
	// The control: the log is the one of these calls. Then: no secret, and
	// nothing of what the relationships say.
	contains(t, string(log), "CheckService/Check", "tok_")
	for _, secret := range []string{"mat_", "user:zoe", "Hooli, Inc.", "walter@", "Walter", "ida@", "miv_", "cleo@", "hidden otters", "imports.example", "mss_"} {
		if strings.Contains(string(log), secret) {
			t.Errorf("the log file holds %q", secret)
		}
	}
	if strings.Contains(d.Output(), "mat_") {
		t.Error("meridian dev printed a token")
	}
}
