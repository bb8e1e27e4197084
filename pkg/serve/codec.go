package serve

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// connect decodes unary requests before the interceptors, and answers what does
// not decode by itself: without a reason, without a log line, and with a text
// that quotes the request. So these codecs accept everything, mark a message
// that did not decode, and the settler refuses it.

var errNotMessage = errors.New("not a protobuf message")

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
	if err := protojson.Unmarshal(content, m); err != nil {
		markUndecoded(m, markOf(err, content))
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
