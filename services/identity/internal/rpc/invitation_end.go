package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

const (
	// keptExpired is how long an invitation that has expired can still be resent; then
	// its address goes.
	keptExpired = 30 * 24 * time.Hour
	// ended is how many invitations are ended at a time.
	ended = 100
)

// itself is the service, as the log records it.
var itself = principal.Principal{Kind: principal.Service, ID: "identity", Level: commonv1.Level_LEVEL_ADMIN}

// Expire revokes the invitations of a home region that have long expired, and says how
// many: nobody's address is kept for good because nobody answered.
func (s *Invitations) Expire(ctx context.Context, homeRegion string) (revoked int, err error) {
	for {
		rows, err := store.FindLongExpired(ctx, s.DB.Pool(), homeRegion, s.Clock().Add(-keptExpired), ended)
		if err != nil {
			return revoked, err
		}
		for _, row := range rows {
			if err := s.revoke(ctx, row, itself); err != nil {
				return revoked, err
			}
			revoked++
		}
		if len(rows) < ended {
			return revoked, nil
		}
	}
}

// forgetAddress revokes the pending invitations of an address, whoever sent them.
func (s *Invitations) forgetAddress(ctx context.Context, blind []byte, caller principal.Principal) error {
	for {
		rows, err := store.FindPendingAnywhere(ctx, s.DB.Pool(), blind, ended)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := s.revoke(ctx, row, caller); err != nil {
				return err
			}
		}
		if len(rows) < ended {
			return nil
		}
	}
}

// revoke ends one invitation, if it waits still.
func (s *Invitations) revoke(ctx context.Context, found store.Invitation, caller principal.Principal) error {
	_, err := s.Log.Commit(ctx, eventlog.Request{Log: found.Organization}, func(ctx context.Context, tx pgx.Tx) error {
		head, err := lockOwner(ctx, tx, s.Log, found.Organization)
		if err != nil {
			return err
		}
		row, err := store.FindInvitation(ctx, tx, found.ID)
		if err != nil || row.Status != invitation.Pending {
			return err
		}
		events, err := invitation.Revoke{}.Decide(row.State)
		if err != nil {
			return err
		}
		if err := s.finish(ctx, tx, &row, events); err != nil {
			return err
		}
		_, err = commit.Append(ctx, tx, s.Log, head, caller, events)
		return err
	})
	return err
}
