package deletion

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Members ends an organization's memberships. Nobody is the last administrator here.
// Groups are removed before: a member who is still in one stays in it.
type Members struct{ Log *eventlog.Store }

// Remove implements Removal. It locks the logs of the users, whose organizations it
// changes.
func (m Members) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]proto.Message, bool, error) {
	rows, err := store.ListMembers(ctx, tx, organization, "", limit)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	users, events := make([]string, len(rows)), make([]proto.Message, len(rows))
	for i, row := range rows {
		users[i] = row.User
		events[i] = &eventv1.MembershipRemoved{Organization: organization, User: row.User}
	}
	if _, err := m.Log.LockAll(ctx, tx, users...); err != nil {
		return nil, false, err
	}
	if err := store.DeleteMembers(ctx, tx, organization, users); err != nil {
		return nil, false, err
	}
	return events, len(rows) == limit, nil
}
