package grant

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// Bounds of a code verifier, in characters.
//
// Source: RFC 7636 section 4.1.
const (
	minVerifier = 43
	maxVerifier = 128
)

// Redeem exchanges a code for tokens. That the code is the grant's is known.
type Redeem struct {
	Client      string
	RedirectURI string
	Verifier    string
	// Key is the thumbprint of the key that the client proved, or "".
	Key string
	// SessionEnded: the session that the grant ends with is over, or all was ended that
	// was given until after it.
	SessionEnded bool
	At           time.Time
}

// Decide returns the grant after the exchange, or the events that presenting the code
// causes instead: a code that was used before is in two hands, so all that was issued
// from it ends, and that is a fact to record besides the refusal.
//
// Errors: GRANT_REJECTED. The events, if any, are to be recorded all the same.
//
// Source: OAuth 2.1 section 4.1.3; RFC 6749 section 4.1.2; RFC 7636 section 4.6;
// RFC 9700 section 4.5; RFC 9449 section 10.
func (c Redeem) Decide(s State) (State, []proto.Message, error) {
	switch {
	case s.Status == Absent || s.Client != c.Client:
		// Another client's code is not spent by who found it.
		return s, nil, rejected("the code is not good")
	case s.Status == Revoked:
		return s, nil, rejected("the grant was revoked")
	case s.Status == Redeemed:
		return s, s.revoked(eventv1.Revocation_REVOCATION_CODE_REUSED), rejected("the code was used before")
	case c.SessionEnded:
		return s, nil, rejected("the grant was revoked")
	case !c.At.Before(s.IssuedAt.Add(CodeLife)):
		return s, nil, rejected("the code has expired")
	case !same(c.RedirectURI, s.RedirectURI):
		return s, nil, rejected("redirect_uri is not that of the authorization request")
	case !Verifies(s.Challenge, c.Verifier):
		return s, nil, rejected("code_verifier does not match code_challenge")
	case s.Key != "" && !same(s.Key, c.Key):
		return s, nil, rejected("the code is bound to another key")
	}
	s.Status = Redeemed
	if s.Refreshable {
		s.Generation, s.RotatedAt = 1, c.At
	}
	return s, nil, nil
}

// Verifies says whether a code verifier is the one of an S256 challenge.
//
// Source: RFC 7636 sections 4.1, 4.2 and 4.6.
func Verifies(challenge, verifier string) bool {
	if len(verifier) < minVerifier || len(verifier) > maxVerifier {
		return false
	}
	for i := range len(verifier) {
		if !unreserved(verifier[i]) {
			return false
		}
	}
	sum := sha256.Sum256([]byte(verifier))
	return challenge != "" && same(base64.RawURLEncoding.EncodeToString(sum[:]), challenge)
}

// unreserved is a character of RFC 3986 section 2.3.
func unreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return c == '-' || c == '.' || c == '_' || c == '~'
	}
}

// same compares in a time that does not tell where two texts differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
