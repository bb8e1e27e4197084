// Package otp makes and verifies one-time passwords of authenticator apps and
// hardware tokens: TOTP (RFC 6238) and HOTP (RFC 4226).
//
// Codes are computed by github.com/pquerna/otp. What is decided here is which
// codes are let in, and that each is let in once. Times are parameters.
package otp

import (
	"crypto/rand"
	"encoding/base32"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	library "github.com/pquerna/otp"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// Algorithm is the hash under the HMAC.
type Algorithm uint8

// The algorithms. Many authenticator apps know SHA1 only, which is safe here.
const (
	SHA1 Algorithm = iota
	SHA256
	SHA512
)

var algorithms = [...]library.Algorithm{SHA1: library.AlgorithmSHA1, SHA256: library.AlgorithmSHA256, SHA512: library.AlgorithmSHA512}

// Bounds of a secret, in bytes. RFC 4226 asks for 16; apps that were set up with
// Google's first scheme have 10.
const (
	secretBytes    = 20
	minSecretBytes = 10
	maxSecretBytes = 64
)

// Settings are what an authenticator is told beside its secret. The zero
// Settings are what every authenticator knows.
type Settings struct {
	Algorithm Algorithm
	// Digits of a code: 6 or 8; 0 means 6.
	Digits int
	// Period of a code in seconds, 15 to 300; 0 means 30. HOTP has none.
	Period int
	// Drift is how many periods a clock may be early or late, 0 to 2; 0 means 1,
	// and fewer than 0 means none. It is not told to the authenticator.
	Drift int
}

func (s Settings) withDefaults() Settings {
	if s.Digits == 0 {
		s.Digits = 6
	}
	if s.Period == 0 {
		s.Period = 30
	}
	if s.Drift == 0 {
		s.Drift = 1
	}
	s.Drift = max(s.Drift, 0)
	return s
}

// Validate says whether authenticators know such settings.
//
// Errors: INVALID_FIELD (algorithm, digits, period, drift).
func (s Settings) Validate() error {
	s = s.withDefaults()
	switch {
	case int(s.Algorithm) >= len(algorithms):
		return fault.Field("algorithm", "defined", "is not an algorithm")
	case s.Digits != 6 && s.Digits != 8:
		return fault.Field("digits", "defined", "must be 6 or 8")
	case s.Period < 15 || s.Period > 300:
		return fault.Field("period", "range", "must be 15 to 300 seconds")
	case s.Drift > 2:
		return fault.Field("drift", "range", "must be at most 2 periods")
	}
	return nil
}

// Key is an authenticator's secret and settings. The zero Key lets nothing in.
type Key struct {
	secret   secret.String // base32, in capitals and without padding
	settings Settings
}

// NewKey makes a key with a secret of 160 random bits.
//
// Errors: those of Settings.Validate.
func NewKey(s Settings) (Key, error) {
	if err := s.Validate(); err != nil {
		return Key{}, err
	}
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails: it ends the process instead
	return Key{secret: secret.NewString(encoding.EncodeToString(random)), settings: s.withDefaults()}, nil
}

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// RestoreKey makes a key of a secret that is stored, or comes from another
// system: base32 of 10 to 64 bytes, with case, spaces, hyphens and padding as
// people copy it.
//
// Errors: INVALID_FIELD (secret: base32, length), and those of Settings.Validate.
func RestoreKey(text secret.String, s Settings) (Key, error) {
	if err := s.Validate(); err != nil {
		return Key{}, err
	}
	given := text.Reveal()
	if len(given) > 4*maxSecretBytes {
		return Key{}, fault.Field("secret", "length", "must be 10 to 64 bytes")
	}
	canonical := strings.TrimRight(strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(given)), "=")
	b, err := encoding.DecodeString(canonical)
	switch {
	case err != nil || encoding.EncodeToString(b) != canonical:
		return Key{}, fault.Field("secret", "base32", "must be base32")
	case len(b) < minSecretBytes || len(b) > maxSecretBytes:
		return Key{}, fault.Field("secret", "length", "must be 10 to 64 bytes")
	}
	return Key{secret: secret.NewString(canonical), settings: s.withDefaults()}, nil
}

// Secret is the secret in base32: what to store, and what people type who cannot
// scan the URI.
func (k Key) Secret() secret.String { return k.secret }

// Settings are the key's settings, with nothing absent.
func (k Key) Settings() Settings { return k.settings }

// maxLabel bounds issuer and account, in bytes: a QR code holds no more.
const maxLabel = 255

// URI is what a QR code shows to an authenticator app that makes TOTP codes. It
// holds the secret. issuer and account (an email address) are shown to people.
//
// Errors: INVALID_FIELD (issuer, account: required, max_length, utf8, colon).
//
// Source: Key Uri Format of Google Authenticator.
func (k Key) URI(issuer, account string) (secret.String, error) {
	if err := label("issuer", issuer); err != nil {
		return secret.String{}, err
	}
	if err := label("account", account); err != nil {
		return secret.String{}, err
	}
	// Spaces are %20, also in the query, where some apps show a plus sign.
	escaped := strings.ReplaceAll(url.QueryEscape(issuer), "+", "%20")
	return secret.NewString("otpauth://totp/" + escaped + ":" + strings.ReplaceAll(url.QueryEscape(account), "+", "%20") +
		"?secret=" + k.secret.Reveal() + "&issuer=" + escaped +
		"&algorithm=" + algorithms[k.settings.Algorithm].String() +
		"&digits=" + strconv.Itoa(k.settings.Digits) + "&period=" + strconv.Itoa(k.settings.Period)), nil
}

func label(field, text string) error {
	switch {
	case text == "":
		return fault.Field(field, "required", "must not be empty")
	case len(text) > maxLabel:
		return fault.Field(field, "max_length", "must be at most 255 bytes long")
	case !utf8.ValidString(text):
		return fault.Field(field, "utf8", "must be valid UTF-8")
	case strings.Contains(text, ":"):
		return fault.Field(field, "colon", "must not contain a colon")
	}
	return nil
}
