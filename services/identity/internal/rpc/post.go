package rpc

import (
	"context"
	"log/slog"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/mail"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/letters"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Post writes letters and gives them to the queue. Nil sends none.
type Post struct {
	Desk *letters.Desk
	// Queue takes a letter at once. *mail.Queue is one.
	Queue interface{ Enqueue(m mail.Message) error }
	Log   *slog.Logger
}

// able says whether letters can be sent.
//
// Errors: SERVICE_UNAVAILABLE.
func (p *Post) able() error {
	if p == nil || p.Desk == nil || p.Queue == nil {
		return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "letters cannot be sent here: mail is absent in the configuration")
	}
	return nil
}

// send queues a letter that is good until a time. The caller's change is committed
// and its answer does not wait: what cannot be queued is logged, without the
// address, and can be asked for again.
func (p *Post) send(ctx context.Context, locale, to string, letter letters.Letter, until time.Time) {
	if p.able() != nil {
		return
	}
	message, err := p.write(to, letter, until, locale)
	if err == nil {
		err = p.Queue.Enqueue(message)
	}
	p.failed(ctx, err)
}

// write writes a letter in the first of the languages that it is written in, to an
// address as people have it.
func (p *Post) write(to string, letter letters.Letter, until time.Time, locales ...string) (mail.Message, error) {
	email, err := address.Parse(to)
	if err != nil {
		return mail.Message{}, err
	}
	message, err := p.Desk.Write(letters.Match(locales...), email.Mailbox, letter)
	message.Until = until
	return message, err
}

func (p *Post) failed(ctx context.Context, err error) {
	if err != nil {
		p.Log.WarnContext(ctx, "letter not sent", slog.Any("error", err))
	}
}

// passwordChanged tells a user that the password is another one now.
func (p *Post) passwordChanged(ctx context.Context, to store.User, at time.Time) {
	if to.Email != "" {
		p.send(ctx, to.Locale, to.Email, letters.PasswordChanged{At: at}, time.Time{})
	}
}
