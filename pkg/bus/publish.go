package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// publishTimeout bounds one publish when ctx has no earlier deadline.
const publishTimeout = 5 * time.Second

// traceparent is the W3C form; anything else is not sent.
var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// Publish appends an event to the region's stream, byte for byte, and waits for
// the acknowledgement. Publishing an event again within ten minutes returns
// where it is; after that it is appended again, and consumers drop it.
//
// Errors: BUS_UNAVAILABLE, and then it may or may not be appended: repeat. Other
// errors mean that this event can never be published.
func (b *Bus) Publish(ctx context.Context, r eventlog.Recorded) (streamSequence uint64, err error) {
	m, err := b.message(r)
	if err != nil {
		return 0, fmt.Errorf("publish event: %w", err)
	}
	bounded, cancel := b.line.request(ctx, publishTimeout)
	defer cancel()
	ack, err := b.js.PublishMsg(bounded, m, jetstream.WithRetryAttempts(0), jetstream.WithExpectStream(StreamName(b.region)))
	b.learn(ctx, err)
	switch {
	case err == nil:
		return ack.Sequence, nil
	case errors.Is(err, nats.ErrMaxPayload):
		return 0, fmt.Errorf("publish event: %w", err)
	case errors.Is(err, jetstream.ErrNoStreamResponse) && b.conn.IsConnected():
		if err := b.Ensure(bounded); err != nil {
			b.log.ErrorContext(ctx, "stream is absent and cannot be made", slog.String("error", err.Error()))
		}
	}
	if refused := b.denied.err(); refused != nil {
		return 0, unavailable(refused.Error(), fmt.Errorf("publish %s: %w", m.Subject, err))
	}
	return 0, unavailable("the event bus did not acknowledge", fmt.Errorf("publish %s: %w", m.Subject, err))
}

// learn notes whether the stream takes writes. A caller who gave up, a cut
// connection and an event that is too large say nothing about it.
func (b *Bus) learn(ctx context.Context, err error) {
	if err != nil && (ctx.Err() != nil || !b.conn.IsConnected() ||
		errors.Is(err, context.Canceled) || errors.Is(err, nats.ErrMaxPayload)) {
		return
	}
	switch changed := b.writes.note(err, time.Now()); {
	case changed && err != nil:
		b.log.ErrorContext(ctx, "event bus takes no writes", slog.String("error", err.Error()))
	case changed:
		b.log.InfoContext(ctx, "event bus takes writes again")
	}
}

// Ensure makes the region's streams anew when the bus lost them. Their events
// are in the events table; relay.Rebuild publishes them again.
//
// Errors: BUS_UNAVAILABLE, or a stream with weaker guarantees exists.
func (b *Bus) Ensure(ctx context.Context) error {
	ctx, cancel := b.line.request(ctx, connectTimeout)
	defer cancel()
	return b.ensureAll(ctx)
}

// message renders an event with its CloudEvents headers.
func (b *Bus) message(r eventlog.Recorded) (*nats.Msg, error) {
	e := r.Envelope
	subject, err := Subject(b.region, e.GetLog(), e.GetType())
	if err != nil {
		return nil, err
	}
	id := messageID(e.GetLog(), e.GetSequence())
	m := nats.NewMsg(subject)
	m.Data = r.Bytes
	m.Header.Set(jetstream.MsgIDHeader, id)
	m.Header["ce-specversion"] = []string{"1.0"}
	m.Header["ce-id"] = []string{id}
	m.Header["ce-type"] = []string{e.GetType()}
	m.Header["ce-source"] = []string{"/meridian/" + e.GetRegion()}
	m.Header["ce-subject"] = []string{e.GetLog()}
	m.Header["ce-time"] = []string{e.GetTime().AsTime().Format(time.RFC3339Nano)}
	m.Header["content-type"] = []string{"application/protobuf"}
	if traceparent.MatchString(e.GetTraceparent()) {
		m.Header["traceparent"] = []string{e.GetTraceparent()}
	}
	return m, nil
}
