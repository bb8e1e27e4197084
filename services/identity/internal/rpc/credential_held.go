package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// heldCredentials are a user's credentials while the user's log is locked.
type heldCredentials struct {
	head eventlog.Head
	user store.User
	rows []store.Credential
	set  credential.Set
}

// holdCredentials locks a user's log and reads what the user has.
//
// Errors: NOT_FOUND, USER_ERASED.
func holdCredentials(ctx context.Context, tx pgx.Tx, log *eventlog.Store, userID string) (*heldCredentials, error) {
	h := &heldCredentials{}
	var err error
	h.head, err = log.Lock(ctx, tx, userID)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return nil, user.NotFound()
	case err != nil:
		return nil, err
	}
	if h.user, err = store.FindUser(ctx, tx, userID); err != nil {
		return nil, err
	}
	if err := h.user.Present(); err != nil {
		return nil, err
	}
	if h.rows, err = store.ListCredentials(ctx, tx, userID); err != nil {
		return nil, err
	}
	h.set = store.CredentialSet(h.rows)
	return h, nil
}

// row is a user's credential.
func (h *heldCredentials) row(credentialID string) store.Credential {
	for _, c := range h.rows {
		if c.ID == credentialID {
			return c
		}
	}
	return store.Credential{}
}

// fresh is a new credential of the user, as events make it.
func (h *heldCredentials) fresh(events []proto.Message, credentialID string, at time.Time) store.Credential {
	for _, e := range events {
		h.set = h.set.Apply(e)
	}
	return store.Credential{
		State: h.set[credentialID], User: h.user.ID, HomeRegion: h.head.HomeRegion, CreatedAt: at.UTC().Truncate(time.Microsecond), Version: 1,
	}
}

// newPassword is a password that was checked and hashed.
type newPassword struct {
	hash, origin string
	// history is how many former ones are kept.
	history int
	at      time.Time
}

// setPassword gives the user a password, instead of the one there is. With the first
// one, sources that the user came from are not asked any more.
func (h *heldCredentials) setPassword(
	ctx context.Context, tx pgx.Tx, log *eventlog.Store, caller principal.Principal, p newPassword,
) (store.Credential, string, error) {
	now := single(h.rows, credential.Password)
	events, err := credential.SetPassword{
		User: h.user.ID, ID: id.New(id.Credential), Algorithm: algorithm(p.hash), Origin: p.origin,
	}.Decide(h.set)
	if err != nil {
		return now, "", err
	}
	if now.ID == "" {
		for _, e := range events {
			h.set = h.set.Apply(e)
		}
		made, _ := h.set.Single(credential.Password)
		now = h.fresh(nil, made.ID, p.at)
		now.Hash = p.hash
		if err := store.MarkMigrated(ctx, tx, h.user.ID, now.CreatedAt); err != nil {
			return now, "", err
		}
		err = store.InsertCredential(ctx, tx, now)
	} else {
		old := former(now)
		err = store.SetPasswordHash(ctx, tx, h.user.ID, now.ID, p.hash, old[:min(len(old), p.history)])
	}
	if err != nil {
		return now, "", err
	}
	token, err := commit.Append(ctx, tx, log, h.head, caller, events)
	return now, token, err
}

// rehash stores another hash of the same password.
func (h *heldCredentials) rehash(
	ctx context.Context, tx pgx.Tx, log *eventlog.Store, caller principal.Principal, now store.Credential, hash string,
) error {
	events, err := credential.SetPassword{User: h.user.ID, Algorithm: algorithm(hash), Origin: "rehash"}.Decide(h.set)
	if err != nil {
		return err
	}
	if err := store.RehashPassword(ctx, tx, h.user.ID, now.ID, hash, now.Version); err != nil {
		return err
	}
	_, err = commit.Append(ctx, tx, log, h.head, caller, events)
	return err
}
