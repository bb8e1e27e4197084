package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// getTimeout bounds one read when ctx has no earlier deadline.
const getTimeout = 5 * time.Second

// The bounds of one batch.
const (
	batchMessages = 256
	batchBytes    = 4 << 20
)

// The statuses that NATS sends instead of a message.
const (
	statusEnd      = "204"
	statusNotFound = "404"
)

// directGet is the request of a direct get.
type directGet struct {
	Sequence  uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	NextBy    string     `json:"next_by_subj,omitempty"`
	LastBy    string     `json:"last_by_subj,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
}

func (g directGet) encode() []byte {
	b, err := json.Marshal(g)
	if err != nil {
		panic(err) // a struct of numbers and texts always encodes
	}
	return b
}

// getNext returns the first message of a filter from a stream sequence on, from
// any replica of the stream.
func (b *Bus) getNext(ctx context.Context, stream, filter string, from uint64) (m Message, found bool, err error) {
	return b.get(ctx, stream, directGet{Sequence: max(1, from), NextBy: filter})
}

// getLast returns the last message of a filter, from any replica of the stream.
func (b *Bus) getLast(ctx context.Context, stream, filter string) (m Message, found bool, err error) {
	return b.get(ctx, stream, directGet{LastBy: filter})
}

func (b *Bus) get(ctx context.Context, stream string, request directGet) (m Message, found bool, err error) {
	ctx, cancel := b.line.request(ctx, getTimeout)
	defer cancel()
	raw, err := b.conn.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, request.encode())
	if err != nil {
		return Message{}, false, unavailable("the event bus did not answer", fmt.Errorf("get from %s: %w", stream, err))
	}
	switch status := raw.Header.Get("Status"); status {
	case "":
		m, err = fromDirect(raw)
		return m, err == nil, err
	case statusNotFound:
		return Message{}, false, nil
	default:
		return Message{}, false, unavailable("the event bus refused to read", fmt.Errorf("get from %s: status %s", stream, status))
	}
}

// getBatch returns the next messages of a filter from a stream sequence on, in
// order. None means that there are none now. It needs no consumer, so it works
// in a region that is cut off.
func (b *Bus) getBatch(ctx context.Context, stream, filter string, from uint64) ([]Message, error) {
	ctx, cancel := b.line.request(ctx, getTimeout)
	defer cancel()
	inbox := b.conn.NewRespInbox()
	sub, err := b.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, unavailable("the event bus did not answer", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	request := directGet{Sequence: max(1, from), NextBy: filter, Batch: batchMessages, MaxBytes: batchBytes}
	if err := b.conn.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, request.encode()); err != nil {
		return nil, unavailable("the event bus did not answer", err)
	}
	var out []Message
	for {
		raw, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, unavailable("the event bus did not answer", fmt.Errorf("batch from %s: %w", stream, err))
		}
		switch status := raw.Header.Get("Status"); status {
		case "":
		case statusEnd, statusNotFound:
			return out, nil
		default:
			return nil, unavailable("the event bus refused to read", fmt.Errorf("batch from %s: status %s", stream, status))
		}
		m, err := fromDirect(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
}

// Last returns the sequence of the newest event of a log that this region's
// streams hold, as their leaders know it: no acknowledged message is missed. A
// log that was published again may have an even higher one.
func (b *Bus) Last(ctx context.Context, log string) (sequence uint64, found bool, err error) {
	for _, s := range b.streams {
		n, err := b.lastIn(ctx, s.Name, log)
		if err != nil {
			return 0, false, err
		}
		sequence, found = max(sequence, n), found || n > 0
	}
	return sequence, found, nil
}

// leaderGet is the answer of a get by the leader.
type leaderGet struct {
	Error *struct {
		Code        int    `json:"code"`
		Description string `json:"description"`
	} `json:"error"`
	Message *struct {
		Subject  string `json:"subject"`
		Sequence uint64 `json:"seq"`
		Header   []byte `json:"hdrs"`
	} `json:"message"`
}

func (b *Bus) lastIn(ctx context.Context, stream, log string) (uint64, error) {
	m, _, err := b.getOfLeader(ctx, stream, directGet{LastBy: logFilter(log)})
	return m.LogSequence, err
}

// getOfLeader returns the headers of a message as the stream's leader has it: no
// acknowledged one is missed. One that the relay did not write has no log.
func (b *Bus) getOfLeader(ctx context.Context, stream string, request directGet) (m Message, found bool, err error) {
	ctx, cancel := b.line.request(ctx, getTimeout)
	defer cancel()
	raw, err := b.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, request.encode())
	if err != nil {
		return Message{}, false, unavailable("the event bus did not answer", fmt.Errorf("get of the leader of %s: %w", stream, err))
	}
	var answer leaderGet
	if err := json.Unmarshal(raw.Data, &answer); err != nil {
		return Message{}, false, unavailable("the event bus answered something else", err)
	}
	switch {
	case answer.Error != nil && answer.Error.Code == 404:
		return Message{}, false, nil
	case answer.Error != nil:
		return Message{}, false, unavailable("the event bus refused to read", errors.New(answer.Error.Description))
	case answer.Message == nil:
		return Message{}, false, unavailable("the event bus answered something else", nil)
	}
	header, err := nats.DecodeHeadersMsg(answer.Message.Header)
	if err != nil {
		header = nil // not a message of the relay
	}
	m = newMessage(stream, answer.Message.Subject, header, nil)
	m.Sequence = answer.Message.Sequence
	return m, true, nil
}
