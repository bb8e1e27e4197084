package sqltest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-iam/meridian/migrations"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// URLVariable names the server to use instead of a private one.
const URLVariable = "MERIDIAN_TEST_DATABASE_URL"

// openHost connects to the server and prepares the template.
func openHost(ctx context.Context) (*host, error) {
	address, err := serverURL(ctx)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(address.Reveal())
	if err != nil {
		return nil, errors.New(URLVariable + " is not a URL")
	}
	h := &host{url: parsed}
	if h.admin, err = sqldb.Open(ctx, sqldb.Config{URL: address, MaxConns: maxConns}); err != nil {
		return nil, err
	}
	if h.admin.Flavor() == sqldb.CockroachDB {
		return h, nil
	}
	if err := h.chooseStrategy(ctx); err != nil {
		return nil, err
	}
	return h, h.makeTemplate(ctx)
}

// chooseStrategy prefers to copy files where that is cheap: PostgreSQL 15 and
// newer know the choice, and a server without fsync has no reason to write the
// copy to its log.
func (h *host) chooseStrategy(ctx context.Context) error {
	var cheap bool
	const query = "SELECT current_setting('server_version_num')::INT >= 150000 AND current_setting('fsync') = 'off'"
	if err := h.admin.Pool().QueryRow(ctx, query).Scan(&cheap); err != nil {
		return fmt.Errorf("read the server's settings: %w", err)
	}
	if cheap {
		h.strategy = " STRATEGY FILE_COPY"
	}
	return nil
}

func serverURL(ctx context.Context) (secret.String, error) {
	if given := os.Getenv(URLVariable); given != "" {
		return secret.NewString(given), nil
	}
	return startPrivate(ctx)
}

// makeTemplate migrates a database under a name of its own and then gives it
// the shared name, so that nobody copies a template that is half done.
func (h *host) makeTemplate(ctx context.Context) error {
	name, err := templateName()
	if err != nil {
		return err
	}
	var exists bool
	const known = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1)"
	if err := h.admin.Pool().QueryRow(ctx, known, name).Scan(&exists); err != nil {
		return fmt.Errorf("look for the template: %w", err)
	}
	h.template = name
	if exists {
		return nil
	}
	draft := "meridian_draft_" + randomHex()
	if err := h.createEmpty(ctx, draft); err != nil {
		return fmt.Errorf("create the template: %w", err)
	}
	if err := h.migrate(ctx, draft); err != nil {
		return errors.Join(fmt.Errorf("migrate the template: %w", err), h.drop(ctx, draft))
	}
	err = h.exec(ctx, "ALTER DATABASE "+quote(draft)+" RENAME TO "+quote(name))
	if duplicateDatabase(err) { // another test binary was faster
		return h.drop(ctx, draft)
	}
	return err
}

func duplicateDatabase(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P04" || pg.Code == "23505")
}

// templateName depends on every byte of the migrations.
func templateName() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(migrations.Base, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations.Base, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hash the migrations: %w", err)
	}
	return "meridian_template_" + hex.EncodeToString(hash.Sum(nil)[:8]), nil
}
