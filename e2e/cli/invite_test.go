package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// letter is one that meridian dev keeps instead of sending it.
type letter struct {
	To      []string `json:"to"`
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
}

// lettersTo reads the page of letters.
func lettersTo(t *testing.T, d *harness.Dev, address string) []letter {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+"/dev/mail.json?to="+url.QueryEscape(address), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Timeout: harness.Timeout}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	var all struct {
		Messages []letter `json:"messages"`
	}
	if err == nil {
		err = json.Unmarshal(content, &all)
	}
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the letters: %s, %v", response.Status, err)
	}
	return all.Messages
}

func testInvitations(t *testing.T, d *harness.Dev) {
	run := func(args ...string) harness.Result { return d.Run(t, append([]string{"invite"}, args...)...) }
	contains(t, expect(t, run("create", "ida@hooli.example", "--group", "Engineering", "--role", "admin", "--locale", "de"), 0),
		"invited    inv_", "ida@hooli.example  admin  until ", "revision")
	harness.Eventually(t, "the letter arrives", func() error {
		if len(lettersTo(t, d, "ida@hooli.example")) == 1 {
			return nil
		}
		return errNotThere
	})
	contains(t, lettersTo(t, d, "ida@hooli.example")[0].Text, "Acme (demo)", "token=miv_", "7 Tage")
	contains(t, expect(t, run("list", "--state", "pending"), 0), "INVITATION", "ida@hooli.example", "admin", "pending")
	id, _ := lines(t, expect(t, run("list", "--json"), 0))[0]["id"].(string)
	contains(t, expect(t, run("show", id), 0), "email         ida@hooli.example", "role          admin", "groups        grp_", "state         pending")

	// Without a letter the secret is the only thing on standard output.
	r := run("create", "otto@hooli.example", "--without-letter", "--days", "1")
	if secret := strings.TrimSpace(r.Stdout); r.Code != 0 || !strings.HasPrefix(secret, "miv_") || strings.Contains(r.Stderr, secret) || !strings.Contains(r.Stderr, "shown once") {
		t.Errorf("without a letter: code %d, %d bytes, %q", r.Code, len(r.Stdout), r.Stderr)
	}
	expect(t, d.Run(t, "user", "create", "otto@hooli.example"), 0)
	accept := func(user, secret string) harness.Result {
		return harness.Command{Args: []string{"--dir", d.Dir, "invite", "accept", user}, Stdin: secret}.Run(t)
	}
	if r := accept("otto@hooli.example", "miv_nothing\n"); r.Code != 2 || !strings.Contains(r.Stderr, "INVITATION_REJECTED") {
		t.Errorf("another secret: %+v", r)
	}
	contains(t, expect(t, accept("otto@hooli.example", r.Stdout), 0), "accepted   usr_", "org_", "member", "revision")
	if letters := lettersTo(t, d, "otto@hooli.example"); len(letters) > 0 {
		t.Errorf("%d letters were sent", len(letters))
	}
	wrong(t, d, map[string][]string{
		"ALREADY_EXISTS":          {"invite", "create", "ida@hooli.example"},
		"email: must have one @":  {"invite", "create", "ida"},
		"is called":               {"invite", "create", "eva@hooli.example", "--group", "Nobody"},
		"RATE_LIMITED":            {"invite", "resend", id},
		"must be an invitation's": {"invite", "show", "ida"},
		"NOT_FOUND":               {"invite", "revoke", "inv_00000000000000000000000000"},
	})
	contains(t, expect(t, run("revoke", id), 0), "revoked    "+id)
	contains(t, expect(t, run("show", id), 0), "state         revoked")
	if out := expect(t, run("show", id), 0); strings.Contains(out, "ida@") {
		t.Errorf("a revoked invitation keeps the address:\n%s", out)
	}
}
