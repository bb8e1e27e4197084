package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// MissingMembers returns those of the users that are no members of the
// organization, suspended ones included.
func MissingMembers(ctx context.Context, q sqldb.Querier, organization string, users []string) ([]string, error) {
	return missing(ctx, q, `SELECT user_id FROM identity.memberships WHERE organization_id = $1 AND user_id = ANY($2)`, organization, users)
}

// PausedMembers returns those of the users and service accounts that are suspended in
// the organization, or disabled, by the primary keys.
func PausedMembers(ctx context.Context, q sqldb.Querier, organization string, ids []string) (map[string]bool, error) {
	rows, err := q.Query(ctx, `SELECT user_id FROM identity.memberships WHERE organization_id = $1 AND user_id = ANY($2) AND state = 2
		UNION ALL
		SELECT service_account_id FROM identity.service_accounts WHERE organization_id = $1 AND service_account_id = ANY($2) AND disabled`,
		organization, ids)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	paused := make(map[string]bool, len(found))
	for _, member := range found {
		paused[member] = true
	}
	return paused, sqldb.Unavailable(err)
}

// GroupsOf returns the groups that a user or service account is in, ordered, by the
// index group_members_member.
func GroupsOf(ctx context.Context, q sqldb.Querier, organization, member string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT group_id FROM identity.group_members
		WHERE organization_id = $1 AND member_id = $2 ORDER BY group_id`, organization, member)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	groups, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return groups, sqldb.Unavailable(err)
}

// missing returns those of the ids that a query on an organization and ids does
// not find.
func missing(ctx context.Context, q sqldb.Querier, query, organization string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, query, organization, ids)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	present := make(map[string]bool, len(found))
	for _, id := range found {
		present[id] = true
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return present[id] }), nil
}

func nameTaken(what string) *fault.Fault {
	return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, what+" of the organization has this name").With("field", "name")
}
