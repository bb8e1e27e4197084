package clientauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	// maxLife is how long an assertion may live from now on: what is used is remembered
	// for so long.
	maxLife = 5 * time.Minute
	// skew is how far the client's clock may be ahead. FAPI 2.0 asks for 10 seconds at
	// least, and 60 at most.
	skew = 10 * time.Second
	// maxJTI is the size of the longest jti, in bytes.
	maxJTI = 256
)

// Algorithms are those that assertions may be signed with.
func Algorithms() []jose.Algorithm {
	return []jose.Algorithm{jose.ES256, "ES384", jose.RS256, jose.PS256, jose.EdDSA}
}

// claims are those of an assertion.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ID        string   `json:"jti"`
	Expires   *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	IssuedAt  *float64 `json:"iat"`
}

// audience is one text, in an array or not; "" for any other.
type audience string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience(one)
		return nil
	}
	var several []json.RawMessage
	if json.Unmarshal(text, &several) == nil && len(several) == 1 && json.Unmarshal(several[0], &one) == nil {
		*a = audience(one)
	}
	return nil
}

// verify says whether a client made an assertion for this issuer, and uses it up.
//
// Errors: *answer.Error (invalid_client); others of the database.
func (a *Authenticator) verify(ctx context.Context, row store.Client, token, issuer string) error {
	keys, err := jose.ParseKeys("jwks", row.Settings.GetJwks())
	if err != nil {
		return refused() // registered when other keys were taken
	}
	payload, err := jose.Verify(token, keys, jose.Expect{Algorithms: Algorithms()})
	if err != nil {
		return refused()
	}
	var c claims
	if jose.Claims(payload, &c) != nil {
		return invalidClient("the claims of the assertion are refused")
	}
	if wrong := c.wrong(row.ID, issuer, a.Clock()); wrong != "" {
		return invalidClient("the assertion is refused: " + wrong)
	}
	first, err := store.Use(ctx, a.DB.Pool(), jtiHash(row.ID, c.ID), a.Region, ends(*c.Expires).Add(skew))
	switch {
	case err != nil:
		return fmt.Errorf("authenticate client: %w", err)
	case !first:
		return invalidClient("the assertion is refused: it was used before")
	}
	return nil
}

// wrong is what is wrong with the claims of a client's assertion, or "". The audience
// is this issuer and nobody else: an assertion for several could be made for us and be
// used there, or the other way around.
//
// Source: RFC 7523 section 3; draft-ietf-oauth-rfc7523bis; FAPI 2.0 Security Profile
// section 5.3.2.1; CVE-2025-27370, CVE-2025-27371.
func (c claims) wrong(client, issuer string, now time.Time) string {
	at := float64(now.UnixMicro()) / float64(time.Second/time.Microsecond)
	late := at + skew.Seconds()
	switch {
	case c.Issuer != client || c.Subject != client:
		return "iss and sub must be the client_id"
	case issuer == "" || string(c.Audience) != issuer:
		return "aud must be the issuer, and nobody else"
	case c.Expires == nil || !finite(*c.Expires) || *c.Expires <= at:
		return "it has expired"
	case *c.Expires > late+maxLife.Seconds():
		return "exp must be 5 minutes ahead at most"
	case c.NotBefore != nil && *c.NotBefore > late:
		return "nbf is in the future"
	case c.IssuedAt != nil && *c.IssuedAt > late:
		return "iat is in the future"
	case c.ID == "" || len(c.ID) > maxJTI:
		return "jti must have 1 to 256 bytes"
	}
	return ""
}

func finite(number float64) bool { return !math.IsInf(number, 0) && !math.IsNaN(number) }

// ends is the time of a claim that is near now, not before it.
func ends(exp float64) time.Time { return time.Unix(int64(math.Ceil(exp)), 0) }

// jtiHash is by what it is known that an assertion of a client was used.
func jtiHash(client, jti string) [sha256.Size]byte {
	return sha256.Sum256([]byte("private_key_jwt\x00" + client + "\x00" + jti))
}
