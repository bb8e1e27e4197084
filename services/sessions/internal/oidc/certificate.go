package oidc

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// reached is the issuer that a program calls: at its host, or at the one where clients
// are asked for certificates, on a connection on which they were.
func (p *Provider) reached(r *http.Request) (issuer string, ok bool) {
	if issuer, ok := p.issuer(r); ok {
		return issuer, true
	}
	if issuer, ok = p.Certified[strings.ToLower(r.Host)]; !ok || r.TLS == nil {
		return "", false
	}
	asked := &url.URL{Host: r.Host}
	return issuer, strings.EqualFold(asked.Hostname(), r.TLS.ServerName)
}

// base is what the URL begins with that a program calls.
func (p *Provider) base(r *http.Request, issuer string) string {
	if p.Certified[strings.ToLower(r.Host)] == issuer {
		return "https://" + strings.ToLower(r.Host)
	}
	return issuer
}

// certifiedURL is where clients with certificates reach an issuer; "": at the issuer.
func (p *Provider) certifiedURL(issuer string) string {
	for host, of := range p.Certified {
		if of == issuer {
			return "https://" + host
		}
	}
	return ""
}

// boundTo is the certificate that a client's access tokens are bound to, or "".
//
// Source: RFC 8705 section 3.
func boundTo(r *http.Request, c store.Client) (string, error) {
	if !c.Settings.GetCertificateBound() {
		return "", nil
	}
	thumbprint := accesstoken.CertificateOf(r.TLS)
	if thumbprint == "" {
		return "", answer.Refuse(answer.InvalidRequest, "the client's tokens are bound to a certificate of TLS, and there is none")
	}
	return thumbprint, nil
}
