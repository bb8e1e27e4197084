package identity

import (
	"cmp"
	"errors"
	"fmt"

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
	if c.Passkeys.RPID == "" {
		if len(c.Passkeys.Origins)+len(c.Passkeys.RelatedOrigins) > 0 {
			return f, errors.New("identity.passkeys: origins need an rp_id")
		}
		return f, nil
	}
	f.Passkeys = &passkey.Relying{
		ID: c.Passkeys.RPID, Name: c.product(), Origins: c.Passkeys.Origins, RelatedOrigins: c.Passkeys.RelatedOrigins,
	}
	if err := f.Passkeys.Validate(); err != nil {
		return f, fmt.Errorf("identity.passkeys: %w", err)
	}
	return f, nil
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
