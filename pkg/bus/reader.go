package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrResumed tells once that reading was interrupted and goes on after the last
// message. It is not a failure: call Next again. Who must know that nothing was
// lost compares with the events table, because a server that lost its disk's
// newest writes may have used their sequences again.
var ErrResumed = errors.New("reading was interrupted and goes on")

// ErrReplaced ends a Reader whose stream is not the one that it began with: it
// was lost and made anew.
var ErrReplaced = errors.New("the stream was lost and made anew")

// ReadOptions say what a Reader reads.
type ReadOptions struct {
	Stream string
	// After is the stream sequence after which to begin; 0 is the beginning.
	After uint64
	// Created is the stream that After belongs to; 0 accepts any.
	Created int64
	// FromEnd begins after the last message; After and Created are not used.
	FromEnd bool
	// Filter is a subject with wildcards; empty means everything.
	Filter string
	// Direct reads by direct get only, never by a consumer.
	Direct bool
}

// Reader reads a stream in order, for ever, across reconnects. A consumer is its
// fast path; while none can be created (a region that is cut off cannot), it
// polls by direct get. It holds a bounded number of messages.
type Reader struct {
	bus     *Bus
	options ReadOptions
	start   Position
	last    uint64
	// retryFast is when to try to create a consumer again.
	retryFast time.Time
	items     chan item
	cancel    context.CancelFunc
	done      chan struct{}
}

type item struct {
	message Message
	err     error
}

const (
	prefetchMessages = 512
	prefetchBytes    = 8 << 20
	pullHeartbeat    = 500 * time.Millisecond
	pullExpiry       = 5 * time.Second
	pollInterval     = 20 * time.Millisecond
	fastInterval     = 5 * time.Second
	createTimeout    = 2 * time.Second
	longestPause     = 2 * time.Second
)

// Read begins to read. Close ends it.
//
// Errors: ErrReplaced; BUS_UNAVAILABLE.
func (b *Bus) Read(ctx context.Context, o ReadOptions) (*Reader, error) {
	if o.Filter == "" {
		o.Filter = ">"
	}
	end, err := b.End(ctx, o.Stream)
	if err != nil {
		return nil, err
	}
	if o.FromEnd {
		o.After, o.Created = end.Sequence, end.Created
	}
	if replaced(end, o.Created, o.After) {
		return nil, ErrReplaced
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &Reader{
		bus: b, options: o, last: o.After,
		start: Position{Stream: o.Stream, Created: end.Created, Sequence: o.After},
		items: make(chan item, prefetchMessages), cancel: cancel, done: make(chan struct{}),
	}
	go r.pump(own)
	return r, nil
}

func replaced(end Position, created int64, after uint64) bool {
	return created != 0 && end.Created != created || end.Sequence < after
}

// Start is where the reader began.
func (r *Reader) Start() Position { return r.start }

// Next returns the next message; it waits for it.
//
// Errors: ErrResumed (go on), ErrReplaced (over), or ctx's error.
func (r *Reader) Next(ctx context.Context) (Message, error) {
	select {
	case i, ok := <-r.items:
		return i.result(ok)
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

// Ready returns what Next would return without waiting; ok is false when there
// is nothing yet.
func (r *Reader) Ready() (m Message, ok bool, err error) {
	select {
	case i, open := <-r.items:
		m, err = i.result(open)
		return m, true, err
	default:
		return Message{}, false, nil
	}
}

func (i item) result(open bool) (Message, error) {
	if !open {
		return Message{}, ErrReplaced
	}
	return i.message, i.err
}

// Close ends the reader and waits for it.
func (r *Reader) Close() {
	r.cancel()
	<-r.done
}

// pump reads in sessions; each ends with an interruption.
func (r *Reader) pump(ctx context.Context) {
	defer close(r.done)
	for ctx.Err() == nil {
		err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		r.bus.log.DebugContext(ctx, "reader interrupted", slog.String("stream", r.options.Stream), slog.String("error", err.Error()))
		if err := r.resume(ctx); err != nil {
			if errors.Is(err, ErrReplaced) {
				close(r.items)
			}
			return
		}
		if !r.send(ctx, item{err: ErrResumed}) {
			return
		}
	}
}

// resume waits until the stream answers and checks that it is still the same.
func (r *Reader) resume(ctx context.Context) error {
	back := make(chan struct{}, 1)
	defer r.bus.back.add(func() { trySend(back) })()
	for pause := pollInterval; ; pause = min(2*pause, longestPause) {
		end, err := r.bus.End(ctx, r.options.Stream)
		if err == nil {
			if replaced(end, r.start.Created, r.last) {
				return ErrReplaced
			}
			return nil
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-back:
			pause = pollInterval
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func trySend(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// session reads until something breaks.
func (r *Reader) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.bus.back.add(cancel)()
	for {
		if !r.options.Direct && !time.Now().Before(r.retryFast) {
			consumer, err := r.create(ctx)
			if err == nil {
				return r.consume(ctx, consumer)
			}
			r.retryFast = time.Now().Add(fastInterval)
			r.bus.log.WarnContext(ctx, "no consumer, reading by direct get",
				slog.String("stream", r.options.Stream), slog.String("error", err.Error()))
		}
		if err := r.poll(ctx); err != nil {
			return err
		}
	}
}

func (r *Reader) create(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	return r.bus.js.CreateConsumer(ctx, r.options.Stream, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.last + 1,
		FilterSubject:     r.options.Filter,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: 15 * time.Second,
	})
}

// consume reads by a consumer that starts after the last message and stops at
// the first message that is not the next one.
func (r *Reader) consume(ctx context.Context, consumer jetstream.Consumer) error {
	messages, err := consumer.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(prefetchMessages, prefetchBytes),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	defer r.forget(ctx, consumer)
	defer messages.Stop()
	for delivered := uint64(1); ; delivered++ {
		raw, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		meta, err := raw.Metadata()
		if err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		if meta.Sequence.Consumer != delivered {
			return fmt.Errorf("consume: message %d came where %d was due", meta.Sequence.Consumer, delivered)
		}
		m := newMessage(r.options.Stream, raw.Subject(), raw.Headers(), raw.Data())
		m.Sequence, m.Pending, m.Stored = meta.Sequence.Stream, meta.NumPending, meta.Timestamp
		if !r.deliver(ctx, m) {
			return ctx.Err()
		}
	}
}

// forget deletes a consumer; without it, the server does after a while.
func (r *Reader) forget(ctx context.Context, consumer jetstream.Consumer) {
	if !r.bus.conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	_ = r.bus.js.DeleteConsumer(ctx, r.options.Stream, consumer.CachedInfo().Name)
}

// poll reads by direct get until it is time to try a consumer again.
func (r *Reader) poll(ctx context.Context) error {
	for r.options.Direct || time.Now().Before(r.retryFast) {
		batch, err := r.bus.getBatch(ctx, r.options.Stream, r.options.Filter, r.last+1)
		if err != nil {
			return err
		}
		for _, m := range batch {
			if !r.deliver(ctx, m) {
				return ctx.Err()
			}
		}
		if len(batch) == 0 {
			if err := wait(ctx, pollInterval); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Reader) deliver(ctx context.Context, m Message) bool {
	if !r.send(ctx, item{message: m}) {
		return false
	}
	r.last = m.Sequence
	return true
}

func (r *Reader) send(ctx context.Context, i item) bool {
	select {
	case r.items <- i:
		return true
	case <-ctx.Done():
		return false
	}
}

// wait waits for a while or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
