package eventlog_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// seal seals in a transaction of its own.
func (f fixture) seal(ctx context.Context, user, purpose string, plain []byte) (sealed []byte, err error) {
	err = f.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		head, err := f.Lock(ctx, tx, user)
		if err != nil {
			return err
		}
		sealed, err = f.Seal(ctx, tx, head, purpose, plain)
		return err
	})
	return sealed, err
}

func TestSealedRows(t *testing.T) {
	t.Parallel()
	f, ctx := newFixture(t), t.Context()
	ada, bob := id.New(id.User), id.New(id.User)
	f.mustAppend(t, ada, 0, person(ada))
	f.mustAppend(t, bob, 0, person(bob))
	seed := []byte("a seed")
	sealed, err := f.seal(ctx, ada, "totp 1", seed)
	if err != nil || bytes.Contains(sealed, seed) {
		t.Fatalf("Seal = %q, %v", sealed, err)
	}
	if again, err := f.seal(ctx, ada, "totp 1", seed); err != nil || bytes.Equal(again, sealed) {
		t.Errorf("sealed twice alike: %v", err)
	}
	if opened, err := f.Unseal(ctx, f.db.Pool(), ada, "totp 1", sealed); err != nil || !bytes.Equal(opened, seed) {
		t.Errorf("Unseal = %q, %v", opened, err)
	}
	broken := bytes.Clone(sealed)
	broken[len(broken)-1] ^= 1
	for name, tc := range map[string]struct {
		user, purpose string
		sealed        []byte
	}{
		"another user":      {bob, "totp 1", sealed},
		"another purpose":   {ada, "totp 2", sealed},
		"nobody":            {id.New(id.User), "totp 1", sealed},
		"changed":           {ada, "totp 1", broken},
		"empty":             {ada, "totp 1", nil},
		"an event's as row": {ada, "", f.mustRead(t, ada)[0].Envelope.GetSealed()[0].GetCiphertext()},
	} {
		if opened, err := f.Unseal(ctx, f.db.Pool(), tc.user, tc.purpose, tc.sealed); err == nil {
			t.Errorf("%s: opened %q", name, opened)
		} else {
			wantReason(t, err, commonv1.Reason_DEFECT)
		}
	}
	abroad := f.abroad(t)
	_, err = abroad.seal(ctx, ada, "totp 1", seed)
	wantReason(t, err, commonv1.Reason_KEY_ELSEWHERE)
	_, err = abroad.Unseal(ctx, f.db.Pool(), ada, "totp 1", sealed)
	wantReason(t, err, commonv1.Reason_KEY_ELSEWHERE)

	f.erase(t, ada)
	_, err = f.Unseal(ctx, f.db.Pool(), ada, "totp 1", sealed)
	wantReason(t, err, commonv1.Reason_USER_ERASED)
	_, err = f.seal(ctx, ada, "totp 1", seed)
	wantReason(t, err, commonv1.Reason_USER_ERASED)
}

func TestOnlyUsersSeal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	organization := newLog()
	f.mustAppend(t, organization, 0, named("acme"))
	_, err := f.seal(t.Context(), organization, "x", nil)
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
}
