package clientauth

import (
	"crypto/x509"
	"net/http"

	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// hasCertificate says whether a client came with a certificate whose key is one of its
// own. TLS has proved that it has the key; what else the certificate says counts for
// nothing.
//
// Source: RFC 8705 section 2.2.
func hasCertificate(row store.Client, r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	keys, err := jose.ParseKeys("jwks", row.Settings.GetJwks())
	return err == nil && keys.HasKey(r.TLS.PeerCertificates[0].PublicKey)
}

// hasIssued says whether a client came with a certificate of one of the authorities that
// names it.
//
// Source: RFC 8705 section 2.1.
func (a *Authenticator) hasIssued(row store.Client, r *http.Request) bool {
	if a.Authorities == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	own, others := r.TLS.PeerCertificates[0], x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		others.AddCert(c)
	}
	subject, err := client.ParseSubject(row.Settings.GetCertificateSubject())
	if err != nil || !subject.In(own) {
		return false
	}
	_, err = own.Verify(x509.VerifyOptions{
		Roots: a.Authorities, Intermediates: others, CurrentTime: a.Clock(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}
