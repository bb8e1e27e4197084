package client_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

func TestSubject(t *testing.T) {
	t.Parallel()
	spiffe, err := url.Parse("spiffe://example.com/app")
	if err != nil {
		t.Fatal(err)
	}
	certificate := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "app.example.com", Organization: []string{"Example"}},
		DNSNames: []string{"app.example.com", "*.wild.example.com"}, URIs: []*url.URL{spiffe},
		IPAddresses: []net.IP{net.ParseIP("192.0.2.7"), net.ParseIP("2001:db8::7")}, EmailAddresses: []string{"app@example.com"},
	}
	for text, want := range map[string]bool{
		"dns:app.example.com": true, "dns:APP.example.com": true, "dns:app.example.co": false, "dns:a.wild.example.com": false,
		"uri:spiffe://example.com/app": true, "uri:spiffe://example.com/ap": false, "uri:spiffe://example.com/app/": false,
		"ip:192.0.2.7": true, "ip:::ffff:192.0.2.7": false, "ip:2001:db8::7": true, "ip:192.0.2.8": false,
		"email:app@example.com": true, "email:App@example.com": false, "email:app.example.com": false,
		"dn:CN=app.example.com,O=Example": true, "dn:CN=app.example.com": false, "dn:app.example.com": false, "dns:192.0.2.7": false,
	} {
		s, err := client.ParseSubject(text)
		if err != nil || s.In(certificate) != want {
			t.Errorf("%s: %t, %v; want %t", text, s.In(certificate), err, want)
		}
	}
	for text, rule := range map[string]string{
		"": "kind", "app.example.com": "kind", "DNS:app.example.com": "kind", "cn:app": "kind", "dns:": "name", "dns:*.wild.example.com": "name",
		"ip:": "name", "uri:": "name", "uri:spiffe://example.com/*": "name", "email:": "name", "email:a b@example.com": "name", "dn:": "name",
	} {
		s, err := client.ParseSubject(text)
		if f, _ := fault.As(err); f == nil || f.Meta["rule"] != rule {
			t.Errorf("%q: %v, want rule %s", text, err, rule)
		}
		if s.In(certificate) || s.In(&x509.Certificate{}) {
			t.Errorf("%q, which is refused, is in a certificate", text)
		}
	}
}
