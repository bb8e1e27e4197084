package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// certificate is the thumbprint of the certificate that a request came with, or "".
//
// Source: RFC 8705 section 3.1.
func certificate(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// boundTo is the certificate that a client's access tokens are bound to, or "".
//
// Source: RFC 8705 section 3.
func boundTo(r *http.Request, c store.Client) (string, error) {
	if !c.Settings.GetCertificateBound() {
		return "", nil
	}
	thumbprint := certificate(r)
	if thumbprint == "" {
		return "", answer.Refuse(answer.InvalidRequest, "the client's tokens are bound to a certificate of TLS, and there is none")
	}
	return thumbprint, nil
}
