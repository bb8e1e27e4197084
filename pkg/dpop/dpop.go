// Package dpop says whether whoever sends a request has the key that its access token is
// bound to, by the proof beside it.
//
// Check looks at what it is given and at nothing else. Two things are left to whoever
// serves: that no proof is taken twice, for which there is Seen, and what nonce a proof
// must have, where the server hands out nonces.
//
// Source: RFC 9449.
package dpop

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// Scheme is that of the header Authorization of a token that is bound to a key.
	Scheme = "DPoP"
	// Window is how old a proof may be, and how far ahead of the clock of whoever serves.
	Window = time.Minute
	// maxID bounds a proof's jti, in bytes.
	maxID = 256
)

// algorithms are those of proofs.
var algorithms = []jose.Algorithm{jose.ES256, jose.ES384, jose.EdDSA, jose.RS256, jose.PS256}

// Algorithms are the names of those that proofs are signed with, as metadata has them.
func Algorithms() []string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	return names
}

// The codes of errors.
//
// Source: RFC 9449 sections 7.1 and 12.2.
const (
	InvalidToken = "invalid_token"
	InvalidProof = "invalid_dpop_proof"
)

// Error is why a proof, or a token without one, is not taken. It quotes nothing of the
// request.
type Error struct{ Code, Description string }

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

// Challenge is the header WWW-Authenticate of an answer with an error's code; "": no error
// is told.
//
// Source: RFC 9449 section 7.1.
func Challenge(code string) string {
	algorithms := `algs="` + strings.Join(Algorithms(), " ") + `"`
	if code == "" {
		return Scheme + " " + algorithms
	}
	return Scheme + ` error="` + code + `", ` + algorithms
}

func refuse(description string) error { return &Error{InvalidProof, description} }

// Request is what a proof is about.
type Request struct {
	// Proofs are all values of the request's header DPoP.
	Proofs []string
	// Method is that of HTTP.
	Method string
	// URI is what the client called, without query and fragment. Whoever serves makes it of
	// a name that is its own: who may choose it, as by the header Host, may use proofs here
	// that were made for others.
	URI string
}

// Proof is what a proof says.
//
// Source: RFC 9449 section 4.2.
type Proof struct {
	// Thumbprint is that of the key that signed it.
	Thumbprint string `json:"-"`
	ID         string `json:"jti"`
	Method     string `json:"htm"`
	URI        string `json:"htu"`
	// IssuedAt is in seconds since 1970.
	IssuedAt int64  `json:"iat"`
	Nonce    string `json:"nonce"`
	// TokenHash is that of the access token beside the proof, or "".
	TokenHash string `json:"ath"`
}

// Read returns the proof of a request. Its nonce, the hash of a token and whether it was
// used before are for the caller to look at.
//
// Errors: *Error with InvalidProof.
//
// Source: RFC 9449 section 4.3, points 1 to 9 and 11.
func Read(r Request, now time.Time) (Proof, error) {
	if len(r.Proofs) != 1 {
		return Proof{}, refuse("want one header DPoP")
	}
	var p Proof
	payload, thumbprint, err := jose.VerifyEmbedded(r.Proofs[0], jose.Expect{Type: "dpop+jwt", Algorithms: algorithms})
	if err != nil || jose.Claims(payload, &p) != nil {
		return Proof{}, refuse("the proof is no dpop+jwt that its own public key signed")
	}
	age := now.Sub(time.Unix(p.IssuedAt, 0))
	switch {
	case p.Method != r.Method || !same(p.URI, r.URI):
		return Proof{}, refuse("the proof is for another method (htm) or URI (htu)")
	case age > Window || age < -Window:
		return Proof{}, refuse("the proof is too old, or of the future (iat)")
	case p.ID == "" || len(p.ID) > maxID:
		return Proof{}, refuse("the proof needs a jti of 256 bytes at most")
	}
	p.Thumbprint = thumbprint
	return p, nil
}

// Use is a request that uses an access token which was verified.
type Use struct {
	Request

	// Scheme is that of the header Authorization.
	Scheme string
	Token  secret.String
	// Thumbprint is that of the key that the token is bound to, the jkt of its cnf; "": none.
	Thumbprint string
}

// Check says whether a request may use its token, as far as keys go: one that is bound to
// a key is sent as DPoP with a proof of the key, and any other is not. It returns the
// proof, which is to be taken once; the zero Proof where none is needed.
//
// Errors: *Error with InvalidToken for the scheme, and with InvalidProof.
//
// Source: RFC 9449 sections 4.3, 7.1 and 7.2; section 11.9 (no downgrade to Bearer).
func Check(u Use, now time.Time) (Proof, error) {
	bound, proved := u.Thumbprint != "", strings.EqualFold(u.Scheme, Scheme)
	switch {
	case !bound && !proved:
		return Proof{}, nil
	case bound != proved:
		return Proof{}, &Error{InvalidToken, "a token that is bound to a key is sent as DPoP, and any other as Bearer"}
	}
	p, err := Read(u.Request, now)
	if err != nil {
		return Proof{}, err
	}
	sum := sha256.Sum256([]byte(u.Token.Reveal()))
	if p.Thumbprint != u.Thumbprint || p.TokenHash != base64.RawURLEncoding.EncodeToString(sum[:]) {
		return Proof{}, refuse("the proof is of another key, or for another token (ath)")
	}
	return p, nil
}

// same says whether a proof's htu is the URI that was called. Query and fragment do not
// count, nor do the case of scheme and host, the port that a scheme has anyhow, and an empty
// path for /.
//
// Source: RFC 9449 section 4.3; RFC 3986 sections 6.2.2.1 and 6.2.3.
func same(claimed, called string) bool {
	a, okA := normal(claimed)
	b, okB := normal(called)
	return okA && okB && a == b
}

// normal is a URI as same compares it; false for one that no request has.
func normal(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return "", false
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + path, true
}
