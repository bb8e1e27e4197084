package deletion

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// The members that one commit takes out of groups: 8 events of 10,000 ids, or more
// of fewer, are less than an append may hold.
const (
	membersAtOnce = 10_000
	membersInAll  = 80_000
)

// Groups removes groups: first all members of all of them, and thereby groups from
// groups, then the groups.
type Groups struct{}

// Remove implements Removal.
func (Groups) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) (events []proto.Message, more bool, err error) {
	for all := 0; len(events) < limit && all < membersInAll; {
		groupID, members, err := store.EmptySomeGroup(ctx, tx, organization, membersAtOnce)
		if err != nil {
			return nil, false, err
		}
		if len(members) == 0 {
			removed, left, err := removeGroups(ctx, tx, organization, limit-len(events))
			return append(events, removed...), left, err
		}
		all += len(members)
		events = append(events, group.Changed(groupID, nil, members, nil)...)
	}
	return events, true, nil
}

// removeGroups removes groups that have no members and are in no groups.
func removeGroups(ctx context.Context, tx pgx.Tx, organization string, limit int) (events []proto.Message, more bool, err error) {
	groups, err := store.DeleteGroups(ctx, tx, organization, limit)
	if err != nil {
		return nil, false, err
	}
	for _, groupID := range groups {
		events = append(events, group.Deleted(groupID))
	}
	return events, len(groups) == limit, nil
}
