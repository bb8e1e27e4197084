package eventlog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

func person(user string) proto.Message {
	return &identityeventv1.UserCreated{User: user, HomeRegion: region, Email: "ada@example.com"}
}

// abroad is the same database in another region, which has another regional key.
func (f fixture) abroad(t testing.TB) fixture {
	t.Helper()
	return fixture{Store: eventlog.New(eventlog.Config{DB: f.db, Region: "us", Vault: newVault(t)}), db: f.db}
}

func TestPersonalDataStaysInItsRegion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	abroad := f.abroad(t)
	user := id.New(id.User)
	_, err := abroad.append(t.Context(), user, 0, person(user))
	if got := wantReason(t, err, commonv1.Reason_KEY_ELSEWHERE); got.Meta["region"] != region || got.Kind != fault.Unavailable {
		t.Errorf("made abroad: %+v", got)
	}
	if f.count(t, "user_keys") != 0 || f.count(t, "logs") != 0 {
		t.Error("the refused append left something")
	}
	f.mustAppend(t, user, 0, person(user))
	_, err = abroad.append(t.Context(), user, 1, person(user))
	wantReason(t, err, commonv1.Reason_KEY_ELSEWHERE)
	_, err = abroad.Open(t.Context(), f.db.Pool(), f.mustRead(t, user)[0])
	wantReason(t, err, commonv1.Reason_KEY_ELSEWHERE)
	abroad.mustAppend(t, user, 1, &identityeventv1.UserSuspended{User: user}) // nothing personal
	abroad.erase(t, user)
	opened := f.open(t, f.mustRead(t, user)[0])
	if want := (&identityeventv1.UserCreated{User: user, HomeRegion: region}); !proto.Equal(opened, want) {
		t.Errorf("erased from abroad: %v", opened)
	}
	f.sound(t, user)
}

func TestEraseTellsWhatItDestroyed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	user := id.New(id.User)
	f.mustAppend(t, user, 0, person(user))
	var wrapped []byte
	if err := f.db.Pool().QueryRow(t.Context(), `SELECT wrapped FROM log.user_keys WHERE user_id = $1`, user).Scan(&wrapped); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(wrapped)
	for _, want := range [][]byte{want[:], nil} {
		var digest []byte
		err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
			digest, err = f.Erase(ctx, tx, user)
			return err
		})
		if err != nil || !bytes.Equal(digest, want) {
			t.Errorf("Erase = %x, %v; want %x", digest, err, want)
		}
	}
}

func TestLockAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	logs := []string{newLog(), newLog(), newLog()}
	for i, log := range logs {
		f.mustAppend(t, log, 0, manyNamed(i+1)...)
	}
	lock := func(logs ...string) (heads []eventlog.Head, err error) {
		err = f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
			heads, err = f.LockAll(ctx, tx, logs...)
			return err
		})
		return heads, err
	}
	heads, err := lock(logs[2], logs[0], logs[1], logs[2])
	if err != nil || len(heads) != 3 {
		t.Fatalf("LockAll = %v, %v", heads, err)
	}
	for i, h := range heads {
		if h.Log != logs[i] || h.Sequence != uint64(i)+1 {
			t.Errorf("head %d: %+v", i, h)
		}
	}
	if heads, err := lock(); err != nil || len(heads) != 0 {
		t.Errorf("of nothing: %v, %v", heads, err)
	}
	absent := newLog()
	_, err = lock(append(slices.Clone(logs), absent)...)
	if got := wantReason(t, err, commonv1.Reason_NOT_FOUND); got.Meta["log"] != absent {
		t.Errorf("absent: %v", got.Meta)
	}
	if f.count(t, "logs") != 3 {
		t.Error("a lock made a log")
	}
}

// Whoever locks several logs, in any order, waits for the others and not in a
// circle.
func TestLockAllInAnyOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	logs := []string{newLog(), newLog(), newLog(), newLog()}
	for _, log := range logs {
		f.mustAppend(t, log, 0, named("first"))
	}
	inParallel(t, 6, func(ctx context.Context, worker int) error {
		order := slices.Clone(logs)
		if worker%2 == 1 {
			slices.Reverse(order)
		}
		for range 5 {
			err := f.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
				heads, err := f.LockAll(ctx, tx, order...)
				if err != nil {
					return err
				}
				for _, h := range heads {
					_, err := f.Append(ctx, tx, eventlog.Append{Log: h.Log, Expected: h.Sequence, Actor: operator(), Events: manyNamed(1)})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, log := range logs {
		if got := len(f.mustRead(t, log)); got != 31 {
			t.Errorf("%d events", got)
		}
		f.sound(t, log)
	}
}
