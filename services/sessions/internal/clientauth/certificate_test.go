package clientauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/id"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// holder has a certificate, and the key to make others with it if it is an authority's.
type holder struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// certify makes a certificate; by nobody, it is signed with its own key.
func certify(t *testing.T, by *holder, name string, change func(*x509.Certificate)) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, BasicConstraintsValid: true,
		NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	parent, with := template, key
	if by != nil {
		parent, with = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{made, key}
}

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func (c call) shows(certificates ...*holder) call {
	for _, h := range certificates {
		c.shown = append(c.shown, h.certificate)
	}
	return c
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root, stranger := certify(t, nil, "root", authority), certify(t, nil, "root", authority)
	between := certify(t, root, "between", authority)
	f.Authorities = x509.NewCertPool()
	f.Authorities.AddCert(root.certificate)
	const name = "app.example.com"
	good, own := certify(t, between, name, nil), certify(t, nil, name, nil)
	jwk, err := gojose.JSONWebKey{Key: own.key.Public(), KeyID: "1"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	app := f.clientWith(t, &eventv1.ClientSettings{Authentication: issued, CertificateSubject: "dns:" + name})
	alone := f.client(t, selfSigned, `{"keys":[`+string(jwk)+`]}`)
	spa := f.client(t, public, "")
	named := func(r registered) call { return withForm("client_id", r.id) }
	for name, tc := range map[string]struct {
		call call
		want string
	}{
		"issued":                         {named(app).shows(good, between), taken},
		"issued by the root":             {named(app).shows(certify(t, root, name, nil)), taken},
		"nothing shown":                  {named(app), invalidClient},
		"with a secret instead":          {withForm("client_id", app.id, "client_secret", "a secret of some kind"), invalidClient},
		"the one between is left out":    {named(app).shows(good), invalidClient},
		"another authority's":            {named(app).shows(certify(t, stranger, name, nil), stranger), invalidClient},
		"its own":                        {named(app).shows(certify(t, nil, name, nil)), invalidClient},
		"another's, of the authority":    {named(app).shows(certify(t, root, "other.example.com", nil)), invalidClient},
		"another's, before the client's": {named(app).shows(certify(t, root, "other.example.com", nil), good, between), invalidClient},
		"by who is no authority":         {named(app).shows(certify(t, good, name, nil), good, between), invalidClient},
		"for servers": {named(app).shows(certify(t, root, name, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})), invalidClient},
		"expired": {named(app).shows(certify(t, root, name, func(c *x509.Certificate) {
			c.NotAfter = c.NotBefore.Add(time.Minute)
		})), invalidClient},
		"not yet good": {named(app).shows(certify(t, root, name, func(c *x509.Certificate) {
			c.NotBefore = c.NotAfter.Add(-time.Minute)
		})), invalidClient},
		"of no client":                     {withForm("client_id", id.New(id.Client)).shows(good, between), invalidClient},
		"self-signed":                      {named(alone).shows(own), taken},
		"self-signed, of another key":      {named(alone).shows(certify(t, nil, name, nil)), invalidClient},
		"self-signed, and the authority's": {named(alone).shows(good, between), invalidClient},
		"of a client that shows none":      {named(spa).shows(good, between), taken},
	} {
		t.Run(name, func(t *testing.T) { f.check(t, tc.call, tc.want) })
	}

	// Nobody is trusted where no authority is named: not those of the system either.
	f.Authorities = nil
	f.check(t, named(app).shows(good, between), invalidClient)
}
