package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/mail"
)

func TestConfig(t *testing.T) {
	url := filepath.Join(t.TempDir(), "mail.url")
	if err := os.WriteFile(url, []byte("smtps://mail.example.com:465\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	passkeys := func(change func(*PasskeysConfig)) Config {
		c := PasskeysConfig{RPID: "example.com", Origins: []string{"https://id.example.com"}}
		change(&c)
		return Config{Passkeys: c}
	}
	for name, tc := range map[string]struct {
		config Config
		// want is a part of the error; empty: there is none.
		want              string
		passkeys, letters bool
	}{
		"nothing": {},
		"all": {config: Config{
			Pages: "https://id.example.com", Mail: MailConfig{URLFile: url, From: "Meridian <no-reply@example.com>"},
			Passkeys:  PasskeysConfig{RPID: "example.com", Origins: []string{"https://id.example.com"}},
			Passwords: PasswordsConfig{MemoryKiB: 1024, Passes: 3, BudgetMiB: 512},
		}, passkeys: true, letters: true},
		"mail without pages":      {config: Config{Mail: MailConfig{URLFile: url, From: "Meridian <no-reply@example.com>"}}, want: "identity.pages"},
		"mail without a sender":   {config: Config{Pages: "https://id.example.com", Mail: MailConfig{URLFile: url}}, want: "identity.mail"},
		"mail without its file":   {config: Config{Mail: MailConfig{URLFile: url + "x"}}, want: "identity.mail.url_file"},
		"passkeys without pages":  {config: Config{Passkeys: PasskeysConfig{RPID: "example.com"}}, want: "identity.passkeys"},
		"pages without passkeys":  {config: Config{Passkeys: PasskeysConfig{Origins: []string{"https://id.example.com"}}}, want: "identity.passkeys"},
		"passkeys of other pages": {config: Config{Passkeys: PasskeysConfig{RPID: "example.com", Origins: []string{"https://example.org"}}}, want: "identity.passkeys"},
		"passkeys of known makers": {config: Config{Passkeys: PasskeysConfig{
			RPID: "example.com", Origins: []string{"https://id.example.com"}, UserVerification: "required",
			Attestation: "direct", AttestationFormats: []string{"packed", "tpm"}, AttestationRootsFile: roots,
		}}, passkeys: true},
		"makers nobody asks for":   {config: passkeys(func(c *PasskeysConfig) { c.AttestationRootsFile = roots }), want: "identity.passkeys: attestation_roots_file"},
		"makers without a file":    {config: passkeys(func(c *PasskeysConfig) { c.Attestation, c.AttestationRootsFile = "direct", url+"x" }), want: "identity.passkeys: attestation_roots_file"},
		"makers that are none":     {config: passkeys(func(c *PasskeysConfig) { c.Attestation, c.AttestationRootsFile = "direct", url }), want: "identity.passkeys: attestation_roots_file"},
		"unknown attestation":      {config: passkeys(func(c *PasskeysConfig) { c.Attestation = "enterprise" }), want: "identity.passkeys"},
		"unknown format":           {config: passkeys(func(c *PasskeysConfig) { c.Attestation, c.AttestationFormats = "direct", []string{"compound"} }), want: "identity.passkeys"},
		"no user verification":     {config: passkeys(func(c *PasskeysConfig) { c.UserVerification = "discouraged" }), want: "identity.passkeys: user_verification"},
		"attestation of nothing":   {config: Config{Passkeys: PasskeysConfig{Attestation: "direct"}}, want: "identity.passkeys"},
		"hashes beyond the budget": {config: Config{Passwords: PasswordsConfig{BudgetMiB: 1}}, want: "identity.passwords"},
		"no list":                  {config: Config{BreachedPasswords: url + "x"}, want: "identity.breached_passwords"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := tc.config.factors()
			o := Options{Config: tc.config, Logger: slog.New(slog.DiscardHandler)}
			post, own, failed := o.post()
			if err == nil {
				err = failed
			}
			switch {
			case tc.want != "":
				if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
					t.Errorf("got %v, want %s", err, tc.want)
				}
			case err != nil:
				t.Error(err)
			case f.Hasher == nil, (f.Passkeys != nil) != tc.passkeys, (post != nil) != tc.letters, (own != nil) != tc.letters:
				t.Errorf("passkeys %v, letters %v, own queue %v", f.Passkeys != nil, post != nil, own != nil)
			}
		})
	}
}

// certificate is one that signs itself, in PEM.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// A queue that is given is not the service's to run.
func TestGivenQueue(t *testing.T) {
	o := Options{Config: Config{Pages: "http://localhost:8080"}, Mail: mail.NewQueue(mail.QueueConfig{}), Logger: slog.New(slog.DiscardHandler)}
	if post, own, err := o.post(); post == nil || own != nil || err != nil {
		t.Errorf("post %v, own %v, %v", post, own, err)
	}
}
