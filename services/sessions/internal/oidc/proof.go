package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// nonceLife is how long a nonce is taken.
const nonceLife = 5 * time.Minute

// proved is the thumbprint of the key that a request to the token endpoint proves; ""
// where it proves none, and need not.
//
// Source: RFC 9449 section 5.
func (p *Provider) proved(w http.ResponseWriter, r *http.Request, c store.Client, issuer string) (string, error) {
	key, err := p.offered(w, r, issuer)
	if err == nil && key == "" && c.Settings.GetDpopRequired() {
		return "", answer.Refuse(answer.InvalidProof, "the client must send a proof in the header DPoP")
	}
	return key, err
}

// provedAhead is the key to which the code of a pushed request is bound: that of
// dpop_jkt, that which the client proves when it pushes, or "".
//
// Source: RFC 9449 section 10.1.
func (p *Provider) provedAhead(w http.ResponseWriter, r *http.Request, named, issuer string) (string, error) {
	key, err := p.offered(w, r, issuer)
	switch {
	case err != nil || key == "":
		return named, err
	case named != "" && named != key:
		return "", answer.Refuse(answer.InvalidProof, "the proof is of another key than dpop_jkt")
	}
	return key, nil
}

// offered is the thumbprint of the key that a client proves; "" where it sends no proof.
//
// Source: RFC 9449 section 8.
func (p *Provider) offered(w http.ResponseWriter, r *http.Request, issuer string) (string, error) {
	if len(r.Header.Values("DPoP")) == 0 {
		return "", nil
	}
	proof, err := dpop.Read(p.proven(r, issuer), p.Clock())
	if err != nil {
		return "", refusedProof(err)
	}
	if !p.nonceGood(proof.Nonce) {
		w.Header().Set("DPoP-Nonce", p.nonce(p.now()))
		return "", answer.Refuse(answer.UseNonce, "the proof needs the nonce of the header DPoP-Nonce")
	}
	if proof.TokenHash != "" {
		return "", answer.Refuse(answer.InvalidProof, "a proof has no ath where there is no access token")
	}
	return proof.Thumbprint, p.once(r, proof)
}

// proven is what the proof of a request must be about.
func (p *Provider) proven(r *http.Request, issuer string) dpop.Request {
	return dpop.Request{Proofs: r.Header.Values("DPoP"), Method: r.Method, URI: p.base(r, issuer) + r.URL.Path}
}

// refusedProof is the answer to a request whose proof is not taken.
func refusedProof(err error) error {
	if e, ok := errors.AsType[*dpop.Error](err); ok {
		return answer.Refuse(e.Code, e.Description)
	}
	return err
}

// once takes a proof the first time.
//
// Source: RFC 9449 section 11.1.
func (p *Provider) once(r *http.Request, proof dpop.Proof) error {
	hash := sha256.Sum256([]byte("dpop\x00" + proof.Thumbprint + "\x00" + proof.ID))
	first, err := store.Use(r.Context(), p.DB.Pool(), hash, p.Region, p.now().Add(2*dpop.Window))
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
	if !claims.Confirmation.Certified(r.TLS) {
		return unauthorized("the token is bound to another certificate")
	}
	challenge := func(err error) error {
		e, told := asAnswer(err)
		if !told {
			return err
		}
		return &answer.Error{Status: http.StatusUnauthorized, Code: e.Code, Description: e.Description, Challenge: dpop.Challenge(e.Code)}
	}
	proof, err := dpop.Check(dpop.Use{
		Request: p.proven(r, claims.Issuer), Scheme: scheme, Token: token, Thumbprint: claims.Confirmation.Key(),
	}, p.Clock())
	switch {
	case err != nil:
		return challenge(refusedProof(err))
	case proof == (dpop.Proof{}):
		return nil // the token is bound to no key
	case !p.nonceGood(proof.Nonce):
		w.Header().Set("DPoP-Nonce", p.nonce(p.now()))
		return challenge(answer.Refuse(answer.UseNonce, "the proof needs the nonce of the header DPoP-Nonce"))
	}
	return challenge(p.once(r, proof))
}
