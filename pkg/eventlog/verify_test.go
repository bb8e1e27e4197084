package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// nameRows is a small service: per log, how many events there are and the last
// name.
type nameRows struct{}

type nameFolding struct {
	log, last string
	n         int64
}

const (
	createNames = `CREATE TABLE public.names (log_id TEXT PRIMARY KEY, last TEXT NOT NULL, n INT8 NOT NULL)`
	writeName   = `INSERT INTO public.names (log_id, last, n) VALUES ($1, $2, $3)
ON CONFLICT (log_id) DO UPDATE SET last = excluded.last, n = names.n + excluded.n`
)

func (nameRows) Name() string { return "names" }

func (nameRows) Start(log string) eventlog.Folding {
	if !strings.HasPrefix(log, "org_") {
		return nil
	}
	return &nameFolding{log: log}
}

func (f *nameFolding) Apply(r eventlog.Recorded) error {
	m, err := r.Message()
	if err != nil {
		return err
	}
	created, ok := m.(*identityeventv1.OrganizationCreated)
	if !ok {
		return errors.New("an event of another service")
	}
	f.last, f.n = created.GetName(), f.n+1
	return nil
}

func (f *nameFolding) Compare(ctx context.Context, q sqldb.Querier) (string, error) {
	var last string
	var n int64
	err := q.QueryRow(ctx, `SELECT last, n FROM public.names WHERE log_id = $1`, f.log).Scan(&last, &n)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "the row is missing", nil
	case err != nil:
		return "", err
	case last != f.last || n != f.n:
		return fmt.Sprintf("%d events, row says %d", f.n, n), nil
	}
	return "", nil
}

// memoryCopy is a stream in memory.
type memoryCopy struct {
	mu     sync.Mutex
	events map[string][]byte
	// asked is called before each lookup; it may be nil.
	asked func(sequence uint64)
}

func (c *memoryCopy) Event(_ context.Context, log string, sequence uint64) ([]byte, bool, error) {
	if c.asked != nil {
		c.asked(sequence)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b, found := c.events[fmt.Sprint(log, ":", sequence)]
	return b, found, nil
}

func (c *memoryCopy) publish(r eventlog.Recorded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events[r.Envelope.GetLog()+":"+sequenceOf(r)] = r.Bytes
}

// verified is a log with rows and a copy.
type verified struct {
	fixture
	log      string
	copy     *memoryCopy
	verifier *eventlog.Verifier
}

func newVerified(t testing.TB) *verified {
	t.Helper()
	f := newFixture(t)
	if _, err := f.db.Pool().Exec(t.Context(), createNames); err != nil {
		t.Fatal(err)
	}
	c := &memoryCopy{events: map[string][]byte{}}
	return &verified{fixture: f, log: newLog(), copy: c, verifier: &eventlog.Verifier{
		Store: f.Store, Folds: []eventlog.Fold{nameRows{}}, Copy: c,
	}}
}

// write appends n events and changes the rows in the same transaction.
func (v *verified) write(ctx context.Context, n int) error {
	events := manyNamed(n)
	last := events[n-1].(*identityeventv1.OrganizationCreated).GetName()
	return v.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		expected := eventlog.AnyHead
		if _, err := v.Head(ctx, tx, v.log); err != nil {
			expected = 0
		}
		_, err := v.Append(ctx, tx, eventlog.Append{
			Log: v.log, Expected: expected, HomeRegion: region, Actor: operator(), Events: events,
		})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, writeName, v.log, last, n)
		return err
	})
}

// relay publishes what is pending.
func (v *verified) relay(ctx context.Context) error {
	pending, _, err := v.Outbox(ctx, region, 100)
	if err != nil {
		return err
	}
	for _, p := range pending {
		for _, e := range p.Events {
			v.copy.publish(e)
		}
	}
	return v.mark(ctx, region, pending)
}

func (v *verified) verify(t testing.TB) eventlog.Result {
	t.Helper()
	result, err := v.verifier.Verify(t.Context(), v.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (v *verified) prepare(t testing.TB) {
	t.Helper()
	for range 5 {
		if err := errors.Join(v.write(t.Context(), 2), v.relay(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	// recode changes an event and its hash column, so that it agrees with itself.
	recode := func(t testing.TB, v *verified, sequence int) {
		e := v.mustRead(t, v.log)[sequence-1].Envelope
		e.Actor.Id = "somebody else"
		r := encoded(t, e)
		v.exec(t, "UPDATE log.events SET envelope = $1, hash = $2 WHERE sequence = $3", r.Bytes, r.Hash[:], sequence)
	}
	sql := func(sql string) func(testing.TB, *verified) {
		return func(t testing.TB, v *verified) { v.exec(t, sql) }
	}
	for _, c := range []struct {
		name     string
		tamper   func(t testing.TB, v *verified)
		copy     string
		sequence uint64
	}{
		{"an envelope", sql(`UPDATE log.events SET envelope = overlay(envelope placing '\x7a' from 40) WHERE sequence = 4`), "chain", 4},
		{"not an envelope", sql(`UPDATE log.events SET envelope = '\xff' WHERE sequence = 4`), "chain", 4},
		{"no envelope", sql(`UPDATE log.events SET envelope = '' WHERE sequence = 1`), "chain", 1},
		{"a hash", sql(`UPDATE log.events SET hash = sha256('x') WHERE sequence = 10`), "chain", 10},
		{"a time", sql(`UPDATE log.events SET recorded_at = recorded_at - INTERVAL '1 hour' WHERE sequence = 6`), "chain", 6},
		{"delete the first", sql(`DELETE FROM log.events WHERE sequence = 1`), "chain", 1},
		{"delete one", sql(`DELETE FROM log.events WHERE sequence = 5`), "chain", 5},
		{"delete the last", sql(`DELETE FROM log.events WHERE sequence = 10`), "head", 10},
		{"delete all", sql(`DELETE FROM log.events`), "head", 1},
		{"swap two", sql(`UPDATE log.events SET sequence = CASE sequence WHEN 3 THEN 1007 ELSE 1003 END WHERE sequence IN (3, 7);
			UPDATE log.events SET sequence = sequence - 1000 WHERE sequence > 1000`), "chain", 3},
		{"head down", sql(`UPDATE log.logs SET head = 8`), "head", 9},
		{"head up", sql(`UPDATE log.logs SET head = 12`), "head", 11},
		{"head below zero", sql(`UPDATE log.logs SET head = -1`), "head", 0},
		{"head zero", sql(`UPDATE log.logs SET head = 0`), "head", 1},
		{"head's hash", sql(`UPDATE log.logs SET head_hash = sha256('x')`), "head", 10},
		{"head's time", sql(`UPDATE log.logs SET head_time = head_time + INTERVAL '1 hour'`), "head", 10},
		{"head's home", sql(`UPDATE log.logs SET home_region = 'us'`), "head", 10},
		{"head's row", sql(`DELETE FROM log.logs`), "head", 1},
		{"a row", sql(`UPDATE public.names SET n = n + 1`), "rows", 10},
		{"delete a row", sql(`DELETE FROM public.names`), "rows", 10},
		{"an event with its hash", func(t testing.TB, v *verified) { v.verifier.Copy = nil; recode(t, v, 4) }, "chain", 5},
		{"the last event with its hash", func(t testing.TB, v *verified) { v.verifier.Copy = nil; recode(t, v, 10) }, "head", 10},
		{"an event with its hash, against the copy", func(t testing.TB, v *verified) { recode(t, v, 4) }, "stream", 4},
		{"the copy lacks one", func(_ testing.TB, v *verified) { delete(v.copy.events, v.log+":6") }, "stream", 6},
		{"the copy lacks the last", func(_ testing.TB, v *verified) { delete(v.copy.events, v.log+":10") }, "stream", 10},
		{"the copy has another", func(_ testing.TB, v *verified) { v.copy.events[v.log+":6"] = []byte("x") }, "stream", 6},
		{"the log was set back", func(t testing.TB, v *verified) {
			last := v.mustRead(t, v.log)[8]
			v.exec(t, "DELETE FROM log.events WHERE sequence = 10")
			v.exec(t, "UPDATE log.logs SET head = 9, head_hash = $1, head_time = $2", last.Hash[:], last.Time())
			v.exec(t, "UPDATE public.names SET n = 9, last = 'event 0'")
		}, "stream", 10},
		{"two: the first counts", func(t testing.TB, v *verified) {
			delete(v.copy.events, v.log+":6")
			v.exec(t, `UPDATE log.events SET hash = '\x' WHERE sequence = 7`)
			v.exec(t, `DELETE FROM public.names`)
		}, "stream", 6},
		{"an event of another service", func(t testing.TB, v *verified) {
			v.mustAppend(t, v.log, 10, &identityeventv1.ApiTokenRevoked{Token: "x"})
		}, "rows", 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newVerified(t)
			v.prepare(t)
			if r := v.verify(t); r.Difference != nil || r.Head != 10 || r.Events != 10 || r.Pending != 0 {
				t.Fatalf("before: %+v", r)
			}
			c.tamper(t, v)
			d := v.verify(t).Difference
			if d.GetCopy() != c.copy || d.GetSequence() != c.sequence || d.GetDetail() == "" {
				t.Errorf("difference %v, want %s at %d", d, c.copy, c.sequence)
			}
		})
	}
}

func TestVerifyRefusesAbsentLogs(t *testing.T) {
	t.Parallel()
	v := newVerified(t)
	_, err := v.verifier.Verify(t.Context(), newLog(), nil)
	wantReason(t, err, commonv1.Reason_NOT_FOUND)
	_, err = v.verifier.Verify(t.Context(), "org_x", nil)
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
}

func TestVerifyLetsPendingEventsBeAbsentFromTheCopy(t *testing.T) {
	t.Parallel()
	v := newVerified(t)
	v.prepare(t)
	for range 3 {
		if err := v.write(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
	}
	if r := v.verify(t); r.Difference != nil || r.Pending != 12 || r.Events != 22 {
		t.Errorf("%+v", r)
	}
	// What was published and is lost is a difference, though later events wait.
	delete(v.copy.events, v.log+":10")
	if d := v.verify(t).Difference; d.GetCopy() != "stream" || d.GetSequence() != 10 {
		t.Errorf("%v", d)
	}
}

// The relay publishes between the look into the copy and the one into the
// outbox: no false alarm.
func TestVerifyDuringPublication(t *testing.T) {
	t.Parallel()
	v := newVerified(t)
	v.prepare(t)
	if err := v.write(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	pending, _ := v.outbox(t, 10)
	v.verifier.Copy = copyFunc(func(ctx context.Context, log string, sequence uint64) ([]byte, bool, error) {
		b, found, err := v.copy.Event(ctx, log, sequence)
		if sequence == 11 && !found {
			once.Do(func() {
				v.copy.publish(pending[0].Events[0])
				err = v.mark(ctx, region, pending)
			})
		}
		return b, found, err
	})
	if r := v.verify(t); r.Difference != nil || r.Pending != 0 {
		t.Errorf("%+v", r)
	}
}

type copyFunc func(ctx context.Context, log string, sequence uint64) ([]byte, bool, error)

func (f copyFunc) Event(ctx context.Context, log string, sequence uint64) ([]byte, bool, error) {
	return f(ctx, log, sequence)
}

// Writes and the relay go on while the log is verified: no false alarm, and the
// events appended meanwhile are compared as well.
func TestVerifyDuringWrites(t *testing.T) {
	t.Parallel()
	v := newVerified(t)
	v.prepare(t)
	done := make(chan struct{})
	inParallel(t, 3, func(ctx context.Context, worker int) error {
		if worker == 0 {
			defer close(done)
			for range 10 {
				result, err := v.verifier.Verify(ctx, v.log, nil)
				if err != nil || result.Difference != nil || result.Head != result.Events {
					return fmt.Errorf("%+v, %w", result, err)
				}
			}
			return nil
		}
		for {
			select {
			case <-done:
				return nil
			default:
			}
			work := func() error { return v.write(ctx, 3) }
			if worker == 2 {
				work = func() error { return v.relay(ctx) }
			}
			if err := work(); err != nil {
				return err
			}
		}
	})
}

func TestVerifyTellsProgressAndErrors(t *testing.T) {
	t.Parallel()
	v := newVerified(t)
	for range 9 {
		if err := v.write(t.Context(), 256); err != nil {
			t.Fatal(err)
		}
	}
	var told []uint64
	result, err := v.verifier.Verify(t.Context(), v.log, func(events uint64) { told = append(told, events) })
	if err != nil || result.Difference != nil || fmt.Sprint(told) != "[1000 2000 2304]" {
		t.Errorf("%+v, %v, told %v", result, err, told)
	}
	boom := errors.New("no bus")
	v.verifier.Copy = copyFunc(func(context.Context, string, uint64) ([]byte, bool, error) { return nil, false, boom })
	if r, err := v.verifier.Verify(t.Context(), v.log, nil); !errors.Is(err, boom) || r.Difference != nil {
		t.Errorf("%+v, %v", r, err)
	}
	v.verifier.Copy = nil
	v.exec(t, "ALTER TABLE public.names RENAME TO nothing; SELECT 1")
	if r, err := v.verifier.Verify(t.Context(), v.log, nil); err == nil || r.Difference != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// An erased user's log is as sound as before, byte for byte.
func TestVerifyAfterErasure(t *testing.T) {
	t.Parallel()
	types := people(t)
	f := newFixture(t, func(c *eventlog.Config) { c.Types = types })
	alice, bob, log := "usr_00000000000000000000000001", "usr_00000000000000000000000002", newLog()
	f.mustAppend(t, log, 0, types.event(t, "UserCreated", fill(personalJSON, alice, bob)))
	before := f.mustRead(t, log)[0].Bytes
	f.erase(t, alice)
	if !bytes.Equal(before, f.mustRead(t, log)[0].Bytes) {
		t.Error("erasure changed the log")
	}
	f.sound(t, log)
}
