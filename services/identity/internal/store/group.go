package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
)

// Group is a row of identity.groups.
type Group struct {
	group.State

	// Key is the name_key that is stored; reads fill it in.
	Key []byte
	// Members is how many members the group itself has.
	Members    int64
	HomeRegion string
	CreatedAt  time.Time
}

const groupColumns = `group_id, organization_id, name, name_key, description, members, home_region, created_at`

// InsertGroup writes a new group.
//
// Errors: ALREADY_EXISTS when the name is taken.
func InsertGroup(ctx context.Context, tx pgx.Tx, g Group) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO identity.groups (organization_id, group_id, name, name_key, description, members, home_region, created_at)
		 VALUES ($1, $2, $3, $4, $5, 0, $6, $7)`,
		g.Organization, g.ID, g.Name, g.NameKey(), g.Description, g.HomeRegion, g.CreatedAt)
	if _, taken := sqldb.UniqueViolation(err); taken {
		return nameTaken("a group")
	}
	if err != nil {
		return fmt.Errorf("insert group: %w", err)
	}
	return nil
}

// UpdateGroup writes a group's name and description.
//
// Errors: ALREADY_EXISTS when the name is taken.
func UpdateGroup(ctx context.Context, tx pgx.Tx, g Group) error {
	_, err := tx.Exec(ctx,
		`UPDATE identity.groups SET name = $3, name_key = $4, description = $5 WHERE organization_id = $1 AND group_id = $2`,
		g.Organization, g.ID, g.Name, g.NameKey(), g.Description)
	if _, taken := sqldb.UniqueViolation(err); taken {
		return nameTaken("a group")
	}
	if err != nil {
		return fmt.Errorf("update group: %w", err)
	}
	return nil
}

// DeleteGroup removes the row of a group; its members and where it is a member are
// EmptyGroup's and LeaveGroups'.
func DeleteGroup(ctx context.Context, tx pgx.Tx, organization, groupID string) error {
	_, err := tx.Exec(ctx, `DELETE FROM identity.groups WHERE organization_id = $1 AND group_id = $2`, organization, groupID)
	if err != nil {
		return fmt.Errorf("delete group: %w", err)
	}
	return nil
}

// DeleteGroups removes the rows of up to limit groups of an organization, which
// have no members, and returns them in order.
func DeleteGroups(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]string, error) {
	groups, err := texts(ctx, tx, "delete groups",
		`DELETE FROM identity.groups WHERE organization_id = $1 AND group_id IN
		 (SELECT group_id FROM identity.groups WHERE organization_id = $1 ORDER BY group_id LIMIT $2) RETURNING group_id`,
		organization, limit)
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	slices.Sort(groups)
	return groups, countLess(ctx, tx, organization, Groups, len(groups))
}

// FindGroup reads one group of an organization by its primary key.
//
// Errors: NOT_FOUND.
func FindGroup(ctx context.Context, q sqldb.Querier, organization, groupID string) (Group, error) {
	g, err := scanGroup(q.QueryRow(ctx,
		`SELECT `+groupColumns+` FROM identity.groups WHERE organization_id = $1 AND group_id = $2`, organization, groupID))
	if errors.Is(err, pgx.ErrNoRows) {
		return Group{}, group.NotFound()
	}
	return g, sqldb.Unavailable(err)
}

// ListGroups reads up to limit groups of an organization after a name key, whose
// name keys have a beginning, by the index groups_name.
func ListGroups(ctx context.Context, q sqldb.Querier, organization string, beginning, after []byte, limit int) ([]Group, error) {
	end := slices.Concat(beginning, []byte{0xff}) // no name key has this byte: it is UTF-8
	rows, err := q.Query(ctx,
		`SELECT `+groupColumns+` FROM identity.groups
		 WHERE organization_id = $1 AND name_key > $2 AND name_key >= $3 AND name_key < $4 ORDER BY name_key LIMIT $5`,
		organization, notNull(after), notNull(beginning), end, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Group, error) { return scanGroup(row) })
	return out, sqldb.Unavailable(err)
}

// notNull keeps an empty key from being NULL, which nothing is greater than.
func notNull(key []byte) []byte { return append([]byte{}, key...) }

// MissingGroups returns those of the ids that are no groups of the organization.
func MissingGroups(ctx context.Context, q sqldb.Querier, organization string, ids []string) ([]string, error) {
	return missing(ctx, q, `SELECT group_id FROM identity.groups WHERE organization_id = $1 AND group_id = ANY($2)`, organization, ids)
}

func scanGroup(row pgx.Row) (Group, error) {
	var g Group
	err := row.Scan(&g.ID, &g.Organization, &g.Name, &g.Key, &g.Description, &g.Members, &g.HomeRegion, &g.CreatedAt)
	return g, err
}
