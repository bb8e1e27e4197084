package eventlog_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func people(t testing.TB) schema {
	t.Helper()
	return newSchema(t,
		message{"UserCreated", []field{
			{"user", "string", ""},
			{"email", "string", "user"},
			{"phones", "[]string", "user"},
			{"locale", "string", ""},
			{"address", "Address", "user"},
			{"invited_by", "Contact", ""},
		}},
		message{"Address", []field{{"city", "string", ""}}},
		message{"Contact", []field{{"user", "string", ""}, {"name", "string", "user"}, {"via", "string", ""}}},
	)
}

const personalJSON = `{"user":"$A","email":"secret-alice@example.com","phones":["secret-1","secret-2"],"locale":"de",
	"address":{"city":"secret-city"},"invited_by":{"user":"$B","name":"secret-bob","via":"mail"}}`

func fill(json, a, b string) string { return strings.NewReplacer("$A", a, "$B", b).Replace(json) }

// noSecret searches every byte of the tables for the personal values.
func (f fixture) noSecret(t testing.TB) {
	t.Helper()
	for _, column := range []string{"envelope FROM log.events", "wrapped FROM log.user_keys", "outcome FROM log.idempotency"} {
		rows, err := f.db.Pool().Query(t.Context(), "SELECT "+column)
		if err != nil {
			t.Fatal(err)
		}
		values, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if bytes.Contains(v, []byte("secret-")) {
				t.Errorf("plain personal data in %s", column)
			}
		}
	}
}

func (f fixture) open(t testing.TB, r eventlog.Recorded) proto.Message {
	t.Helper()
	m, err := f.Open(t.Context(), f.db.Pool(), r)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return m
}

func (f fixture) erase(t testing.TB, user string) {
	t.Helper()
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Erase(ctx, tx, user)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPersonalDataIsSealedOpenedAndErased(t *testing.T) {
	t.Parallel()
	types := people(t)
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	alice, bob, log := id.New(id.User), id.New(id.User), newLog()
	event := types.event(t, "UserCreated", fill(personalJSON, alice, bob))
	before := proto.Clone(event)
	f.mustAppend(t, log, 0, event, event)
	if !proto.Equal(event, before) {
		t.Error("append changed the event")
	}
	f.noSecret(t)
	for _, r := range f.mustRead(t, log) {
		if len(r.Envelope.GetSealed()) != 2 {
			t.Errorf("%d sealed parts", len(r.Envelope.GetSealed()))
		}
		if got := f.open(t, r); !proto.Equal(got, event) {
			t.Errorf("opened %v, want %v", got, event)
		}
		closed, err := r.MessageOf(types)
		want := types.event(t, "UserCreated", fill(`{"user":"$A","locale":"de","invited_by":{"user":"$B","via":"mail"}}`, alice, bob))
		if err != nil || !proto.Equal(closed, want) {
			t.Errorf("closed %v, %v", closed, err)
		}
	}

	f.erase(t, alice)
	want := types.event(t, "UserCreated",
		fill(`{"user":"$A","locale":"de","invited_by":{"user":"$B","name":"secret-bob","via":"mail"}}`, alice, bob))
	for _, r := range f.mustRead(t, log) {
		if got := f.open(t, r); !proto.Equal(got, want) {
			t.Errorf("after erasure %v, want %v", got, want)
		}
	}
	_, err := f.append(t.Context(), log, 2, event)
	if got := wantReason(t, err, commonv1.Reason_USER_ERASED); got.Meta["user"] != alice {
		t.Errorf("user %q", got.Meta["user"])
	}
	// Without personal data an event about the user is still recorded.
	f.mustAppend(t, log, 2, types.event(t, "UserCreated", fill(`{"user":"$A","locale":"en"}`, alice, bob)))
	f.sound(t, log)
}

func TestEraseIsIdempotentAndHoldsForUsersWithoutKey(t *testing.T) {
	t.Parallel()
	types := people(t)
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	alice, bob := id.New(id.User), id.New(id.User)
	f.erase(t, alice)
	f.erase(t, alice)
	_, err := f.append(t.Context(), newLog(), 0, types.event(t, "UserCreated", fill(personalJSON, alice, bob)))
	wantReason(t, err, commonv1.Reason_USER_ERASED)
	if f.count(t, "user_keys") != 1 || f.count(t, "logs") != 0 {
		t.Error("the refused append left something")
	}
	err = f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Erase(ctx, tx, newLog())
		return err
	})
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
}

func TestKeyIsCreatedOnceByManyWriters(t *testing.T) {
	t.Parallel()
	types := people(t)
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	alice, bob := id.New(id.User), id.New(id.User)
	event := types.event(t, "UserCreated", fill(personalJSON, alice, bob))
	logs := make([]string, 8)
	inParallel(t, len(logs), func(ctx context.Context, i int) error {
		logs[i] = newLog()
		_, err := f.append(ctx, logs[i], 0, event, event)
		return err
	})
	if n := f.count(t, "user_keys"); n != 2 {
		t.Errorf("%d keys", n)
	}
	for _, log := range logs {
		if got := f.open(t, f.mustRead(t, log)[1]); !proto.Equal(got, event) {
			t.Errorf("opened %v", got)
		}
	}
}

func TestErasureOrdersWithConcurrentAppends(t *testing.T) {
	t.Parallel()
	types := people(t)
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	alice, bob, log := id.New(id.User), id.New(id.User), newLog()
	event := types.event(t, "UserCreated", fill(personalJSON, alice, bob))
	f.mustAppend(t, log, 0, event)
	inParallel(t, 4, func(ctx context.Context, worker int) error {
		if worker == 0 {
			return f.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
				_, err := f.Erase(ctx, tx, alice)
				return err
			})
		}
		for range 10 {
			if _, err := f.append(ctx, log, eventlog.AnyHead, event); err != nil {
				wantReason(t, err, commonv1.Reason_USER_ERASED)
			}
		}
		return nil
	})
	for _, r := range f.mustRead(t, log) {
		if text := protojson.Format(f.open(t, r)); strings.Contains(text, "secret-alice") {
			t.Error("personal data survived the erasure")
		}
	}
	f.sound(t, log)
}

// A ciphertext opens only where it was sealed.
func TestSealedDataIsBoundToItsPlace(t *testing.T) {
	t.Parallel()
	types := people(t)
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	alice, bob, log := id.New(id.User), id.New(id.User), newLog()
	event := types.event(t, "UserCreated", fill(personalJSON, alice, bob))
	f.mustAppend(t, log, 0, event, event)
	events := f.mustRead(t, log)
	for name, change := range map[string]func(r *eventlog.Recorded){
		"sequence": func(r *eventlog.Recorded) { r.Envelope.Sequence++ },
		"log":      func(r *eventlog.Recorded) { r.Envelope.Log = newLog() },
		"type":     func(r *eventlog.Recorded) { r.Envelope.Type = "test.v1.Contact" },
		"user":     func(r *eventlog.Recorded) { r.Envelope.Sealed[0].User = r.Envelope.GetSealed()[1].GetUser() },
		"no key":   func(r *eventlog.Recorded) { r.Envelope.Sealed[0].User = id.New(id.User) },
		"bytes":    func(r *eventlog.Recorded) { r.Envelope.Sealed[0].Ciphertext[9] ^= 1 },
		"other event": func(r *eventlog.Recorded) {
			r.Envelope.Sealed[0].Ciphertext = events[1].Envelope.GetSealed()[0].GetCiphertext()
		},
	} {
		r, err := eventlog.Decode(bytes.Clone(events[0].Bytes))
		if err != nil {
			t.Fatal(err)
		}
		f.open(t, r) // the control
		change(&r)
		_, err = f.Open(t.Context(), f.db.Pool(), r)
		wantReason(t, err, commonv1.Reason_EVENT_CORRUPT)
		if strings.Contains(err.Error(), "secret-") {
			t.Errorf("%s: the error holds personal data", name)
		}
	}
}

func TestPersonalDataNeedsAUserAndAVault(t *testing.T) {
	t.Parallel()
	types := people(t)
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	for name, json := range map[string]string{
		"events[0].user":            `{"email":"secret-x"}`,
		"events[0].invited_by.user": `{"invited_by":{"user":"nobody","name":"secret-x"}}`,
	} {
		_, err := f.append(t.Context(), newLog(), 0, types.event(t, "UserCreated", json))
		if got := wantReason(t, err, commonv1.Reason_INVALID_FIELD); got.Meta["field"] != name || strings.Contains(err.Error(), "secret-") {
			t.Errorf("%v, want %s", err, name)
		}
	}
	unknown := types.event(t, "UserCreated", `{"locale":"de"}`)
	unknown.ProtoReflect().SetUnknown(protoreflect.RawFields{0xf8, 0x07, 0x01})
	_, err := f.append(t.Context(), newLog(), 0, unknown)
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)

	bare := fixture{Store: eventlog.New(eventlog.Config{DB: f.db, Types: types}), db: f.db}
	event := types.event(t, "UserCreated", fill(personalJSON, id.New(id.User), id.New(id.User)))
	_, err = bare.append(t.Context(), newLog(), 0, event)
	wantReason(t, err, commonv1.Reason_DEFECT)
	bare.mustAppend(t, newLog(), 0, types.event(t, "UserCreated", `{"locale":"de"}`))
	log := newLog()
	f.mustAppend(t, log, 0, event)
	_, err = bare.Open(t.Context(), f.db.Pool(), f.mustRead(t, log)[0])
	wantReason(t, err, commonv1.Reason_DEFECT)
	other := fixture{Store: eventlog.New(eventlog.Config{DB: f.db, Types: types, Vault: newVault(t)}), db: f.db}
	if _, err := other.Open(t.Context(), f.db.Pool(), f.mustRead(t, log)[0]); err == nil {
		t.Error("another regional key opened the data")
	}
	if f.count(t, "user_keys") != 2 {
		t.Error("a refused append left keys")
	}
}

func TestCheckPersonal(t *testing.T) {
	t.Parallel()
	inner := message{"Inner", []field{{"user", "string", ""}, {"name", "string", "user"}}}
	for _, c := range []struct {
		name     string
		messages []message
		field    string // "" when it is allowed
	}{
		{"no personal field", []message{{"E", []field{{"a", "string", ""}, {"e", "[]E", ""}}}}, ""},
		{"nested twice", []message{{"E", []field{{"m", "M", ""}}}, {"M", []field{{"a", "Inner", ""}, {"b", "Inner", ""}}}, inner}, ""},
		{"user field is absent", []message{{"E", []field{{"a", "string", "user"}}}}, "test.v1.E.a"},
		{"user field is a list", []message{{"E", []field{{"u", "[]string", ""}, {"a", "string", "u"}}}}, "test.v1.E.a"},
		{"user field is a message", []message{{"E", []field{{"u", "Inner", ""}, {"a", "string", "u"}}}, inner}, "test.v1.E.a"},
		{"user field is personal", []message{{"E", []field{{"u", "string", ""}, {"v", "string", "u"}, {"a", "string", "v"}}}}, "test.v1.E.a"},
		{"user field is itself", []message{{"E", []field{{"a", "string", "a"}}}}, "test.v1.E.a"},
		{"inside a list", []message{{"E", []field{{"m", "[]Inner", ""}}}, inner}, "test.v1.E.m"},
		{"deep inside a list", []message{{"E", []field{{"m", "[]M", ""}}}, {"M", []field{{"i", "Inner", ""}}}, inner}, "test.v1.E.m"},
		{"recursive", []message{{"E", []field{{"e", "E", ""}, {"u", "string", ""}, {"a", "string", "u"}}}}, "test.v1.E.e"},
		{"recursive in turn", []message{{"E", []field{{"m", "M", ""}}}, {"M", []field{{"e", "E", ""}, {"i", "Inner", ""}}}, inner}, "test.v1.M.e"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := eventlog.CheckPersonal(newSchema(t, c.messages...).of("E"))
			if c.field == "" && err == nil {
				return
			}
			if got := wantReason(t, err, commonv1.Reason_DEFECT); got.Meta["field"] != c.field {
				t.Errorf("field %q, want %q", got.Meta["field"], c.field)
			}
		})
	}
}

func TestAppendRefusesMisusedPersonalOption(t *testing.T) {
	t.Parallel()
	types := newSchema(t, message{"E", []field{{"a", "string", "user"}}})
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	_, err := f.append(t.Context(), newLog(), 0, types.event(t, "E", `{"a":"secret-x"}`))
	wantReason(t, err, commonv1.Reason_DEFECT)
}

func TestEveryEventOfTheContractCanBeRecorded(t *testing.T) {
	t.Parallel()
	seen := 0
	protoregistry.GlobalTypes.RangeMessages(func(m protoreflect.MessageType) bool {
		if !strings.HasPrefix(string(m.Descriptor().FullName()), "meridian.") {
			return true
		}
		seen++
		if err := eventlog.CheckPersonal(m.Descriptor()); err != nil {
			t.Error(err)
		}
		return true
	})
	if seen == 0 {
		t.Error("no message was checked")
	}
}

func TestOpenAllReadsTheKeysOnce(t *testing.T) {
	t.Parallel()
	types := people(t)
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	log := newLog()
	var events []proto.Message
	for range 5 {
		events = append(events, types.event(t, "UserCreated", fill(personalJSON, id.New(id.User), id.New(id.User))))
	}
	f.mustAppend(t, log, 0, events...)
	counted := &countingQuerier{Querier: f.db.Pool()}
	opened, err := f.OpenAll(t.Context(), counted, f.mustRead(t, log))
	if err != nil || len(opened) != 5 || counted.queries != 1 {
		t.Fatalf("%d events, %d queries, %v", len(opened), counted.queries, err)
	}
	for i := range opened {
		if !proto.Equal(opened[i], events[i]) {
			t.Errorf("event %d: %v", i, opened[i])
		}
	}
}

type countingQuerier struct {
	sqldb.Querier
	queries int
}

func (c *countingQuerier) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.queries++
	return c.Querier.Query(ctx, sql, args...)
}
