package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// FindUsersByEmail reads who has addresses in a realm, by the primary key of
// user_emails. Those that nobody has are left out.
func FindUsersByEmail(ctx context.Context, q sqldb.Querier, realm string, blinds [][]byte) (map[string]string, error) {
	found := make(map[string]string, len(blinds))
	rows, err := q.Query(ctx, `SELECT blind, user_id FROM identity.user_emails WHERE realm = $1 AND blind = ANY($2)`, realm, blinds)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	var (
		index []byte
		user  string
	)
	_, err = pgx.ForEachRow(rows, []any{&index, &user}, func() error {
		found[string(index)] = user
		return nil
	})
	return found, sqldb.Unavailable(err)
}
