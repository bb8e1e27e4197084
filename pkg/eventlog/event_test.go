package eventlog_test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

const someLog = "org_00000000000000000000000001"

func envelope(t testing.TB, sequence uint64, previous [32]byte) *logv1.Envelope {
	t.Helper()
	data, err := proto.Marshal(named("a"))
	if err != nil {
		t.Fatal(err)
	}
	return &logv1.Envelope{
		Log: someLog, Sequence: sequence, Type: "meridian.identity.event.v1.OrganizationCreated", Data: data,
		Actor: operator(), Time: &timestamppb.Timestamp{Seconds: 1}, PreviousHash: previous[:], Region: region,
	}
}

func encoded(t testing.TB, e *logv1.Envelope) eventlog.Recorded {
	t.Helper()
	r, err := eventlog.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	user := func(n byte) string { return "usr_0000000000000000000000000" + string('0'+n) }
	for name, change := range map[string]func(e *logv1.Envelope){
		"no log":             func(e *logv1.Envelope) { e.Log = "" },
		"log":                func(e *logv1.Envelope) { e.Log = "org_1" },
		"sequence 0":         func(e *logv1.Envelope) { e.Sequence = 0 },
		"sequence too large": func(e *logv1.Envelope) { e.Sequence = 1 << 63 },
		"no type":            func(e *logv1.Envelope) { e.Type = "" },
		"type":               func(e *logv1.Envelope) { e.Type = "a..b" },
		"no actor":           func(e *logv1.Envelope) { e.Actor = nil },
		"actor id":           func(e *logv1.Envelope) { e.Actor.Id = "" },
		"no time":            func(e *logv1.Envelope) { e.Time = nil },
		"nanoseconds":        func(e *logv1.Envelope) { e.Time.Nanos = 1 },
		"no previous hash":   func(e *logv1.Envelope) { e.PreviousHash = nil },
		"short hash":         func(e *logv1.Envelope) { e.PreviousHash = make([]byte, 31) },
		"first has previous": func(e *logv1.Envelope) { e.PreviousHash[0] = 1 },
		"no region":          func(e *logv1.Envelope) { e.Region = "" },
		"sealed for nobody":  func(e *logv1.Envelope) { e.Sealed = []*logv1.Sealed{{}} },
		"sealed twice": func(e *logv1.Envelope) {
			e.Sealed = []*logv1.Sealed{{User: user(1)}, {User: user(1)}}
		},
		"sealed out of order": func(e *logv1.Envelope) {
			e.Sealed = []*logv1.Sealed{{User: user(2)}, {User: user(1)}}
		},
		"too large": func(e *logv1.Envelope) { e.Data = make([]byte, eventlog.MaxEventBytes) },
	} {
		e := envelope(t, 1, [32]byte{})
		encoded(t, e) // the control
		change(e)
		b, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eventlog.Decode(b); !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) {
			t.Errorf("%s: decode %v", name, err)
		}
		if _, err := eventlog.Encode(e); !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) {
			t.Errorf("%s: encode %v", name, err)
		}
	}
}

func TestMessageRefusesUnknownTypesAndForeignData(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(e *logv1.Envelope){
		"unknown type": func(e *logv1.Envelope) { e.Type = "meridian.identity.event.v1.Nothing" },
		"cut off":      func(e *logv1.Envelope) { e.Data = e.GetData()[:len(e.GetData())-1] },
		"not UTF-8":    func(e *logv1.Envelope) { e.Data = []byte{0x0a, 1, 0xff} },
	} {
		e := envelope(t, 7, [32]byte{})
		change(e)
		_, err := encoded(t, e).Message()
		f := wantReason(t, err, commonv1.Reason_EVENT_CORRUPT)
		if f.Meta["log"] != someLog || f.Meta["sequence"] != "7" {
			t.Errorf("%s: %v", name, f.Meta)
		}
	}
	if _, err := (eventlog.Recorded{}).Message(); !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) {
		t.Errorf("no event: %v", err)
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	first := encoded(t, envelope(t, 1, [32]byte{}))
	second := encoded(t, envelope(t, 2, first.Hash))
	foreign := envelope(t, 2, first.Hash)
	foreign.Log = id.Platform
	for _, c := range []struct {
		name           string
		previous, next eventlog.Recorded
		ok             bool
	}{
		{"first", eventlog.Recorded{}, first, true},
		{"second", first, second, true},
		{"starts with second", eventlog.Recorded{}, second, false},
		{"repeat", first, first, false},
		{"gap", first, encoded(t, envelope(t, 3, first.Hash)), false},
		{"other hash", first, encoded(t, envelope(t, 2, [32]byte{1})), false},
		{"other log", first, encoded(t, foreign), false},
		{"nothing", first, eventlog.Recorded{}, false},
	} {
		err := eventlog.Next(c.previous, c.next)
		if c.ok != (err == nil) || err != nil && !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Whatever bytes come, Decode fails with EVENT_CORRUPT or returns an event that
// can be used: its hash is of the bytes, and encoding what it holds gives an
// event that decodes to the same.
func FuzzDecode(f *testing.F) {
	first := encoded(f, envelope(f, 1, [32]byte{}))
	f.Add(first.Bytes)
	f.Add(encoded(f, envelope(f, 2, first.Hash)).Bytes)
	f.Add(first.Bytes[:len(first.Bytes)/2])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0x2a, 0x00}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := eventlog.Decode(b)
		if err != nil {
			if !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) || r.Envelope != nil {
				t.Fatalf("%v, %v", r, err)
			}
			return
		}
		if r.Hash != sha256.Sum256(b) || !bytes.Equal(r.Bytes, b) {
			t.Fatal("the hash is not of the bytes")
		}
		if _, err := r.Message(); err != nil && !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) {
			t.Fatal(err)
		}
		again, err := eventlog.Encode(r.Envelope)
		if err != nil {
			if len(b) < eventlog.MaxEventBytes/2 {
				t.Fatal(err)
			}
			return
		}
		decoded, err := eventlog.Decode(again.Bytes)
		if err != nil || !proto.Equal(decoded.Envelope, r.Envelope) {
			t.Fatalf("%v, %v", decoded.Envelope, err)
		}
	})
}
