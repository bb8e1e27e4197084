package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// Theme is a row of sessions.themes.
type Theme struct{ Organization, Name, Color, HomeRegion string }

// PutTheme writes an organization's theme.
func PutTheme(ctx context.Context, tx pgx.Tx, t Theme) error {
	_, err := tx.Exec(ctx, `INSERT INTO sessions.themes (organization_id, name, color, home_region) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (organization_id) DO UPDATE SET name = excluded.name, color = excluded.color, home_region = excluded.home_region`,
		t.Organization, t.Name, t.Color, t.HomeRegion)
	if err != nil {
		return fmt.Errorf("put theme: %w", err)
	}
	return nil
}

// FindTheme reads an organization's theme by the primary key, an empty one where there
// is none.
func FindTheme(ctx context.Context, q sqldb.Querier, organization string) (Theme, error) {
	t := Theme{Organization: organization}
	err := q.QueryRow(ctx, `SELECT name, color, home_region FROM sessions.themes WHERE organization_id = $1`, organization).
		Scan(&t.Name, &t.Color, &t.HomeRegion)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, nil
	}
	return t, sqldb.Unavailable(err)
}

// themeFold rebuilds an organization's theme.
type themeFold struct {
	organization string
	theme        *eventv1.ThemeChanged
}

func (f *themeFold) apply(event proto.Message) bool {
	e, ok := event.(*eventv1.ThemeChanged)
	if ok {
		f.theme = e
	}
	return ok
}

func (f *themeFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	have, err := FindTheme(ctx, q, f.organization)
	if err != nil {
		return "", err
	}
	if have.Name != f.theme.GetName() || have.Color != f.theme.GetColor() {
		return fmt.Sprintf("theme: the row says %q %q, the log %q %q", have.Name, have.Color, f.theme.GetName(), f.theme.GetColor()), nil
	}
	return "", nil
}
