package legacy_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/legacy"
)

// genuine is how a checker verifies a call, written from the documentation: it
// shares no code with what signs.
func genuine(header, body, secret string, now int64) bool {
	signed, matches := int64(0), false
	for part := range strings.SplitSeq(header, ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "t":
			signed, _ = strconv.ParseInt(value, 10, 64)
		case "v1":
			mac := hmac.New(sha256.New, []byte(secret))
			_, _ = io.WriteString(mac, strconv.FormatInt(signed, 10)+"."+body)
			got, err := hex.DecodeString(value)
			matches = matches || err == nil && hmac.Equal(mac.Sum(nil), got)
		}
	}
	return matches && now-300 <= signed && signed <= now+300
}

func TestSignature(t *testing.T) {
	now := time.Unix(1_762_000_000, 123_456_789)
	var header, body string
	checker := serve(t, func(w http.ResponseWriter, r *http.Request) {
		read, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		header, body = r.Header.Get("Meridian-Signature"), string(read)
		says(`{"ok": true}`)(w, r)
	})
	c := legacy.New(legacy.Options{Clock: func() time.Time { return now }})
	if _, err := ask(t.Context(), c, source(checker.URL)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		header, body, secret string
		after                int64
		want                 bool
	}{
		"newest secret":     {header, body, "mss_new", 0, true},
		"secret before":     {header, body, "mss_old", 0, true},
		"another secret":    {header, body, "mss_other", 0, false},
		"five minutes late": {header, body, "mss_new", 300, true},
		"replayed later":    {header, body, "mss_new", 301, false},
		"made young again":  {strings.Replace(header, "t=1762000000", "t=1762000301", 1), body, "mss_new", 301, false},
		"another password":  {header, strings.Replace(body, "battery", "cattery", 1), "mss_new", 0, false},
		"from the future":   {header, body, "mss_new", -301, false},
	} {
		if got := genuine(tc.header, tc.body, tc.secret, now.Unix()+tc.after); got != tc.want {
			t.Errorf("%s: genuine = %t; header %s", name, got, tc.header)
		}
	}
}

// A vector that whoever writes a checker can try: made with
//
//	printf '%s' '1762000000.{"ok":1}' | openssl dgst -sha256 -hmac mss_example
func TestVector(t *testing.T) {
	const header = "t=1762000000,v1=df54859f92e6bb815157d327875206c105460048c2667622bfc6bb838a15b7eb"
	if got := legacy.Sign(time.Unix(1_762_000_000, 0), []byte(`{"ok":1}`), []secret.String{secret.NewString("mss_example")}); got != header {
		t.Errorf("sign = %s", got)
	}
	if !genuine(header, `{"ok":1}`, "mss_example", 1_762_000_000) {
		t.Error("the test's own verification refuses the vector")
	}
}

func TestSecrets(t *testing.T) {
	key, err := blind.NewKey([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range []string{"console", "console1", "other"} {
		for n := uint32(1); n <= 12; n++ {
			text := legacy.Secret(key, s, n).Reveal()
			random, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "mss_"))
			if err != nil || len(random) != 32 || seen[text] {
				t.Errorf("secret %d of %s: %v, %d bytes, seen %t", n, s, err, len(random), seen[text])
			}
			seen[text] = true
		}
	}
	for n, want := range map[uint32][]uint32{0: nil, 1: {1}, 2: {2, 1}, 7: {7, 6}} {
		got := legacy.Secrets(key, "console", n)
		if len(got) != len(want) {
			t.Errorf("%d secrets: %d sign", n, len(got))
			continue
		}
		for i := range want {
			if got[i].Reveal() != legacy.Secret(key, "console", want[i]).Reveal() {
				t.Errorf("of %d secrets, signer %d is another", n, i)
			}
		}
	}
}
