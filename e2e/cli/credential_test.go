package cli_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

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

	r := d.Run(t, "credential", "recovery-codes", email)
	if codes := strings.Fields(r.Stdout); r.Code != 0 || len(codes) != 10 || strings.Contains(r.Stderr, codes[0]) || !strings.Contains(r.Stderr, "shown once") {
		t.Errorf("recovery codes: code %d, %d of them, %s", r.Code, len(codes), r.Stderr)
	}
	contains(t, expect(t, d.Run(t, "credential", "list", email), 0), "10 left")
	begun := one(t, expect(t, d.Run(t, "credential", "add-totp", email, "--json"), 0))
	ceremony, _ := begun["ceremony"].(string)
	seed, _ := begun["secret"].(string)
	wrong(t, d, map[string][]string{"CREDENTIAL_REJECTED": {"credential", "confirm-totp", email, ceremony, "no code"}})
	contains(t, expect(t, d.Run(t, "credential", "confirm-totp", email, ceremony, totp(t, seed), "--name", "Phone"), 0), "added      crd_", "Phone")
	contains(t, expect(t, d.Run(t, "credential", "list", email), 0), "totp", "Phone")
	for _, c := range lines(t, expect(t, d.Run(t, "credential", "list", email, "--json"), 0)) {
		id, _ := c["id"].(string)
		expect(t, d.Run(t, "credential", "delete", email, id), 0)
	}
	if all := lines(t, expect(t, d.Run(t, "credential", "list", email, "--json"), 0)); len(all) != 0 {
		t.Errorf("there are %v", all)
	}
}

// totp is the code that an app shows now.
//
// Source: RFC 4226 section 5.3, RFC 6238 section 4.
func totp(t *testing.T, seed string) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(seed)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30)))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}
