package legacy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
)

// SignatureHeader is the header that holds when a call was signed, and how.
const SignatureHeader = "Meridian-Signature"

// secretPrefix is what scanners find secrets by.
const secretPrefix = "mss_"

// secretPurpose keeps secrets apart from indexes that are made with the same key.
const secretPurpose = "secret of a source"

// Secret returns the nth secret of a source, from 1: mss_ and 43 characters of
// base64url for 32 bytes. They are derived from the blind key, which all regions
// have, so that no secret is stored, and every region signs alike. Whoever replaces
// the blind key makes new secrets of all sources.
//
// It panics on the zero Key.
func Secret(key blind.Key, source string, n uint32) secret.String {
	derived := key.Index(secretPurpose, source, strconv.FormatUint(uint64(n), 10))
	return secret.NewString(secretPrefix + base64.RawURLEncoding.EncodeToString(derived))
}

// Secrets returns what a source with n secrets signs with: the newest, and the one
// before it.
func Secrets(key blind.Key, source string, n uint32) []secret.String {
	var out []secret.String
	for ; n > 0 && len(out) < 2; n-- {
		out = append(out, Secret(key, source, n))
	}
	return out
}

// sign returns the header for a body.
func sign(at time.Time, body []byte, secrets []secret.String) string {
	t := strconv.FormatInt(at.Unix(), 10)
	var b strings.Builder
	b.WriteString("t=" + t)
	for _, s := range secrets {
		mac := hmac.New(sha256.New, []byte(s.Reveal()))
		mac.Write([]byte(t + "."))
		mac.Write(body)
		b.WriteString(",v1=" + hex.EncodeToString(mac.Sum(nil)))
	}
	return b.String()
}
