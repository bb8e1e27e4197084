package accesstoken

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
)

// Confirmation is the key that a token is bound to.
//
// Source: RFC 9449 section 6.1; RFC 8705 section 3.1.
type Confirmation struct {
	// Thumbprint is that of a JWK (RFC 7638), for DPoP.
	Thumbprint string `json:"jkt,omitempty"`
	// Certificate is the SHA-256 of a client certificate, in base64url.
	Certificate string `json:"x5t#S256,omitempty"`
}

// Provable says whether a token is bound to something of which it is known here how it is
// proved, or to nothing.
func (c *Confirmation) Provable() bool { return c == nil || *c != (Confirmation{}) }

// Key is the thumbprint of the key that a token is bound to, for DPoP; "" for none, of a
// token that is bound to nothing, too.
func (c *Confirmation) Key() string {
	if c == nil {
		return ""
	}
	return c.Thumbprint
}

// Certified says whether a token may be used on a connection: it is bound to no
// certificate, or to the one that the client showed there. Nil is a connection without
// TLS.
//
// Source: RFC 8705 section 3.
func (c *Confirmation) Certified(on *tls.ConnectionState) bool {
	return c == nil || c.Certificate == "" || c.Certificate == CertificateOf(on)
}

// CertificateOf is the thumbprint of the certificate that a client showed on a connection,
// as a Confirmation has it; "": it showed none.
//
// Source: RFC 8705 section 3.1.
func CertificateOf(on *tls.ConnectionState) string {
	if on == nil || len(on.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(on.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
