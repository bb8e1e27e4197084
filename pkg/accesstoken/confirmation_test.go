package accesstoken_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
)

func TestCertified(t *testing.T) {
	t.Parallel()
	shown := func(raw ...string) *tls.ConnectionState {
		state := &tls.ConnectionState{}
		for _, r := range raw {
			state.PeerCertificates = append(state.PeerCertificates, &x509.Certificate{Raw: []byte(r)})
		}
		return state
	}
	to := func(raw string) *accesstoken.Confirmation {
		return &accesstoken.Confirmation{Certificate: accesstoken.CertificateOf(shown(raw))}
	}
	for name, tc := range map[string]struct {
		to   *accesstoken.Confirmation
		on   *tls.ConnectionState
		want bool
	}{
		"bound to nothing":             {nil, nil, true},
		"bound to a key":               {&accesstoken.Confirmation{Thumbprint: "x"}, nil, true},
		"the certificate":              {to("a"), shown("a"), true},
		"another":                      {to("a"), shown("b"), false},
		"the certificate, not the own": {to("a"), shown("b", "a"), false},
		"no certificate":               {to("a"), shown(), false},
		"no TLS":                       {to("a"), nil, false},
	} {
		if got := tc.to.Certified(tc.on); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	// RFC 8705 section 3.1 has base64url without padding.
	if got := accesstoken.CertificateOf(shown("a")); got != "ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs" {
		t.Errorf("thumbprint %s", got)
	}
	if key := (*accesstoken.Confirmation)(nil).Key(); key != "" {
		t.Errorf("the key of nothing: %s", key)
	}
}
