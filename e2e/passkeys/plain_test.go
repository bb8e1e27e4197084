package passkeys_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (f *fixture) testPlain(t *testing.T) {
	const email, password = "erin@example.com", "harbor violin seldom 77"
	erin := f.user(t, email, password)
	begun, err := f.client.Credentials.BeginTotp(t.Context(), &identityv1.BeginTotpRequest{User: erin, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.Credentials.FinishTotp(t.Context(), &identityv1.FinishTotpRequest{
		User: erin, Ceremony: begun.GetCeremony(), Code: totp(t, begun.GetSecret(), time.Now()), IdempotencyKey: rand.Text(),
	}); err != nil {
		t.Fatal(err)
	}

	p := f.person(t)
	p.CDP("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	p.Goto("data:text/html,<p id=script>off</p><script>document.getElementById('script').textContent = 'on'</script>")
	if got := p.Text("#script"); got != "off" {
		t.Fatalf("scripts are %s", got)
	}
	p.begin(email, "password")
	p.prove("password", "not "+password)
	p.refused("AUTHENTICATION_REJECTED")
	p.prove("password", password)
	p.Wait("input[name=totp]")
	// The first code is used up; the next is taken half a minute early.
	p.prove("totp", totp(t, begun.GetSecret(), time.Now().Add(30*time.Second)))
	p.signedIn(erin, "aal2", "pwd otp mfa")

	p.Goto(f.site.URL + "/sign-in")
	p.Screenshot(filepath.Join(t.ArtifactDir(), "sign-in.png"))
}

// totp is the code of a time (RFC 6238).
func totp(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/30)))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1_000_000)
}
