package serve

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// connect decodes unary requests before the interceptors, and answers what does
// not decode by itself: without a reason, without a log line, and with a text
// that quotes the request. So these codecs accept everything, mark a message
// that did not decode, and the settler refuses it.

// mark is the field number of the mark: the highest there is. No message of
// Meridian has it. Who sends it gets the refusal that the mark stands for.
const mark = protowire.MaxValidNumber

var errNotMessage = errors.New("not a protobuf message")

func markUndecoded(message proto.Message, rule string) {
	proto.Reset(message)
	content := protowire.AppendTag(nil, mark, protowire.BytesType)
	message.ProtoReflect().SetUnknown(protowire.AppendString(content, rule))
}

// undecoded returns the refusal of a marked message, or nil.
func undecoded(message any) *fault.Fault {
	m, ok := message.(proto.Message)
	if !ok {
		return nil
	}
	unknown := m.ProtoReflect().GetUnknown()
	if len(unknown) == 0 {
		return nil
	}
	number, kind, n := protowire.ConsumeTag(unknown)
	if n < 0 || number != mark || kind != protowire.BytesType {
		return nil
	}
	rule, _ := protowire.ConsumeBytes(unknown[n:])
	if string(rule) != "json" {
		rule = []byte("protobuf")
	}
	return fault.Field("body", string(rule), "not a message of this procedure")
}

// binaryCodec is protobuf. It keeps connect's name, so that clients find it.
type binaryCodec struct{}

// Name implements connect.Codec.
func (binaryCodec) Name() string { return "proto" }

// Marshal implements connect.Codec.
func (binaryCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%w: %T", errNotMessage, message)
	}
	return proto.Marshal(m)
}

// MarshalAppend spares connect a copy.
func (binaryCodec) MarshalAppend(into []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%w: %T", errNotMessage, message)
	}
	return proto.MarshalOptions{}.MarshalAppend(into, m)
}

// Unmarshal implements connect.Codec.
func (binaryCodec) Unmarshal(content []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%w: %T", errNotMessage, message)
	}
	if proto.Unmarshal(content, m) != nil {
		markUndecoded(m, "protobuf")
	}
	return nil
}

// MarshalStable implements connect's stable codec, for GET requests.
func (binaryCodec) MarshalStable(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%w: %T", errNotMessage, message)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// IsBinary implements connect's stable codec.
func (binaryCodec) IsBinary() bool { return true }

// jsonCodec is protobuf JSON. Unknown fields are refused: a misspelt field must
// not look like success.
type jsonCodec struct{ name string }

// Name implements connect.Codec.
func (c jsonCodec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend spares connect a copy.
func (jsonCodec) MarshalAppend(into []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%w: %T", errNotMessage, message)
	}
	return protojson.MarshalOptions{}.MarshalAppend(into, m)
}

// Unmarshal implements connect.Codec. An empty body is an empty message.
func (jsonCodec) Unmarshal(content []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%w: %T", errNotMessage, message)
	}
	if len(content) == 0 {
		return nil
	}
	if protojson.Unmarshal(content, m) != nil {
		markUndecoded(m, "json")
	}
	return nil
}

// MarshalStable implements connect's stable codec: without protojson's
// deliberately unstable white space.
func (c jsonCodec) MarshalStable(message any) ([]byte, error) {
	content, err := c.Marshal(message)
	if err != nil {
		return nil, err
	}
	compact, err := json.Marshal(json.RawMessage(content))
	if err != nil {
		return nil, fmt.Errorf("compact json: %w", err)
	}
	return compact, nil
}

// IsBinary implements connect's stable codec.
func (jsonCodec) IsBinary() bool { return false }
