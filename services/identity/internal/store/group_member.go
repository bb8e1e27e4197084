package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
)

// InsertGroupMembers makes those members of a group that are not, and returns
// them. It reads no versions of rows that others wrote.
func InsertGroupMembers(ctx context.Context, tx pgx.Tx, g Group, homeRegion string, members []string) ([]string, error) {
	if len(members) == 0 {
		return nil, nil
	}
	return texts(ctx, tx, "insert group members",
		`INSERT INTO identity.group_members (organization_id, group_id, member_id, home_region)
		 SELECT $1, $2, m.member_id, $3 FROM unnest($4::TEXT[]) AS m (member_id)
		 ON CONFLICT (organization_id, group_id, member_id) DO NOTHING RETURNING member_id`,
		g.Organization, g.ID, homeRegion, members)
}

// DeleteGroupMembers removes those from a group that are members, and returns them.
func DeleteGroupMembers(ctx context.Context, tx pgx.Tx, g Group, members []string) ([]string, error) {
	if len(members) == 0 {
		return nil, nil
	}
	return texts(ctx, tx, "delete group members",
		`DELETE FROM identity.group_members WHERE organization_id = $1 AND group_id = $2 AND member_id = ANY($3) RETURNING member_id`,
		g.Organization, g.ID, members)
}

// EmptyGroup removes all members of a group, and returns them in order.
func EmptyGroup(ctx context.Context, tx pgx.Tx, g Group) ([]string, error) {
	members, err := texts(ctx, tx, "empty group",
		`DELETE FROM identity.group_members WHERE organization_id = $1 AND group_id = $2 RETURNING member_id`, g.Organization, g.ID)
	slices.Sort(members)
	return members, err
}

// EmptySomeGroup removes up to limit members of one of the groups of an
// organization that have any, and returns the group and them in order; none when
// all are empty.
func EmptySomeGroup(ctx context.Context, tx pgx.Tx, organization string, limit int) (groupID string, members []string, err error) {
	err = tx.QueryRow(ctx,
		`SELECT coalesce((SELECT group_id FROM identity.group_members WHERE organization_id = $1 ORDER BY group_id, member_id LIMIT 1), '')`,
		organization).Scan(&groupID)
	if err != nil || groupID == "" {
		return "", nil, err
	}
	members, err = texts(ctx, tx, "empty group",
		`DELETE FROM identity.group_members WHERE organization_id = $1 AND group_id = $2 AND member_id IN
		 (SELECT member_id FROM identity.group_members WHERE organization_id = $1 AND group_id = $2 ORDER BY member_id LIMIT $3)
		 RETURNING member_id`, organization, groupID, limit)
	if err != nil {
		return "", nil, err
	}
	slices.Sort(members)
	if err := RecountMembers(ctx, tx, organization, []string{groupID}, -len(members)); err != nil {
		return "", nil, err
	}
	if nested := group.Groups(members); nested > 0 {
		err = countLess(ctx, tx, organization, Nestings, nested)
	}
	return groupID, members, err
}

// RecountMembers adds to how many members each of some groups has.
func RecountMembers(ctx context.Context, tx pgx.Tx, organization string, groups []string, add int) error {
	if add == 0 {
		return nil
	}
	_, err := tx.Exec(ctx,
		`UPDATE identity.groups SET members = members + $3 WHERE organization_id = $1 AND group_id = ANY($2)`, organization, groups, add)
	if err != nil {
		return fmt.Errorf("recount members: %w", err)
	}
	return nil
}

// LeaveGroups takes a member (a user, a service account or a group) out of all
// groups of an organization, and returns the events that say so, one for each
// group. The caller has locked the organization's log, and appends them before the
// event that ends the member. It may be as many as the organization has groups.
func LeaveGroups(ctx context.Context, tx pgx.Tx, organization, member string) ([]proto.Message, error) {
	groups, err := texts(ctx, tx, "leave groups",
		`DELETE FROM identity.group_members WHERE organization_id = $1 AND member_id = $2 RETURNING group_id`, organization, member)
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	slices.Sort(groups)
	if err := RecountMembers(ctx, tx, organization, groups, -1); err != nil {
		return nil, err
	}
	if group.IsGroup(member) {
		if err := countLess(ctx, tx, organization, Nestings, len(groups)); err != nil {
			return nil, err
		}
	}
	return group.Left(member, groups), nil
}

// ListGroupMembers reads up to limit members of a group after an id, by the
// primary key.
func ListGroupMembers(ctx context.Context, q sqldb.Querier, organization, groupID, after string, limit int) ([]string, error) {
	rows, err := q.Query(ctx,
		`SELECT member_id FROM identity.group_members
		 WHERE organization_id = $1 AND group_id = $2 AND member_id > $3 ORDER BY member_id LIMIT $4`,
		organization, groupID, after, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return out, sqldb.Unavailable(err)
}

// texts runs a statement that returns one text for each row.
func texts(ctx context.Context, tx pgx.Tx, what, statement string, args ...any) ([]string, error) {
	rows, err := tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
}
