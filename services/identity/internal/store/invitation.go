package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
)

// Invitation is a row of identity.invitations.
type Invitation struct {
	invitation.State

	// Email, Blind and Hash are empty unless the invitation is pending.
	Email       string
	Blind, Hash []byte
	Locale      string
	LastLetter  time.Time
	HomeRegion  string
	CreatedAt   time.Time
}

const invitationColumns = `invitation_id, organization_id, state, invitee, COALESCE(email, ''), blind, secret_hash, role,
group_ids, locale, letters, last_letter, user_id, home_region, created_at, expires_at`

// InsertInvitation writes a new invitation.
func InsertInvitation(ctx context.Context, tx pgx.Tx, i Invitation) error {
	_, err := tx.Exec(ctx, `INSERT INTO identity.invitations (invitation_id, organization_id, state, invitee, email, blind,
		secret_hash, role, group_ids, locale, letters, last_letter, user_id, home_region, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		i.ID, i.Organization, int16(i.Status), i.Invitee, i.Email, i.Blind, i.Hash, int16(i.Role),
		strings.Join(i.Groups, " "), i.Locale, i.Letters, i.LastLetter, i.User, i.HomeRegion, i.CreatedAt, i.ExpiresAt)
	if err != nil {
		return fmt.Errorf("insert invitation: %w", err)
	}
	return nil
}

// RenewInvitation writes what another letter changes.
func RenewInvitation(ctx context.Context, tx pgx.Tx, i Invitation) error {
	_, err := tx.Exec(ctx, `UPDATE identity.invitations SET secret_hash = $2, letters = $3, last_letter = $4, expires_at = $5
		WHERE invitation_id = $1`, i.ID, i.Hash, i.Letters, i.LastLetter, i.ExpiresAt)
	if err != nil {
		return fmt.Errorf("renew invitation: %w", err)
	}
	return nil
}

// EndInvitation writes that an invitation was accepted or revoked, and drops its
// address and secret.
func EndInvitation(ctx context.Context, tx pgx.Tx, s invitation.State) error {
	_, err := tx.Exec(ctx, `UPDATE identity.invitations
		SET state = $2, user_id = $3, email = NULL, blind = NULL, secret_hash = NULL WHERE invitation_id = $1`, s.ID, int16(s.Status), s.User)
	if err != nil {
		return fmt.Errorf("end invitation: %w", err)
	}
	return nil
}

// FindInvitation reads one invitation by the primary key.
//
// Errors: NOT_FOUND.
func FindInvitation(ctx context.Context, q sqldb.Querier, invitationID string) (Invitation, error) {
	i, err := scanInvitation(q.QueryRow(ctx, `SELECT `+invitationColumns+` FROM identity.invitations WHERE invitation_id = $1`, invitationID))
	if errors.Is(err, pgx.ErrNoRows) {
		return Invitation{}, invitation.NotFound()
	}
	return i, sqldb.Unavailable(err)
}

// FindInvitationOf reads one invitation of an organization. Another's is NOT_FOUND.
func FindInvitationOf(ctx context.Context, q sqldb.Querier, organizationID, invitationID string) (Invitation, error) {
	i, err := FindInvitation(ctx, q, invitationID)
	if err == nil && i.Organization != organizationID {
		return Invitation{}, invitation.NotFound()
	}
	return i, err
}

// FindPending reads the pending invitation of an address in an organization, by the
// index invitations_address; the zero Invitation when there is none.
func FindPending(ctx context.Context, q sqldb.Querier, organizationID string, blind []byte) (Invitation, error) {
	i, err := scanInvitation(q.QueryRow(ctx, `SELECT `+invitationColumns+` FROM identity.invitations
		WHERE organization_id = $1 AND blind = $2 AND state = 1`, organizationID, blind))
	if errors.Is(err, pgx.ErrNoRows) {
		return Invitation{}, nil
	}
	return i, sqldb.Unavailable(err)
}

// FindPendingAnywhere reads up to limit pending invitations of an address, in whatever
// organization, by the index invitations_blind.
func FindPendingAnywhere(ctx context.Context, q sqldb.Querier, blind []byte, limit int) ([]Invitation, error) {
	return invitations(q.Query(ctx, `SELECT `+invitationColumns+` FROM identity.invitations WHERE blind = $1 AND state = 1 LIMIT $2`, blind, limit))
}

// FindLongExpired reads up to limit pending invitations of a home region that expired
// before a time, by the index invitations_expired.
func FindLongExpired(ctx context.Context, q sqldb.Querier, homeRegion string, before time.Time, limit int) ([]Invitation, error) {
	return invitations(q.Query(ctx, `SELECT `+invitationColumns+` FROM identity.invitations
		WHERE home_region = $1 AND expires_at < $2 AND state = 1 ORDER BY expires_at LIMIT $3`, homeRegion, before, limit))
}

// InvitationFilter says which invitations are listed: with a status, or with 0 all;
// of the pending ones those that have, or have not, expired at a time, unless it is
// zero.
type InvitationFilter struct {
	Status  invitation.Status
	At      time.Time
	Expired bool
}

const (
	listInvitations = `SELECT ` + invitationColumns + ` FROM identity.invitations
WHERE organization_id = $1 AND ($2 = '' OR invitation_id < $2) ORDER BY invitation_id DESC LIMIT $3`
	listInvitationsIn = `SELECT ` + invitationColumns + ` FROM identity.invitations
WHERE organization_id = $1 AND ($2 = '' OR invitation_id < $2) AND state = $4
ORDER BY invitation_id DESC LIMIT $3`
	listInvitationsBy = `SELECT ` + invitationColumns + ` FROM identity.invitations
WHERE organization_id = $1 AND ($2 = '' OR invitation_id < $2) AND state = $4 AND (expires_at <= $5) = $6
ORDER BY invitation_id DESC LIMIT $3`
)

// ListInvitations reads up to limit invitations of an organization before an id, the
// newest first, by the index invitations_organization or invitations_state.
func ListInvitations(ctx context.Context, q sqldb.Querier, organizationID, before string, f InvitationFilter, limit int) ([]Invitation, error) {
	query, arguments := listInvitations, []any{organizationID, before, limit}
	switch {
	case f.Status != 0 && !f.At.IsZero():
		query, arguments = listInvitationsBy, append(arguments, int16(f.Status), f.At, f.Expired)
	case f.Status != 0:
		query, arguments = listInvitationsIn, append(arguments, int16(f.Status))
	}
	return invitations(q.Query(ctx, query, arguments...))
}

func invitations(rows pgx.Rows, err error) ([]Invitation, error) {
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Invitation, error) { return scanInvitation(row) })
	return out, sqldb.Unavailable(err)
}

func scanInvitation(row pgx.Row) (Invitation, error) {
	var (
		i            Invitation
		status, role int16
		groups       string
	)
	err := row.Scan(&i.ID, &i.Organization, &status, &i.Invitee, &i.Email, &i.Blind, &i.Hash, &role,
		&groups, &i.Locale, &i.Letters, &i.LastLetter, &i.User, &i.HomeRegion, &i.CreatedAt, &i.ExpiresAt)
	i.Status, i.Role, i.Groups = invitation.Status(status), eventv1.MembershipRole(role), strings.Fields(groups)
	return i, err
}
