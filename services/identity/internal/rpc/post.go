package rpc

import (
	"context"
	"log/slog"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/mail"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/letters"
)

// Post writes letters and gives them to the queue. Nil sends none.
type Post struct {
	Desk  *letters.Desk
	Queue *mail.Queue
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
	message, err := p.Desk.Write(letters.Match(locale), to, letter)
	if err == nil {
		message.Until = until
		err = p.Queue.Enqueue(message)
	}
	if err != nil {
		p.Log.WarnContext(ctx, "letter not sent", slog.Any("error", err))
	}
}
