package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/emaildomain"
)

// Domain is a row of identity.domains.
type Domain struct {
	emaildomain.State
	HomeRegion string
	CreatedAt  time.Time
	// CheckedAt is when the record was last looked for with an answer; nil: never.
	CheckedAt *time.Time
	// CheckAt is when it is to be looked for next, once the domain is verified.
	CheckAt time.Time
	// Misses is how often in a row it was not there.
	Misses int32
}

const domainColumns = `organization_id, domain_id, home_region, name, challenge, state, created_at, checked_at, check_at, misses`

// InsertDomain writes a new domain.
//
// Errors: ALREADY_EXISTS when the organization has one with the name.
func InsertDomain(ctx context.Context, tx pgx.Tx, d Domain) error {
	_, err := tx.Exec(ctx, `INSERT INTO identity.domains (`+domainColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		d.Organization, d.ID, d.HomeRegion, d.Name, d.Challenge, int16(d.Status), d.CreatedAt, d.CheckedAt, d.CheckAt, d.Misses)
	if _, taken := sqldb.UniqueViolation(err); taken {
		return emaildomain.Exists()
	}
	if err != nil {
		return fmt.Errorf("insert domain: %w", err)
	}
	return nil
}

// UpdateDomain writes what changes in the life of a domain: status and checks.
func UpdateDomain(ctx context.Context, tx pgx.Tx, d Domain) error {
	_, err := tx.Exec(ctx,
		`UPDATE identity.domains SET state = $3, checked_at = $4, check_at = $5, misses = $6 WHERE organization_id = $1 AND domain_id = $2`,
		d.Organization, d.ID, int16(d.Status), d.CheckedAt, d.CheckAt, d.Misses)
	if err != nil {
		return fmt.Errorf("update domain: %w", err)
	}
	return nil
}

// MarkDomainChecked writes that the record was looked for, which is no state.
func MarkDomainChecked(ctx context.Context, q sqldb.Querier, organization, domain string, at time.Time) error {
	_, err := q.Exec(ctx, `UPDATE identity.domains SET checked_at = $3 WHERE organization_id = $1 AND domain_id = $2`, organization, domain, at)
	return sqldb.Unavailable(err)
}

// DeleteDomain removes a domain.
func DeleteDomain(ctx context.Context, tx pgx.Tx, organization, domain string) error {
	_, err := tx.Exec(ctx, `DELETE FROM identity.domains WHERE organization_id = $1 AND domain_id = $2`, organization, domain)
	if err != nil {
		return fmt.Errorf("delete domain: %w", err)
	}
	return nil
}

// DeleteDomainsOf removes up to limit domains of an organization and returns which,
// by the primary key.
func DeleteDomainsOf(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]string, error) {
	rows, err := tx.Query(ctx,
		`DELETE FROM identity.domains WHERE organization_id = $1 AND domain_id IN (
		   SELECT domain_id FROM identity.domains WHERE organization_id = $1 ORDER BY domain_id LIMIT $2)
		 RETURNING domain_id`, organization, limit)
	if err != nil {
		return nil, fmt.Errorf("delete domains: %w", err)
	}
	deleted, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("delete domains: %w", err)
	}
	return deleted, nil
}

// FindDomain reads one domain of an organization by the primary key.
//
// Errors: NOT_FOUND, also for a domain of another organization.
func FindDomain(ctx context.Context, q sqldb.Querier, organization, domain string) (Domain, error) {
	d, err := scanDomain(q.QueryRow(ctx,
		`SELECT `+domainColumns+` FROM identity.domains WHERE organization_id = $1 AND domain_id = $2`, organization, domain))
	if errors.Is(err, pgx.ErrNoRows) {
		return Domain{}, emaildomain.NotFound()
	}
	return d, sqldb.Unavailable(err)
}

// ListDomains reads up to limit domains of an organization after a name, by the
// index domains_name.
func ListDomains(ctx context.Context, q sqldb.Querier, organization, after string, limit int) ([]Domain, error) {
	return domains(q.Query(ctx,
		`SELECT `+domainColumns+` FROM identity.domains WHERE organization_id = $1 AND name > $2 ORDER BY name LIMIT $3`,
		organization, after, limit))
}

// FindProven returns up to limit active organizations that proved a domain, by slug,
// by the index domains_verified.
func FindProven(ctx context.Context, q sqldb.Querier, name string, limit int) ([]Organization, error) {
	rows, err := q.Query(ctx,
		`SELECT `+organizationColumns+` FROM identity.organizations WHERE state = 1 AND organization_id IN (
		   SELECT organization_id FROM identity.domains WHERE name = $1 AND state = 2)
		 ORDER BY slug LIMIT $2`, name, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Organization, error) { return scanOrganization(row) })
	return out, sqldb.Unavailable(err)
}

// ClaimDomains returns up to limit verified domains of a home region whose check is
// due, the longest due first, and puts their next check off, so that nobody else
// looks for the same ones meanwhile, by the index domains_check_at.
func ClaimDomains(ctx context.Context, q sqldb.Querier, homeRegion string, at, putOff time.Time, limit int) ([]Domain, error) {
	return domains(q.Query(ctx,
		`UPDATE identity.domains SET check_at = $3 WHERE (organization_id, domain_id) IN (
		   SELECT organization_id, domain_id FROM identity.domains
		   WHERE home_region = $1 AND state = 2 AND check_at <= $2 ORDER BY check_at LIMIT $4 FOR UPDATE SKIP LOCKED)
		 RETURNING `+domainColumns, homeRegion, at, putOff, limit))
}

// SettleClaim writes what a check of a claimed domain came to, unless the domain was
// checked otherwise or removed meanwhile; it is no state.
func SettleClaim(ctx context.Context, q sqldb.Querier, d, after Domain) error {
	_, err := q.Exec(ctx,
		`UPDATE identity.domains SET checked_at = $4, check_at = $5, misses = $6
		 WHERE organization_id = $1 AND domain_id = $2 AND check_at = $3`,
		d.Organization, d.ID, d.CheckAt, after.CheckedAt, after.CheckAt, after.Misses)
	return sqldb.Unavailable(err)
}

func domains(rows pgx.Rows, err error) ([]Domain, error) {
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Domain, error) { return scanDomain(row) })
	return out, sqldb.Unavailable(err)
}

func scanDomain(row pgx.Row) (Domain, error) {
	var (
		d     Domain
		state int16
	)
	err := row.Scan(&d.Organization, &d.ID, &d.HomeRegion, &d.Name, &d.Challenge, &state, &d.CreatedAt, &d.CheckedAt, &d.CheckAt, &d.Misses)
	d.Status = emaildomain.Status(state)
	return d, err
}
