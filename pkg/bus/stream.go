package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Stream is a copy of what one region's relay published.
type Stream struct {
	// Name of the stream or mirror.
	Name string
	// Region whose relay writes it.
	Region string
	// Mirror: it is a copy of another region's stream.
	Mirror bool
}

// Position is a place in a stream.
type Position struct {
	Stream string
	// Created is when the stream was created, in Unix nanoseconds: another value
	// means that the stream was lost and made anew. A mirror has its own.
	Created int64
	// Sequence of the last message; 0 when there is none.
	Sequence uint64
}

// duplicateWindow is how long JetStream remembers message ids. It only saves
// work: consumers drop repeats by log and sequence.
const duplicateWindow = 10 * time.Minute

// Streams lists the region's own stream first, then the mirrors.
func (b *Bus) Streams() []Stream { return append([]Stream(nil), b.streams...) }

func (c Config) streams() []Stream {
	streams := []Stream{{Name: StreamName(c.Region), Region: c.Region}}
	for _, of := range c.Mirrors {
		streams = append(streams, Stream{Name: MirrorName(of, c.Region), Region: of, Mirror: true})
	}
	return streams
}

func (b *Bus) replicas() int { return max(1, b.config.Replicas) }

// logConfig never loses: no limit of age, count or size, no deletes, no purges.
func (b *Bus) logConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamName(b.region),
		Description: "Committed events that the relay of " + b.region + " published. Never deleted.",
		Subjects:    []string{"log." + b.region + ".>"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxMsgs:     -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
		Replicas:    b.replicas(),
		Duplicates:  duplicateWindow,
		DenyDelete:  true,
		DenyPurge:   true,
		AllowDirect: true,
	}
}

func (b *Bus) mirrorConfig(of string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        MirrorName(of, b.region),
		Description: "Copy of the stream of " + of + " for " + b.region + ". Never deleted.",
		Mirror:      &jetstream.StreamSource{Name: StreamName(of)},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxMsgs:     -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
		Replicas:    b.replicas(),
		DenyDelete:  true,
		DenyPurge:   true,
		AllowDirect: true,
	}
}

// heartbeatConfig keeps the newest heartbeat of a region for those who come
// later.
func (b *Bus) heartbeatConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              "HEARTBEAT_" + upper(b.region),
		Description:       "The newest heartbeat of " + b.region + ".",
		Subjects:          []string{heartbeatSubject(b.region)},
		Storage:           jetstream.MemoryStorage,
		MaxMsgsPerSubject: 1,
		Replicas:          1,
		AllowDirect:       true,
	}
}

// ensureAll makes the streams of this region. A mirror whose origin does not
// exist yet, or is away, is made later: NATS itself would look for the origin
// more and more seldom. So is one about which NATS gives no answer.
func (b *Bus) ensureAll(ctx context.Context) error {
	for _, own := range []jetstream.StreamConfig{b.logConfig(), b.heartbeatConfig()} {
		if err := b.insist(ctx, own); err != nil {
			return err
		}
	}
	missing := false
	for _, of := range b.config.Mirrors {
		err := b.ensureMirror(ctx, of)
		if fault.Is(err, commonv1.Reason_BUS_UNAVAILABLE) {
			missing = true
			b.log.WarnContext(ctx, "mirror waits for its origin", slog.String("mirror", MirrorName(of, b.region)),
				slog.String("of", of), slog.Any("error", err))
			continue
		}
		if err != nil {
			return err
		}
	}
	if missing && b.completing.CompareAndSwap(false, true) {
		go b.complete(context.WithoutCancel(ctx)) // until the connection is closed
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // NATS refused something
	}
	return nil
}

// insist makes sure of a stream, and asks again when there is no answer: servers
// that have just started leave requests unanswered.
func (b *Bus) insist(ctx context.Context, want jetstream.StreamConfig) error {
	for {
		err := b.ensure(ctx, want)
		if !fault.Is(err, commonv1.Reason_BUS_UNAVAILABLE) || wait(ctx, completeEvery) != nil {
			return err
		}
	}
}

// ensureMirror makes sure of the copy of another region's stream.
func (b *Bus) ensureMirror(ctx context.Context, of string) error {
	if !b.exists(ctx, MirrorName(of, b.region)) && !b.exists(ctx, StreamName(of)) {
		return unavailable("that region has no stream, or is away", nil)
	}
	return b.ensure(ctx, b.mirrorConfig(of))
}

const (
	// lookupTimeout bounds the question whether a stream exists, and ensureTimeout
	// that and its creation.
	lookupTimeout = 2 * time.Second
	ensureTimeout = 4 * time.Second
	// completeEvery is how often the origins of missing mirrors are looked for.
	completeEvery = 500 * time.Millisecond
)

// exists says whether a stream is known to exist.
func (b *Bus) exists(ctx context.Context, stream string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	_, err := b.js.Stream(ctx, stream)
	return err == nil
}

// complete makes the missing mirrors, as soon as their origins exist.
func (b *Bus) complete(background context.Context) {
	defer b.completing.Store(false)
	for !b.conn.IsClosed() {
		ctx, cancel := b.line.request(background, connectTimeout)
		missing := 0
		for _, of := range b.config.Mirrors {
			if !b.exists(ctx, MirrorName(of, b.region)) && b.ensureMirror(ctx, of) != nil {
				missing++
			}
		}
		cancel()
		if missing == 0 || wait(background, completeEvery) != nil {
			return
		}
	}
}

// ensure creates a stream, or checks the one that exists. It never changes one:
// the application may not, an operator may.
func (b *Bus) ensure(ctx context.Context, want jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = b.js.CreateStream(ctx, want); err != nil {
			return streamError("create stream "+want.Name, err)
		}
		b.log.InfoContext(ctx, "stream created", slog.String("stream", want.Name))
		return nil
	}
	if err != nil {
		return streamError("look up stream "+want.Name, err)
	}
	if want.Storage == jetstream.MemoryStorage {
		return nil
	}
	if weak := weaknesses(stream.CachedInfo().Config, want); len(weak) > 0 {
		return fmt.Errorf("stream %s exists with weaker guarantees (%s): change it with an operator's credentials",
			want.Name, strings.Join(weak, ", "))
	}
	return nil
}

func streamError(operation string, err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code < 500 {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return unavailable("the event bus did not answer", fmt.Errorf("%s: %w", operation, err))
}

// weaknesses names the settings of an existing stream that could lose an event.
func weaknesses(have, want jetstream.StreamConfig) []string {
	var weak []string
	check := func(bad bool, setting string) {
		if bad {
			weak = append(weak, setting)
		}
	}
	check(have.Storage != jetstream.FileStorage, "storage is not file")
	check(have.Retention != jetstream.LimitsPolicy, "retention is not limits")
	check(have.MaxAge != 0, "max_age is set")
	check(have.MaxMsgs > 0 || have.MaxBytes > 0 || have.MaxMsgsPerSubject > 0, "a limit of messages or bytes is set")
	check(!have.DenyDelete, "deny_delete is off")
	check(!have.DenyPurge, "deny_purge is off")
	check(!have.AllowDirect, "allow_direct is off")
	check(have.AllowRollup, "allow_rollup_hdrs is on")
	check(have.Replicas < want.Replicas, fmt.Sprintf("replicas is %d, want %d", have.Replicas, want.Replicas))
	check(want.Mirror == nil && have.Duplicates < want.Duplicates, "duplicate_window is under 10 min")
	check(want.Mirror == nil && have.Mirror != nil, "it is a mirror")
	check(want.Mirror != nil && (have.Mirror == nil || have.Mirror.Name != want.Mirror.Name), "it mirrors something else")
	check(want.Mirror == nil && strings.Join(have.Subjects, " ") != strings.Join(want.Subjects, " "),
		"subjects are "+strings.Join(have.Subjects, " "))
	return weak
}

// End returns where a stream ends now, as its leader knows it.
func (b *Bus) End(ctx context.Context, stream string) (Position, error) {
	ctx, cancel := b.line.request(ctx, getTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return Position{}, unavailable("the event bus did not answer", fmt.Errorf("stream info of %s: %w", stream, err))
	}
	info := s.CachedInfo()
	return Position{Stream: stream, Created: info.Created.UnixNano(), Sequence: info.State.LastSeq}, nil
}
