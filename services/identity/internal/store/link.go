package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/link"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/source"
)

// Link is a row of identity.links.
type Link struct {
	link.Link

	// Blind is what the link is found by: BlindExternal.
	Blind []byte
	User  string
	// Nth says which of the user's links it is, from 1.
	Nth        int
	MigratedAt *time.Time
	HomeRegion string
	CreatedAt  time.Time
}

// BlindExternal is what a link is found by: the id at the source itself goes when the
// user is erased.
func BlindExternal(key blind.Key, source, externalID string) []byte {
	return key.Index("external id", source, externalID)
}

// InsertLink writes a new link. It looks for nothing first: the primary key says
// whether the source's user has one.
//
// Errors: ALREADY_EXISTS (field "external_id").
func InsertLink(ctx context.Context, tx pgx.Tx, l Link) error {
	_, err := tx.Exec(ctx, `INSERT INTO identity.links (source, external, external_id, user_id, nth, migrated_at, home_region, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, l.Source, l.Blind, l.ExternalID, l.User, int16(l.Nth), l.MigratedAt, l.HomeRegion, l.CreatedAt)
	if constraint, taken := sqldb.UniqueViolation(err); taken && constraint == "links_pkey" {
		return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the user of the source was imported already").With("field", "external_id")
	}
	if err != nil {
		return fmt.Errorf("insert link: %w", err)
	}
	return nil
}

const linkColumns = `l.source, l.external, l.external_id, l.user_id, l.nth, l.migrated_at, l.home_region, l.created_at`

// FindLinks reads links of a source by the primary key, by their Blind. Those that
// there are not are left out.
func FindLinks(ctx context.Context, q sqldb.Querier, source string, blinds [][]byte) (map[string]Link, error) {
	found := make(map[string]Link, len(blinds))
	links, err := collectLinks(q.Query(ctx,
		`SELECT `+linkColumns+` FROM identity.links l WHERE l.source = $1 AND l.external = ANY($2)`, source, blinds))
	for _, l := range links {
		found[string(l.Blind)] = l
	}
	return found, err
}

// ListLinks reads a user's links, in the order in which they were made, by the index
// links_user.
func ListLinks(ctx context.Context, q sqldb.Querier, userID string) ([]Link, error) {
	return collectLinks(q.Query(ctx,
		`SELECT `+linkColumns+` FROM identity.links l WHERE l.user_id = $1 ORDER BY l.nth LIMIT $2`, userID, link.MaxOfUser))
}

// Waiting is a link whose source is to be asked.
type Waiting struct {
	source.State

	ExternalID string
}

// ListWaiting reads the links of a user whose sources are to be asked for the
// password, with the sources as they are now, by the index links_user.
func ListWaiting(ctx context.Context, q sqldb.Querier, userID string) ([]Waiting, error) {
	rows, err := q.Query(ctx, `SELECT `+sourceColumns+`, l.external_id
		FROM identity.links l JOIN identity.sources s ON s.name = l.source
		WHERE l.user_id = $1 AND l.migrated_at IS NULL AND l.external_id <> '' ORDER BY l.nth LIMIT $2`, userID, link.MaxOfUser)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w Waiting, err error) {
		s, err := scanSource(row, &w.ExternalID)
		w.State = s.State
		return w, err
	})
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	var asked []Waiting
	for _, w := range all {
		if w.Asked() {
			asked = append(asked, w)
		}
	}
	return asked, nil
}

// MarkMigrated marks all links of a user migrated, by the index links_user. It belongs
// to each PasswordSet in the user's log, which must be locked.
func MarkMigrated(ctx context.Context, tx pgx.Tx, userID string, at time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE identity.links SET migrated_at = $2 WHERE user_id = $1 AND migrated_at IS NULL`, userID, at)
	if err != nil {
		return fmt.Errorf("mark links migrated: %w", err)
	}
	return nil
}

// ForgetLinks takes the ids at the sources from the links of a user who is erased, by
// the index links_user. The links stay.
func ForgetLinks(ctx context.Context, tx pgx.Tx, userID string) error {
	if _, err := tx.Exec(ctx, `UPDATE identity.links SET external_id = '' WHERE user_id = $1`, userID); err != nil {
		return fmt.Errorf("forget links: %w", err)
	}
	return nil
}

// CountLinks counts the users of a source, and those of them whose passwords it is
// still asked for: each up to a limit. By the primary key and the index links_waiting.
func CountLinks(ctx context.Context, q sqldb.Querier, source string, limit int) (users, waiting int, err error) {
	err = q.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM (SELECT 1 FROM identity.links WHERE source = $1 LIMIT $2) AS l),
		(SELECT count(*) FROM (SELECT 1 FROM identity.links WHERE source = $1 AND migrated_at IS NULL LIMIT $2) AS l)`,
		source, limit).Scan(&users, &waiting)
	return users, waiting, sqldb.Unavailable(err)
}

func collectLinks(rows pgx.Rows, err error) ([]Link, error) {
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	links, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Link, err error) {
		err = row.Scan(&l.Source, &l.Blind, &l.ExternalID, &l.User, &l.Nth, &l.MigratedAt, &l.HomeRegion, &l.CreatedAt)
		l.Migrated = l.MigratedAt != nil
		return l, err
	})
	return links, sqldb.Unavailable(err)
}
