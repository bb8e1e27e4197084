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
