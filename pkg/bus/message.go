package bus

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Message is one message of a stream: a published event, not decoded yet.
type Message struct {
	// Stream it was read from, and its place there.
	Stream   string
	Sequence uint64
	// Log and LogSequence are what the headers promise; Decode checks it. Log is
	// empty for a message that the relay did not write.
	Log         string
	LogSequence uint64
	// Bytes of the envelope.
	Bytes []byte
	// Stored is when the stream took it, by the server's clock; zero where it was got
	// directly.
	Stored time.Time
	// Pending is how many messages of the same filter followed when it was read.
	Pending uint64
}

// Decode returns the event and checks that it is the one that the headers name.
//
// Errors: EVENT_CORRUPT.
func (m Message) Decode() (eventlog.Recorded, error) {
	r, err := eventlog.Decode(m.Bytes)
	if err != nil {
		return eventlog.Recorded{}, err
	}
	if r.Envelope.GetLog() != m.Log || r.Envelope.GetSequence() != m.LogSequence {
		return eventlog.Recorded{}, fault.New(fault.Internal, commonv1.Reason_EVENT_CORRUPT, "the message holds another event than its headers say").
			With("log", m.Log).With("sequence", strconv.FormatUint(m.LogSequence, 10))
	}
	return r, nil
}

// newMessage reads the headers of a message. A message whose subject and id
// disagree gets no log.
func newMessage(stream, subject string, header nats.Header, data []byte) Message {
	m := Message{Stream: stream, Bytes: data}
	log, sequence, ok := parseMessageID(header.Get(jetstream.MsgIDHeader))
	if ok && log == logOf(subject) {
		m.Log, m.LogSequence = log, sequence
	}
	return m
}

// fromDirect reads a message that a direct get returned.
func fromDirect(raw *nats.Msg) (Message, error) {
	h := raw.Header
	m := newMessage(h.Get(jetstream.StreamHeader), h.Get(jetstream.SubjectHeader), h, raw.Data)
	var err error
	if m.Sequence, err = strconv.ParseUint(h.Get(jetstream.SequenceHeader), 10, 64); err != nil {
		return Message{}, unavailable("the event bus answered something else", err)
	}
	m.Pending, _ = strconv.ParseUint(h.Get("Nats-Num-Pending"), 10, 64) // absent for a single get
	return m, nil
}
