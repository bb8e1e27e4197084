package client

import (
	"crypto/x509"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Subject is whom the certificate of an authority names: a kind of name, and the name.
type Subject struct{ kind, name string }

// ParseSubject reads a subject, as dns:app.example.com, uri:spiffe://example.com/app,
// ip:192.0.2.7, email:app@example.com, or dn:CN=app,O=Example. But for the case of DNS
// names all are compared as text, IP addresses in their shortest form (RFC 5952).
//
// Errors: INVALID_FIELD (settings.certificate_subject; rule kind or name).
//
// Source: RFC 8705 section 2.1.2.
func ParseSubject(text string) (Subject, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case !slices.Contains([]string{"dns", "uri", "ip", "email", "dn"}, kind):
		return Subject{}, fault.Field("settings.certificate_subject", "kind", "must begin with dns:, uri:, ip:, email: or dn:")
	case name == "" || kind != "dn" && strings.ContainsAny(name, "* "):
		return Subject{}, fault.Field("settings.certificate_subject", "name", "must name one, without spaces and *")
	}
	return Subject{kind, name}, nil
}

// In says whether a certificate names the subject. That an authority made it is for
// others to find out.
func (s Subject) In(c *x509.Certificate) bool {
	return slices.ContainsFunc(s.names(c), func(name string) bool {
		return name == s.name || s.kind == "dns" && strings.EqualFold(name, s.name)
	})
}

// names are those of the kind in a certificate.
func (s Subject) names(c *x509.Certificate) (out []string) {
	switch s.kind {
	case "dns":
		return c.DNSNames
	case "email":
		return c.EmailAddresses
	case "dn":
		return []string{c.Subject.String()}
	case "uri":
		for _, u := range c.URIs {
			out = append(out, u.String())
		}
	case "ip":
		for _, a := range c.IPAddresses {
			out = append(out, a.String())
		}
	}
	return out
}
