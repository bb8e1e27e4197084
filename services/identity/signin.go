package identity

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/meridian-iam/meridian/pkg/mail"
	"github.com/meridian-iam/meridian/services/identity/internal/letters"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

func (c Config) product() string { return cmp.Or(c.Product, "Meridian") }

// factors are the ways to prove who one is that the configuration names.
func (c Config) factors() (rpc.Factors, error) {
	f := rpc.Factors{Issuer: c.product()}
	var err error
	f.Hasher, err = password.New(password.Config{
		Params: password.Params{Memory: c.Passwords.MemoryKiB, Passes: c.Passwords.Passes}, Budget: c.Passwords.BudgetMiB << 20,
	})
	if err != nil {
		return f, fmt.Errorf("identity.passwords: %w", err)
	}
	if c.BreachedPasswords != "" {
		if f.Breached, err = password.Open(c.BreachedPasswords); err != nil {
			return f, fmt.Errorf("identity.breached_passwords: %w", err)
		}
	}
	f.Passkeys, f.Registration, err = c.Passkeys.relying(c.product())
	if err != nil {
		return f, fmt.Errorf("identity.passkeys: %w", err)
	}
	return f, nil
}

// relying is the relying party, nil where there is none, and what it demands of a new
// passkey.
func (c PasskeysConfig) relying(product string) (*passkey.Relying, passkey.Policy, error) {
	demand := passkey.Policy{
		UserVerification: cmp.Or(passkey.Requirement(c.UserVerification), passkey.Preferred), ResidentKey: passkey.Preferred,
		Attestation: passkey.Attestation(c.Attestation), AllowedFormats: c.AttestationFormats,
	}
	if c.RPID == "" {
		if !reflect.ValueOf(c).IsZero() {
			return nil, demand, errors.New("nothing else counts without an rp_id")
		}
		return nil, demand, nil
	}
	r := &passkey.Relying{ID: c.RPID, Name: product, Origins: c.Origins, RelatedOrigins: c.RelatedOrigins}
	if err := r.Validate(); err != nil {
		return nil, demand, err
	}
	switch err := demand.Validate(); {
	case err != nil:
		return nil, demand, err
	case demand.UserVerification == passkey.Discouraged:
		return nil, demand, errors.New("user_verification: want required or preferred")
	case c.AttestationRootsFile == "":
		return r, demand, nil
	case demand.Attestation != passkey.AttestationDirect:
		return nil, demand, errors.New("attestation_roots_file: is for direct attestation")
	}
	pem, err := os.ReadFile(c.AttestationRootsFile)
	if err != nil {
		return nil, demand, fmt.Errorf("attestation_roots_file: %w", err)
	}
	r.Roots = x509.NewCertPool()
	if !r.Roots.AppendCertsFromPEM(pem) {
		return nil, demand, fmt.Errorf("attestation_roots_file: %s has no certificate in PEM", c.AttestationRootsFile)
	}
	return r, demand, nil
}

// queue is what letters are given to: the one that was given, or the one that the
// configuration describes, or nil. own says that it is the service's to run.
func (o Options) queue() (q *mail.Queue, own bool, err error) {
	if o.Mail != nil || o.Config.Mail.URLFile == "" {
		return o.Mail, false, nil
	}
	url, err := mail.LoadURL(o.Config.Mail.URLFile)
	if err != nil {
		return nil, false, fmt.Errorf("identity.mail.url_file: %w", err)
	}
	sender, err := mail.NewSender(mail.Config{URL: url, From: o.Config.Mail.From, AllowPlaintext: o.Config.Mail.AllowPlaintext})
	if err != nil {
		return nil, false, fmt.Errorf("identity.mail: %w", err)
	}
	return mail.NewQueue(mail.QueueConfig{Sender: sender, Clock: o.Clock, Log: o.Logger, Metrics: o.Metrics}), true, nil
}

// post writes letters, or is nil when none can be sent. own is the queue to run, if
// it is the service's.
func (o Options) post() (p *rpc.Post, own *mail.Queue, err error) {
	q, mine, err := o.queue()
	if err != nil || q == nil {
		return nil, nil, err
	}
	desk, err := letters.NewDesk(letters.Config{Product: o.Config.product(), Pages: letters.PagesAt(o.Config.Pages)})
	if err != nil {
		return nil, nil, fmt.Errorf("identity.pages: %w", err)
	}
	if mine {
		own = q
	}
	return &rpc.Post{Desk: desk, Queue: q, Log: o.Logger}, own, nil
}
