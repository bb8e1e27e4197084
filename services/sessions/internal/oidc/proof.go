package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	// proofWindow is how old a proof may be, and how far ahead of this clock.
	proofWindow = time.Minute
	// nonceLife is how long a nonce is taken.
	nonceLife = 5 * time.Minute
	// maxProofID bounds a proof's jti, in bytes.
	maxProofID = 256
)

// proofAlgorithms are those of proofs.
var proofAlgorithms = []jose.Algorithm{jose.ES256, jose.ES384, jose.EdDSA, jose.RS256, jose.PS256}

// proofClaims are what a proof says.
//
// Source: RFC 9449 section 4.2.
type proofClaims struct {
	ID       string `json:"jti"`
	Method   string `json:"htm"`
	URI      string `json:"htu"`
	IssuedAt int64  `json:"iat"`
	Nonce    string `json:"nonce"`
	Access   string `json:"ath"`
}

// proved is the thumbprint of the key that a request to the token endpoint proves; ""
// where it proves none, and need not.
//
// Source: RFC 9449 sections 5 and 8.
func (p *Provider) proved(w http.ResponseWriter, r *http.Request, c store.Client, issuer string) (string, error) {
	if len(r.Header.Values("DPoP")) == 0 {
		if c.Settings.GetDpopRequired() {
			return "", answer.Refuse(answer.InvalidProof, "the client must send a proof in the header DPoP")
		}
		return "", nil
	}
	claims, key, refused := p.proof(r, issuer)
	if refused != nil {
		return "", refused
	}
	if !p.nonceGood(claims.Nonce) {
		w.Header().Set("DPoP-Nonce", p.nonce(p.now()))
		return "", answer.Refuse(answer.UseNonce, "the proof needs the nonce of the header DPoP-Nonce")
	}
	if claims.Access != "" {
		return "", answer.Refuse(answer.InvalidProof, "a proof for the token endpoint has no ath")
	}
	return key, p.once(r, key, claims)
}

// proof reads the proof of a request.
//
// Source: RFC 9449 section 4.3.
func (p *Provider) proof(r *http.Request, issuer string) (claims proofClaims, key string, refused *answer.Error) {
	bad := func(description string) (proofClaims, string, *answer.Error) {
		return proofClaims{}, "", answer.Refuse(answer.InvalidProof, description)
	}
	values := r.Header.Values("DPoP")
	if len(values) != 1 {
		return bad("want one header DPoP")
	}
	payload, key, err := jose.VerifyEmbedded(values[0], jose.Expect{Type: "dpop+jwt", Algorithms: proofAlgorithms})
	if err != nil || jose.Claims(payload, &claims) != nil {
		return bad("the proof is no dpop+jwt that its own public key signed")
	}
	uri, _, _ := strings.Cut(claims.URI, "#")
	uri, _, _ = strings.Cut(uri, "?")
	age := p.Clock().Sub(time.Unix(claims.IssuedAt, 0))
	switch {
	case claims.Method != r.Method || uri != p.base(r, issuer)+r.URL.Path:
		return bad("the proof is for another method (htm) or URI (htu)")
	case age > proofWindow || age < -proofWindow:
		return bad("the proof is too old, or of the future (iat)")
	case claims.ID == "" || len(claims.ID) > maxProofID:
		return bad("the proof needs a jti of 256 bytes at most")
	}
	return claims, key, nil
}

// once takes a proof the first time.
//
// Source: RFC 9449 section 11.1.
func (p *Provider) once(r *http.Request, key string, claims proofClaims) error {
	hash := sha256.Sum256([]byte("dpop\x00" + key + "\x00" + claims.ID))
	first, err := store.Use(r.Context(), p.DB.Pool(), hash, p.Region, p.now().Add(2*proofWindow))
	if err != nil {
		return err
	}
	if !first {
		return answer.Refuse(answer.InvalidProof, "the proof was used before (jti)")
	}
	return nil
}

// nonce is what proofs of a time must have: nobody makes proofs ahead for later.
//
// Source: RFC 9449 section 8.
func (p *Provider) nonce(at time.Time) string {
	window := at.Truncate(nonceLife).Format(time.RFC3339)
	return base64.RawURLEncoding.EncodeToString(p.Secrets.MAC("dpop nonce", window))
}

// nonceGood says whether a nonce is that of now, or of the time before.
func (p *Provider) nonceGood(nonce string) bool {
	now := p.now()
	return nonce != "" && (nonce == p.nonce(now) || nonce == p.nonce(now.Add(-nonceLife)))
}

// proves says whether a request may use an access token: one that is bound to a key
// comes with a proof of the key, and is no bearer token.
//
// Source: RFC 9449 sections 7.1 and 7.2; section 11.9 (no downgrade to Bearer).
func (p *Provider) proves(w http.ResponseWriter, r *http.Request, scheme string, token secret.String, claims accesstoken.Claims) error {
	if claims.Confirmation != nil && claims.Confirmation.Certificate != "" && claims.Confirmation.Certificate != certificate(r) {
		return unauthorized("the token is bound to another certificate")
	}
	bound := claims.Confirmation != nil && claims.Confirmation.Thumbprint != ""
	dpop := strings.EqualFold(scheme, "DPoP")
	challenge := func(code, description string) error {
		return &answer.Error{
			Status: http.StatusUnauthorized, Code: code, Description: description,
			Challenge: `DPoP error="` + code + `", algs="ES256 ES384 EdDSA RS256 PS256"`,
		}
	}
	switch {
	case !bound && !dpop:
		return nil
	case bound != dpop:
		return challenge(answer.InvalidToken, "a token that is bound to a key is sent as DPoP, and any other as Bearer")
	}
	proof, key, refused := p.proof(r, claims.Issuer)
	if refused != nil {
		return challenge(refused.Code, refused.Description)
	}
	sum := sha256.Sum256([]byte(token.Reveal()))
	switch {
	case key != claims.Confirmation.Thumbprint || proof.Access != base64.RawURLEncoding.EncodeToString(sum[:]):
		return challenge(answer.InvalidProof, "the proof is of another key, or for another token (ath)")
	case !p.nonceGood(proof.Nonce):
		w.Header().Set("DPoP-Nonce", p.nonce(p.now()))
		return challenge(answer.UseNonce, "the proof needs the nonce of the header DPoP-Nonce")
	}
	if err := p.once(r, key, proof); err != nil {
		if e, told := asAnswer(err); told {
			return challenge(e.Code, e.Description)
		}
		return err
	}
	return nil
}
