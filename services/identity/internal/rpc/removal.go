package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// The removals of package deletion: they take from an organization what its people
// are, with the events that say so. The organization's log is locked.

// remove removes things until there are limit events or none is left. One thing may
// have more events than that.
func remove[T any](things []T, limit int, one func(T) ([]proto.Message, error)) (events []proto.Message, more bool, err error) {
	for i, thing := range things {
		removed, err := one(thing)
		if err != nil {
			return nil, false, err
		}
		if events = append(events, removed...); len(events) >= limit {
			return events, i+1 < len(things) || len(things) == limit, nil
		}
	}
	return events, len(things) == limit, nil
}

// Remove implements deletion.Removal.
func (*Groups) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]proto.Message, bool, error) {
	rows, err := store.ListGroups(ctx, tx, organization, nil, nil, limit)
	if err != nil {
		return nil, false, err
	}
	return remove(rows, limit, func(row store.Group) ([]proto.Message, error) { return removeGroup(ctx, tx, row) })
}

// Remove implements deletion.Removal.
func (s *ServiceAccounts) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]proto.Message, bool, error) {
	rows, err := store.ListServiceAccounts(ctx, tx, organization, nil, limit)
	if err != nil {
		return nil, false, err
	}
	return remove(rows, limit, func(row store.ServiceAccount) ([]proto.Message, error) { return s.removeAccount(ctx, tx, row) })
}

// Remove implements deletion.Removal.
func (s *Invitations) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]proto.Message, bool, error) {
	rows, err := store.ListInvitations(ctx, tx, organization, "", store.InvitationFilter{Status: invitation.Pending}, limit)
	if err != nil {
		return nil, false, err
	}
	return remove(rows, limit, func(row store.Invitation) ([]proto.Message, error) {
		events, err := invitation.Revoke{}.Decide(row.State)
		if err != nil {
			return nil, err
		}
		return events, s.finish(ctx, tx, &row, events)
	})
}

// Remove implements deletion.Removal.
func (s *Memberships) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]proto.Message, bool, error) {
	rows, err := store.ListMembers(ctx, tx, organization, "", limit)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	users := make([]string, len(rows))
	for i, row := range rows {
		users[i] = row.User
	}
	if _, err := s.Log.LockAll(ctx, tx, users...); err != nil {
		return nil, false, err
	}
	return remove(rows, limit, func(row store.Membership) ([]proto.Message, error) {
		return depart(ctx, tx, row.State, membership.Remove{Force: true, Manages: true})
	})
}
