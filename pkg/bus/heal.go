package bus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// When the embedded server starts again because its stream takes no writes. NATS
// gives up a stream that it could not write once, for example on a full disk,
// until the server starts again.
const (
	healEvery    = 500 * time.Millisecond
	restartAfter = 3 * time.Second
	restartPause = 5 * time.Second
	longestWait  = time.Minute
)

// healer starts the embedded server again when it must be.
type healer struct {
	bus   *Bus
	next  time.Time
	pause time.Duration
	// remake: streams in memory are gone since the server started again.
	remake bool
}

// heal looks after the embedded server until stop is called.
func (b *Bus) heal() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h := healer{bus: b, pause: restartPause}
		ticker := time.NewTicker(healEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				h.look(ctx, time.Now())
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (h *healer) look(ctx context.Context, now time.Time) {
	b := h.bus
	if h.remake && b.conn.IsConnected() {
		err := b.Ensure(ctx)
		h.remake = err != nil
	}
	if b.writes.work() {
		h.pause = restartPause
	}
	since, err := b.writes.failing(now)
	stuck := err != nil && now.Sub(since) >= restartAfter
	if !stuck && b.server.runs() || now.Before(h.next) {
		return
	}
	if err := probe(b.config.StoreDir); err != nil {
		return // it would not take writes either; the readiness says so
	}
	h.next, h.pause = now.Add(h.pause), min(2*h.pause, longestWait)
	b.log.WarnContext(ctx, "event bus takes no writes and its server starts again", slog.Any("error", err))
	if err := b.server.restart(); err != nil {
		b.log.ErrorContext(ctx, "server of the event bus did not start again", slog.String("error", err.Error()))
		return
	}
	b.writes.again(time.Now())
	h.remake = true
}

// probeSize is what a server needs to go on: an index and some messages.
const probeSize = 1 << 20

// probe writes and syncs a file, and removes it again.
func probe(dir string) (err error) {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return fmt.Errorf("probe of the disk: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // an empty file does no harm
	if _, err = f.Write(make([]byte, probeSize)); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("probe of the disk: %w", err)
	}
	return nil
}
