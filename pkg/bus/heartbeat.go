package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Heartbeat is a relay's promise: every event that went to HomeRegion's outbox
// and was committed before Clock is in a stream, and those that this relay published are at or
// before Position.
type Heartbeat struct {
	HomeRegion string `json:"home_region"`
	// Clock is the commit clock of the home region, UTC.
	Clock time.Time `json:"clock"`
	// Stream, Created and Sequence are a Position: where the relay publishes, and
	// where that stream ended after the last event before Clock.
	Stream   string `json:"stream"`
	Created  int64  `json:"created"`
	Sequence uint64 `json:"sequence"`
	// Epoch of the relay's lease: it grows with each take-over.
	Epoch uint64 `json:"epoch"`
}

// maxHeartbeat is the size of the largest heartbeat, in bytes.
const maxHeartbeat = 1 << 10

func heartbeatSubject(region string) string { return "heartbeat." + region }

func nudgeSubject(region string) string { return "nudge." + region }

// PublishHeartbeat tells everyone. It is not acknowledged: the next one follows
// soon.
func (b *Bus) PublishHeartbeat(h Heartbeat) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode heartbeat: %w", err)
	}
	if err := b.conn.Publish(heartbeatSubject(h.HomeRegion), data); err != nil {
		return unavailable("the heartbeat was not sent", err)
	}
	return nil
}

// Heartbeats calls fn for each heartbeat of every region, first with the newest
// one that this region's bus remembers. fn is called from one goroutine at a
// time and must not block.
func (b *Bus) Heartbeats(ctx context.Context, fn func(Heartbeat)) (stop func(), err error) {
	var one sync.Mutex
	received := func(subject string, data []byte) {
		h, err := decodeHeartbeat(subject, data)
		if err != nil {
			b.log.WarnContext(ctx, "heartbeat is malformed", slog.String("error", err.Error()))
			return
		}
		one.Lock()
		defer one.Unlock()
		fn(h)
	}
	sub, err := b.conn.Subscribe(heartbeatSubject("*"), func(m *nats.Msg) { received(m.Subject, m.Data) })
	if err != nil {
		return nil, unavailable("heartbeats cannot be followed", err)
	}
	mine := heartbeatSubject(b.region)
	if m, found, err := b.getNext(ctx, "HEARTBEAT_"+upper(b.region), mine, 0); err == nil && found {
		received(mine, m.Bytes) // without it, the next one comes soon
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

func decodeHeartbeat(subject string, data []byte) (Heartbeat, error) {
	var h Heartbeat
	if len(data) > maxHeartbeat {
		return h, fmt.Errorf("heartbeat: %d bytes are more than %d", len(data), maxHeartbeat)
	}
	if err := json.Unmarshal(data, &h); err != nil {
		return h, fmt.Errorf("heartbeat: %w", err)
	}
	if subject != heartbeatSubject(h.HomeRegion) || h.Clock.IsZero() || h.Stream == "" {
		return h, fmt.Errorf("heartbeat on %s: home region, clock or stream is missing", subject)
	}
	return h, nil
}

// Nudge wakes the relays of a region. It may be lost: relays also sweep.
func (b *Bus) Nudge(region string) {
	_ = b.conn.Publish(nudgeSubject(region), nil) // a lost nudge costs one sweep
}

// Nudges calls fn for each nudge of a region. fn must not block.
func (b *Bus) Nudges(region string, fn func()) (stop func(), err error) {
	sub, err := b.conn.Subscribe(nudgeSubject(region), func(*nats.Msg) { fn() })
	if err != nil {
		return nil, unavailable("nudges cannot be followed", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
