package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
)

// levels go from groups along the memberships of groups in groups, one level of
// nesting at a time; a group that is reached over ways of several lengths is on
// several levels. Each level has at most group.Limit groups, and all of them are
// found over at most group.NestingLimit rows of an index, so a walk of
// group.MaxDepth levels is bounded. No stored nesting is deeper.
const (
	groupsAbove = `WITH RECURSIVE above (group_id, level) AS (
		SELECT g.group_id, 1 FROM unnest($2::TEXT[]) AS g (group_id)
		UNION
		SELECT m.group_id, a.level + 1 FROM above a
		JOIN identity.group_members m ON m.organization_id = $1 AND m.member_id = a.group_id
		WHERE a.level < $3)
		SELECT group_id, max(level) FROM above GROUP BY group_id`

	heightBelow = `WITH RECURSIVE below (group_id, level) AS (
		SELECT g.group_id, 1 FROM unnest($2::TEXT[]) AS g (group_id)
		UNION
		SELECT m.member_id, b.level + 1 FROM below b
		JOIN identity.group_members m ON m.organization_id = $1 AND m.group_id = b.group_id AND substr(m.member_id, 1, 4) = 'grp_'
		WHERE b.level < $3)
		SELECT coalesce(max(level), 0) FROM below`
)

// Nesting fills in what is above a group and how high the groups are that are to
// be added to it, by the indexes group_members_member and group_members_nested. It
// must be read before they are added.
func Nesting(ctx context.Context, tx pgx.Tx, m *group.Members, added []string) error {
	rows, err := tx.Query(ctx, groupsAbove, m.Organization, []string{m.ID}, group.MaxDepth)
	if err != nil {
		return fmt.Errorf("read groups above: %w", err)
	}
	m.Above = map[string]bool{}
	var (
		above string
		level int
	)
	_, err = pgx.ForEachRow(rows, []any{&above, &level}, func() error {
		m.Depth = max(m.Depth, level)
		if above != m.ID {
			m.Above[above] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read groups above: %w", err)
	}
	if err := tx.QueryRow(ctx, heightBelow, m.Organization, added, group.MaxDepth).Scan(&m.Height); err != nil {
		return fmt.Errorf("read groups below: %w", err)
	}
	return nil
}
