package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
)

// Membership is a row of identity.memberships.
type Membership struct {
	membership.State

	HomeRegion string
	CreatedAt  time.Time
}

const membershipColumns = `organization_id, user_id, role, state, everywhere, source, source_ref, home_region, created_at`

// InsertMembership writes a new membership of a user, who is found by it among the
// organization's members. It looks for nothing first.
//
// Errors: ALREADY_EXISTS (field "user").
func InsertMembership(ctx context.Context, tx pgx.Tx, m Membership, u User) error {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO identity.memberships (`+membershipColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		m.Organization, m.User, int16(m.Role), int16(m.Status), m.Everywhere, int16(m.Source), m.SourceRef, m.HomeRegion, m.CreatedAt)
	queueWords(batch, u, []string{m.Organization}, words(u.Name))
	err := tx.SendBatch(ctx, batch).Close()
	if _, taken := sqldb.UniqueViolation(err); taken {
		return membership.Exists()
	}
	if err != nil {
		return fmt.Errorf("insert membership: %w", err)
	}
	return nil
}

// UpdateMembership writes the role and state of a membership.
func UpdateMembership(ctx context.Context, tx pgx.Tx, s membership.State) error {
	_, err := tx.Exec(ctx, `UPDATE identity.memberships SET role = $3, state = $4, everywhere = $5
		WHERE organization_id = $1 AND user_id = $2`, s.Organization, s.User, int16(s.Role), int16(s.Status), s.Everywhere)
	if err != nil {
		return fmt.Errorf("update membership: %w", err)
	}
	return nil
}

// DeleteMembership ends a membership: the user is found among the organization's
// members no more.
func DeleteMembership(ctx context.Context, tx pgx.Tx, organizationID, userID string) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM identity.memberships WHERE organization_id = $1 AND user_id = $2`, organizationID, userID)
	queueForget(batch, organizationID, userID)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("delete membership: %w", err)
	}
	return nil
}

// FindMembership reads one membership by the primary key.
//
// Errors: NOT_FOUND.
func FindMembership(ctx context.Context, q sqldb.Querier, organizationID, userID string) (Membership, error) {
	m, err := scanMembership(q.QueryRow(ctx,
		`SELECT `+membershipColumns+` FROM identity.memberships WHERE organization_id = $1 AND user_id = $2`, organizationID, userID))
	if errors.Is(err, pgx.ErrNoRows) {
		return Membership{}, membership.NotFound()
	}
	return m, sqldb.Unavailable(err)
}

// OtherAdmin says whether somebody else is an active administrator of an
// organization, by the index memberships_admins.
func OtherAdmin(ctx context.Context, q sqldb.Querier, organizationID, userID string) (bool, error) {
	var found int
	err := q.QueryRow(ctx, `SELECT 1 FROM identity.memberships
		WHERE organization_id = $1 AND user_id <> $2 AND role = 2 AND state = 1 LIMIT 1`, organizationID, userID).Scan(&found)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, sqldb.Unavailable(err)
}

// ListMembers reads up to limit memberships of an organization after a user, by the
// primary key.
func ListMembers(ctx context.Context, q sqldb.Querier, organizationID, after string, limit int) ([]Membership, error) {
	return collectMemberships(q.Query(ctx, `SELECT `+membershipColumns+` FROM identity.memberships
		WHERE organization_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3`, organizationID, after, limit))
}

// FindMembers reads the memberships of some users in an organization by the primary
// key, by user. Who is not in it is left out.
func FindMembers(ctx context.Context, q sqldb.Querier, organizationID string, userIDs []string) (map[string]Membership, error) {
	found := make(map[string]Membership, len(userIDs))
	if len(userIDs) == 0 {
		return found, nil
	}
	members, err := collectMemberships(q.Query(ctx, `SELECT `+membershipColumns+` FROM identity.memberships
		WHERE (organization_id, user_id) IN (SELECT $1::TEXT, unnest($2::TEXT[]))`, organizationID, userIDs))
	for _, m := range members {
		found[m.User] = m
	}
	return found, err
}

// ListUserMemberships reads up to limit memberships of a user after an organization,
// by the index memberships_user.
func ListUserMemberships(ctx context.Context, q sqldb.Querier, userID, after string, limit int) ([]Membership, error) {
	return collectMemberships(q.Query(ctx, `SELECT `+membershipColumns+` FROM identity.memberships
		WHERE user_id = $1 AND organization_id > $2 ORDER BY organization_id LIMIT $3`, userID, after, limit))
}

func collectMemberships(rows pgx.Rows, err error) ([]Membership, error) {
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Membership, error) { return scanMembership(row) })
	return out, sqldb.Unavailable(err)
}

func scanMembership(row pgx.Row) (Membership, error) {
	var (
		m                    Membership
		role, status, source int16
	)
	err := row.Scan(&m.Organization, &m.User, &role, &status, &m.Everywhere, &source, &m.SourceRef, &m.HomeRegion, &m.CreatedAt)
	m.Role, m.Status, m.Source = eventv1.MembershipRole(role), membership.Status(status), eventv1.MembershipSource(source)
	return m, err
}

// SetMembershipStates writes the states of memberships of one user.
func SetMembershipStates(ctx context.Context, tx pgx.Tx, members []Membership) error {
	batch := &pgx.Batch{}
	for _, m := range members {
		batch.Queue(`UPDATE identity.memberships SET state = $3, everywhere = $4 WHERE organization_id = $1 AND user_id = $2`,
			m.Organization, m.User, int16(m.Status), m.Everywhere)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("update memberships: %w", err)
	}
	return nil
}

// DeleteMembers ends memberships of one organization, whose users' logs are locked.
func DeleteMembers(ctx context.Context, tx pgx.Tx, organizationID string, userIDs []string) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM identity.memberships WHERE organization_id = $1 AND user_id = ANY($2)`, organizationID, userIDs)
	batch.Queue(`DELETE FROM identity.search_words WHERE user_id = ANY($2) AND scope = $1`, organizationID, userIDs)
	batch.Queue(`UPDATE identity.users SET memberships = memberships - 1 WHERE user_id = ANY($1)`, userIDs)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("delete members: %w", err)
	}
	return nil
}
