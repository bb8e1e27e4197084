package eventlog

import (
	"crypto/sha256"
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/region"
	"github.com/meridian-iam/meridian/pkg/revision"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// The limits of an event and of an append.
const (
	// MaxEventBytes is the size of the largest envelope.
	MaxEventBytes = 512 << 10
	// MaxAppendBytes is the size of all envelopes of one append together.
	MaxAppendBytes = 4 << 20
	// MaxAppendEvents is how many events one append may hold.
	MaxAppendEvents = 256
)

// maxDepth is how deeply the messages inside an event may be nested.
const maxDepth = 64

// Types finds the Go type of an event by its full name. The global registry of
// protobuf (protoregistry.GlobalTypes) is one.
type Types interface {
	FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error)
}

// Recorded is one stored event. The zero Recorded is no event.
type Recorded struct {
	// Envelope is Bytes, decoded. Do not change it.
	Envelope *logv1.Envelope
	// Bytes are what is stored, published and hashed. Do not change them.
	Bytes []byte
	// Hash is the SHA-256 of Bytes.
	Hash [32]byte
}

// Encode makes the one binary form of an envelope and its hash.
//
// Errors: EVENT_CORRUPT when the envelope breaks a rule of Decode.
func Encode(e *logv1.Envelope) (Recorded, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		return Recorded{}, corrupt(e.GetLog(), e.GetSequence(), "the envelope cannot be encoded").Because(err)
	}
	if rule := broken(e, len(b)); rule != "" {
		return Recorded{}, corrupt(e.GetLog(), e.GetSequence(), rule)
	}
	return Recorded{Envelope: e, Bytes: b, Hash: sha256.Sum256(b)}, nil
}

// Decode reads an envelope and computes its hash. It keeps bytes, so the caller
// must not change them afterwards. An envelope is at most MaxEventBytes long.
//
// Errors: EVENT_CORRUPT, with "log" and "sequence" as far as they can be read.
func Decode(bytes []byte) (Recorded, error) {
	if len(bytes) > MaxEventBytes {
		return Recorded{}, corrupt("", 0, "the envelope is too large")
	}
	e := &logv1.Envelope{}
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(bytes, e); err != nil {
		return Recorded{}, corrupt("", 0, "the envelope is not a protobuf message")
	}
	if rule := broken(e, len(bytes)); rule != "" {
		return Recorded{}, corrupt(e.GetLog(), e.GetSequence(), rule)
	}
	return Recorded{Envelope: e, Bytes: bytes, Hash: sha256.Sum256(bytes)}, nil
}

// broken names the first rule that an envelope of this size breaks.
func broken(e *logv1.Envelope, size int) string {
	first := e.GetSequence() == 1
	switch {
	case size > MaxEventBytes:
		return "the envelope is too large"
	case !revision.ValidLog(e.GetLog()):
		return "log is not the id of a log"
	case e.GetSequence() == 0 || e.GetSequence() > math.MaxInt64:
		return "sequence is out of range"
	case !protoreflect.FullName(e.GetType()).IsValid():
		return "type is not the name of a message"
	case e.GetActor().GetKind() == logv1.ActorKind_ACTOR_KIND_UNSPECIFIED || e.GetActor().GetId() == "":
		return "actor is missing"
	case !e.GetTime().IsValid() || e.GetTime().GetNanos()%int32(time.Microsecond) != 0:
		return "time is not a time in microseconds"
	case len(e.GetPreviousHash()) != sha256.Size:
		return "previous hash is not 32 bytes long"
	case first && [32]byte(e.GetPreviousHash()) != [32]byte{}:
		return "the first event names a previous hash"
	case !region.Valid(e.GetRegion()):
		return "region is missing or malformed"
	}
	return brokenSealed(e.GetSealed())
}

// brokenSealed wants each user once, ordered by id.
func brokenSealed(sealed []*logv1.Sealed) string {
	previous := ""
	for _, s := range sealed {
		if !id.Valid(id.User, s.GetUser()) {
			return "sealed data of something that is not a user"
		}
		if s.GetUser() <= previous {
			return "sealed data is not ordered by user"
		}
		previous = s.GetUser()
	}
	return ""
}

// Message decodes the event with the types that are linked into this binary.
// Its personal fields are empty; Store.Open fills them.
//
// Errors: EVENT_CORRUPT for an unknown type and for data that is not of it.
func (r Recorded) Message() (proto.Message, error) {
	return r.MessageOf(protoregistry.GlobalTypes)
}

// MessageOf is Message with other types.
func (r Recorded) MessageOf(types Types) (proto.Message, error) {
	e := r.Envelope
	if e == nil {
		return nil, corrupt("", 0, "there is no envelope")
	}
	kind, err := types.FindMessageByName(protoreflect.FullName(e.GetType()))
	if err != nil {
		return nil, corrupt(e.GetLog(), e.GetSequence(), "this binary does not know the event's type").
			With("type", e.GetType()).Because(err)
	}
	m := kind.New().Interface()
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(e.GetData(), m); err != nil {
		return nil, corrupt(e.GetLog(), e.GetSequence(), "the data is not a message of the event's type").
			With("type", e.GetType())
	}
	return m, nil
}

// Time is the commit clock of the event: UTC, microseconds.
func (r Recorded) Time() time.Time { return r.Envelope.GetTime().AsTime() }

// Next checks the chain rule: e is of the same log as previous, has the next
// sequence and names previous's hash. With the zero Recorded as previous, e must
// be the first event of its log.
//
// Errors: EVENT_CORRUPT with e's log and sequence.
func Next(previous, e Recorded) error {
	if e.Envelope == nil {
		return corrupt("", 0, "there is no envelope")
	}
	log, sequence := e.Envelope.GetLog(), e.Envelope.GetSequence()
	switch {
	case previous.Envelope == nil && sequence != 1:
		return corrupt(log, sequence, "the log does not start with sequence 1")
	case previous.Envelope != nil && previous.Envelope.GetLog() != log:
		return corrupt(log, sequence, "the event is of another log than its predecessor")
	case previous.Envelope != nil && previous.Envelope.GetSequence()+1 != sequence:
		return corrupt(log, sequence, "the event does not follow its predecessor")
	case len(e.Envelope.GetPreviousHash()) != sha256.Size,
		[32]byte(e.Envelope.GetPreviousHash()) != previous.Hash:
		return corrupt(log, sequence, "the event names another predecessor")
	}
	return nil
}
