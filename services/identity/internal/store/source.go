package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/source"
)

// Source is a row of identity.sources.
type Source struct {
	source.State

	CreatedAt time.Time
}

const sourceColumns = `s.name, s.checker_url, s.disabled, s.secrets, s.created_at`

// PutSource writes a source. The platform's log must be locked.
func PutSource(ctx context.Context, tx pgx.Tx, s Source) error {
	_, err := tx.Exec(ctx, `INSERT INTO identity.sources (name, checker_url, disabled, secrets, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET checker_url = excluded.checker_url, disabled = excluded.disabled, secrets = excluded.secrets`,
		s.Name, s.CheckerURL, s.Disabled, int32(s.Secrets), s.CreatedAt)
	if err != nil {
		return fmt.Errorf("put source: %w", err)
	}
	return nil
}

// FindSource reads one source by the primary key.
//
// Errors: NOT_FOUND.
func FindSource(ctx context.Context, q sqldb.Querier, name string) (Source, error) {
	s, err := scanSource(q.QueryRow(ctx, `SELECT `+sourceColumns+` FROM identity.sources s WHERE s.name = $1`, name))
	if errors.Is(err, pgx.ErrNoRows) {
		return Source{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such source")
	}
	return s, sqldb.Unavailable(err)
}

// ListSources reads all sources, in the order of their names: there are source.Max at
// most.
func ListSources(ctx context.Context, q sqldb.Querier) ([]Source, error) {
	rows, err := q.Query(ctx, `SELECT `+sourceColumns+` FROM identity.sources s ORDER BY s.name LIMIT $1`, source.Max)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Source, error) { return scanSource(row) })
	return out, sqldb.Unavailable(err)
}

func scanSource(row pgx.Row, more ...any) (Source, error) {
	var (
		s       Source
		secrets int32
	)
	err := row.Scan(append([]any{&s.Name, &s.CheckerURL, &s.Disabled, &secrets, &s.CreatedAt}, more...)...)
	s.Secrets = uint32(max(secrets, 0))
	return s, err
}
