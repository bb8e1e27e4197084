package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/serviceaccount"
)

// ServiceAccount is a row of identity.service_accounts.
type ServiceAccount struct {
	serviceaccount.State

	// Key is the name_key that is stored; reads fill it in.
	Key        []byte
	HomeRegion string
	CreatedAt  time.Time
}

const serviceAccountColumns = `service_account_id, organization_id, name, name_key, description, disabled, home_region, created_at`

// InsertServiceAccount writes a new service account.
//
// Errors: ALREADY_EXISTS when the name is taken.
func InsertServiceAccount(ctx context.Context, tx pgx.Tx, a ServiceAccount) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO identity.service_accounts
		 (organization_id, service_account_id, name, name_key, description, disabled, home_region, created_at)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		a.Organization, a.ID, a.Name, a.NameKey(), a.Description, a.Disabled, a.HomeRegion, a.CreatedAt)
	if _, taken := sqldb.UniqueViolation(err); taken {
		return nameTaken("a service account")
	}
	if err != nil {
		return fmt.Errorf("insert service account: %w", err)
	}
	return nil
}

// UpdateServiceAccount writes what may change of a service account.
//
// Errors: ALREADY_EXISTS when the name is taken.
func UpdateServiceAccount(ctx context.Context, tx pgx.Tx, a ServiceAccount) error {
	_, err := tx.Exec(ctx,
		`UPDATE identity.service_accounts SET name = $3, name_key = $4, description = $5, disabled = $6
		 WHERE organization_id = $1 AND service_account_id = $2`,
		a.Organization, a.ID, a.Name, a.NameKey(), a.Description, a.Disabled)
	if _, taken := sqldb.UniqueViolation(err); taken {
		return nameTaken("a service account")
	}
	if err != nil {
		return fmt.Errorf("update service account: %w", err)
	}
	return nil
}

// DeleteServiceAccount removes the row of a service account.
func DeleteServiceAccount(ctx context.Context, tx pgx.Tx, organization, account string) error {
	_, err := tx.Exec(ctx,
		`DELETE FROM identity.service_accounts WHERE organization_id = $1 AND service_account_id = $2`, organization, account)
	if err != nil {
		return fmt.Errorf("delete service account: %w", err)
	}
	return nil
}

// DeleteServiceAccounts removes the rows of up to limit service accounts of an
// organization, and returns them in order.
func DeleteServiceAccounts(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]string, error) {
	accounts, err := texts(ctx, tx, "delete service accounts",
		`DELETE FROM identity.service_accounts WHERE organization_id = $1 AND service_account_id IN
		 (SELECT service_account_id FROM identity.service_accounts WHERE organization_id = $1 ORDER BY service_account_id LIMIT $2)
		 RETURNING service_account_id`, organization, limit)
	if err != nil || len(accounts) == 0 {
		return nil, err
	}
	slices.Sort(accounts)
	return accounts, countLess(ctx, tx, organization, ServiceAccounts, len(accounts))
}

// FindServiceAccount reads one service account of an organization by its primary
// key. What calls with a service account's token looks here whether it is disabled.
//
// Errors: NOT_FOUND.
func FindServiceAccount(ctx context.Context, q sqldb.Querier, organization, account string) (ServiceAccount, error) {
	a, err := scanServiceAccount(q.QueryRow(ctx,
		`SELECT `+serviceAccountColumns+` FROM identity.service_accounts
		 WHERE organization_id = $1 AND service_account_id = $2`, organization, account))
	if errors.Is(err, pgx.ErrNoRows) {
		return ServiceAccount{}, serviceaccount.NotFound()
	}
	return a, sqldb.Unavailable(err)
}

// ListServiceAccounts reads up to limit service accounts of an organization after
// a name key, by the index service_accounts_name.
func ListServiceAccounts(ctx context.Context, q sqldb.Querier, organization string, after []byte, limit int) ([]ServiceAccount, error) {
	rows, err := q.Query(ctx,
		`SELECT `+serviceAccountColumns+` FROM identity.service_accounts
		 WHERE organization_id = $1 AND name_key > $2 ORDER BY name_key LIMIT $3`,
		organization, notNull(after), limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ServiceAccount, error) { return scanServiceAccount(row) })
	return out, sqldb.Unavailable(err)
}

// MissingServiceAccounts returns those of the ids that are no service accounts of
// the organization.
func MissingServiceAccounts(ctx context.Context, q sqldb.Querier, organization string, ids []string) ([]string, error) {
	return missing(ctx, q, `SELECT service_account_id FROM identity.service_accounts
		WHERE organization_id = $1 AND service_account_id = ANY($2)`, organization, ids)
}

func scanServiceAccount(row pgx.Row) (ServiceAccount, error) {
	var a ServiceAccount
	err := row.Scan(&a.ID, &a.Organization, &a.Name, &a.Key, &a.Description, &a.Disabled, &a.HomeRegion, &a.CreatedAt)
	return a, err
}
