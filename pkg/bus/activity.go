package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ActivityLimits bound what a region keeps of its activity. What is over one of them
// goes, the oldest first.
type ActivityLimits struct {
	// MaxAge is for how long.
	MaxAge time.Duration
	// MaxBytes is how much. NATS sets so much aside.
	MaxBytes int64
}

// ActivityName is the stream of what a region's services observed: ACTIVITY_EU_WEST for
// eu-west. It is no copy of anything: what it loses is lost.
func ActivityName(region string) string { return "ACTIVITY_" + upper(region) }

func (b *Bus) activityConfig(l ActivityLimits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        ActivityName(b.region),
		Description: "What the services of " + b.region + " observed, for a time.",
		Subjects:    []string{"activity." + b.region + ".>"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxMsgs:     -1, MaxBytes: l.MaxBytes, MaxMsgsPerSubject: -1,
		MaxAge:      l.MaxAge,
		Replicas:    b.replicas(),
		Duplicates:  min(duplicateWindow, l.MaxAge),
		DenyDelete:  true,
		DenyPurge:   true,
		AllowDirect: true,
	}
}

// EnsureActivity makes the stream of the region's activity. One that exists stays as it
// is, because the application may not change streams; that its limits are others is
// logged.
//
// Errors: BUS_UNAVAILABLE; or NATS does not take the limits, as on a disk that is too
// small.
func (b *Bus) EnsureActivity(ctx context.Context, l ActivityLimits) error {
	ctx, cancel := b.line.request(ctx, ensureTimeout)
	defer cancel()
	want := b.activityConfig(l)
	stream, err := b.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		if _, err = b.js.CreateStream(ctx, want); err != nil {
			return streamError("create stream "+want.Name, err)
		}
		b.log.InfoContext(ctx, "stream created", slog.String("stream", want.Name))
		return nil
	case err != nil:
		return streamError("look up stream "+want.Name, err)
	}
	if have := stream.CachedInfo().Config; have.MaxAge != want.MaxAge || have.MaxBytes != want.MaxBytes {
		b.log.WarnContext(ctx, "activity is kept within other limits than the configuration's: change the stream with an operator's credentials",
			slog.String("stream", want.Name), slog.Duration("max_age", have.MaxAge), slog.Int64("max_bytes", have.MaxBytes))
	}
	return nil
}

// PublishActivity appends what a service observed to the region's stream, and waits for
// the acknowledgement. kind is as RequestRefused. Publishing an id again within ten
// minutes changes nothing.
//
// Errors: BUS_UNAVAILABLE, and then it may or may not be appended: repeat.
func (b *Bus) PublishActivity(ctx context.Context, service, kind, id string, data []byte) error {
	m := nats.NewMsg("activity." + b.region + "." + service + "." + kind)
	m.Data = data
	m.Header.Set(jetstream.MsgIDHeader, id)
	m.Header["content-type"] = []string{"application/protobuf"}
	ctx, cancel := b.line.request(ctx, publishTimeout)
	defer cancel()
	if _, err := b.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0), jetstream.WithExpectStream(ActivityName(b.region))); err != nil {
		return unavailable("the event bus did not acknowledge", fmt.Errorf("publish %s: %w", m.Subject, err))
	}
	return nil
}

// Span is a part of a stream, by sequences: from First on, and before End.
type Span struct{ First, End uint64 }

// ActivitySpan is where the region's stream has what was stored at a time or later; the
// zero time: all that there is. A stream that nobody has made has none.
//
// Errors: BUS_UNAVAILABLE.
func (b *Bus) ActivitySpan(ctx context.Context, since time.Time) (Span, error) {
	name := ActivityName(b.region)
	bounded, cancel := b.line.request(ctx, getTimeout)
	defer cancel()
	stream, err := b.js.Stream(bounded, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return Span{}, nil
	}
	if err != nil {
		return Span{}, unavailable("the event bus did not answer", fmt.Errorf("stream info of %s: %w", name, err))
	}
	state := stream.CachedInfo().State
	span := Span{First: max(1, state.FirstSeq), End: state.LastSeq + 1} // 0: it is new
	if since.IsZero() {
		return span, nil
	}
	since = since.UTC()
	m, found, err := b.getOfLeader(ctx, name, directGet{StartTime: &since, NextBy: ">"})
	switch {
	case err != nil:
		return Span{}, err
	case !found:
		span.First = span.End
	default:
		span.First = max(span.First, m.Sequence)
	}
	return span, nil
}

// ActivityBefore returns what the region's stream has before the end of a span, oldest
// first: 256 messages at most. rest is what of the span is before them.
//
// Errors: BUS_UNAVAILABLE.
func (b *Bus) ActivityBefore(ctx context.Context, span Span) (messages []Message, rest Span, err error) {
	if span.End <= span.First {
		return nil, Span{}, nil
	}
	rest = Span{First: span.First, End: span.First}
	if span.End-span.First > batchMessages {
		rest.End = span.End - batchMessages
	}
	messages, err = b.getBatch(ctx, ActivityName(b.region), ">", rest.End)
	for len(messages) > 0 && messages[len(messages)-1].Sequence >= span.End {
		messages = messages[:len(messages)-1] // those before have gone, or there are more by now
	}
	return messages, rest, err
}
