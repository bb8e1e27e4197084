package grant_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
)

func secretsOf(key string) grant.Secrets {
	return grant.Secrets{MAC: func(purpose string, parts ...string) []byte {
		mac := hmac.New(sha256.New, []byte(key))
		for _, part := range append([]string{purpose}, parts...) {
			mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			mac.Write([]byte(part))
		}
		return mac.Sum(nil)
	}}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s, of, salt := secretsOf("key"), id.New(id.Grant), grant.Salt{1}
	code, token := s.Code(of, salt), s.Refresh(of, salt, 7)
	if got := grant.GrantOfCode(code); got != of || !s.IsCode(code, of, salt) {
		t.Errorf("code of %q, %t", got, s.IsCode(code, of, salt))
	}
	if got, generation := grant.GrantOfRefresh(token); got != of || generation != 7 || !s.IsRefresh(token, of, salt, 7) {
		t.Errorf("refresh token of %q, %d", got, generation)
	}
	if s.Refresh(of, salt, 7) != token {
		t.Error("the same generation has two tokens")
	}
	for name, presented := range map[string]secret.String{
		"another generation": s.Refresh(of, salt, 8), "another salt": s.Refresh(of, grant.Salt{2}, 7),
		"another grant": s.Refresh(id.New(id.Grant), salt, 7), "another key": secretsOf("other").Refresh(of, salt, 7),
		"a code": code, "nothing": {}, "longer": secret.NewString(token.Reveal() + "A"),
		"a line end": secret.NewString(token.Reveal()[:20] + "\n" + token.Reveal()[20:]),
		"upper case": secret.NewString(strings.ToUpper(token.Reveal())),
	} {
		if s.IsRefresh(presented, of, salt, 7) {
			t.Errorf("%s is the token", name)
		}
		if s.IsCode(presented, of, salt) && presented != code {
			t.Errorf("%s is the code", name)
		}
	}
	if s.IsCode(secret.String{}, "no grant", salt) || s.IsRefresh(secret.String{}, "", salt, 0) {
		t.Error("nothing opens no grant")
	}
}

func FuzzGrantOfRefresh(f *testing.F) {
	s, of := secretsOf("key"), id.New(id.Grant)
	f.Add(s.Refresh(of, grant.Salt{}, 1).Reveal())
	f.Add(s.Code(of, grant.Salt{}).Reveal())
	f.Fuzz(func(t *testing.T, text string) {
		presented := secret.NewString(text)
		if got, _ := grant.GrantOfRefresh(presented); got != "" && !id.Valid(id.Grant, got) {
			t.Errorf("grant %q", got)
		}
		if got := grant.GrantOfCode(presented); got != "" && !id.Valid(id.Grant, got) {
			t.Errorf("grant %q", got)
		}
	})
}
