package sqldb

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// fewestRegions is what SURVIVE REGION FAILURE needs.
const fewestRegions = 3

// regionColumn is where CockroachDB keeps a row of a REGIONAL BY ROW table.
const regionColumn = "crdb_region"

// rowTables have a column home_region: each row lives in that region.
func rowTables() []string {
	return []string{
		"log.logs", "log.events", "log.outbox", "log.idempotency", "log.relay_leases",
		"log.stream_fills", "log.user_keys", "log.moves",
		"identity.organizations", "identity.api_tokens", "identity.users", "identity.profiles", "identity.user_emails",
		"identity.search_words", "identity.memberships",
		"identity.groups", "identity.group_members", "identity.counts", "identity.service_accounts", "identity.domains",
		"identity.invitations",
		"identity.credentials", "identity.passkeys", "identity.authentications", "identity.ceremonies", "identity.throttles", "identity.links",
		"authz.assignments", "authz.relationships", "authz.roles",
		"sessions.clients", "sessions.client_secrets", "sessions.sessions", "sessions.grants", "sessions.consents", "sessions.requests",
		"sessions.used", "sessions.devices", "sessions.cutoffs", "sessions.themes", "sessions.parties", "sessions.logouts",
		"sessions.trusts", "sessions.client_blocks",
	}
}

// globalTables are small, seldom written and read everywhere.
func globalTables() []string {
	return []string{"authz.models", "authz.rollouts", "authz.rollouts_left", "identity.sources", "sessions.signing_keys"}
}

// ApplyLocalities declares where the rows of a CockroachDB of several regions
// live. It does nothing on PostgreSQL, on a single node, and on a cluster of
// fewer than three regions; SURVIVE REGION FAILURE needs three. Migrate calls it;
// calling it again changes nothing.
//
// The regions are those of the database (SHOW REGIONS FROM DATABASE) when an
// operator has added at least three; else those of the cluster, and the first by
// name becomes the primary region when there is none yet. The home regions of
// Meridian must have the names of the cluster's regions: a row with any other
// home region lives in the primary region. A region that joins later is not
// known to the computed columns made here and needs a migration of its own.
//
// The generation of the statements is tested. The statements have not been run
// against a CockroachDB of several regions by this project's own tests.
//
// Source: CockroachDB documentation, "Multi-Region Capabilities Overview",
// "ALTER TABLE ... SET LOCALITY".
func ApplyLocalities(ctx context.Context, db *DB, log *slog.Logger) error {
	if db.flavor != CockroachDB {
		return nil
	}
	conns, err := db.unhurried()
	if err != nil {
		return err
	}
	defer func() { _ = conns.Close() }() // nothing is pending
	present, err := db.placement(ctx)
	if err != nil {
		return Unavailable(fmt.Errorf("read localities: %w", err))
	}
	statements := present.statements()
	for _, statement := range statements {
		if _, err := conns.ExecContext(ctx, statement); err != nil {
			return Unavailable(fmt.Errorf("apply localities: %w", err))
		}
	}
	if len(statements) > 0 {
		log.InfoContext(ctx, "localities applied",
			slog.Int("statements", len(statements)), slog.Any("regions", present.wanted()))
	}
	return nil
}

// placement is what a database says about its regions.
type placement struct {
	database string
	// primary is the primary region; "" when the database has no regions.
	primary string
	// regions are those of the database, cluster those of the cluster.
	regions, cluster []string
	// placed are the tables ("log.events") that have their locality already.
	placed []string
}

func (db *DB) placement(ctx context.Context) (placement, error) {
	var p placement
	if err := db.pool.QueryRow(ctx, "SELECT current_database()").Scan(&p.database); err != nil {
		return p, err
	}
	var err error
	if p.cluster, err = db.texts(ctx, "SELECT region FROM [SHOW REGIONS FROM CLUSTER]"); err != nil {
		return p, err
	}
	if p.regions, err = db.texts(ctx, "SELECT region FROM [SHOW REGIONS FROM DATABASE]"); err != nil {
		return p, err
	}
	primary, err := db.texts(ctx, `SELECT region FROM [SHOW REGIONS FROM DATABASE] WHERE "primary"`)
	if err != nil {
		return p, err
	}
	if len(primary) > 0 {
		p.primary = primary[0]
	}
	p.placed, err = db.texts(ctx, `SELECT schema_name || '.' || table_name FROM [SHOW TABLES]
		WHERE locality LIKE 'REGIONAL BY ROW%' OR locality = 'GLOBAL'`)
	return p, err
}

func (db *DB) texts(ctx context.Context, query string) ([]string, error) {
	rows, err := db.pool.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// wanted returns the regions to use, sorted; none when there are too few.
func (p placement) wanted() []string {
	regions := p.regions
	if len(regions) < fewestRegions {
		regions = p.cluster
	}
	if len(regions) < fewestRegions {
		return nil
	}
	return slices.Sorted(slices.Values(regions))
}

// statements returns what is left to do, each safe to repeat.
func (p placement) statements() []string {
	regions := p.wanted()
	if regions == nil || len(p.unplaced(rowTables())) == 0 && len(p.unplaced(globalTables())) == 0 {
		return nil
	}
	primary := cmp.Or(p.primary, regions[0])
	all := p.databaseStatements(regions, primary)
	for _, table := range p.unplaced(rowTables()) {
		all = append(all,
			fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s crdb_internal_region NOT NULL AS (%s) STORED",
				table, regionColumn, regionOf(regions, primary)),
			fmt.Sprintf("ALTER TABLE %s SET LOCALITY REGIONAL BY ROW AS %s", table, regionColumn))
	}
	for _, table := range p.unplaced(globalTables()) {
		all = append(all, fmt.Sprintf("ALTER TABLE %s SET LOCALITY GLOBAL", table))
	}
	return all
}

func (p placement) databaseStatements(regions []string, primary string) []string {
	name := pgx.Identifier{p.database}.Sanitize()
	var all []string
	if p.primary == "" {
		all = append(all, fmt.Sprintf("ALTER DATABASE %s SET PRIMARY REGION %s", name, identifier(primary)))
	}
	for _, region := range regions {
		if region != primary && !slices.Contains(p.regions, region) {
			all = append(all, fmt.Sprintf("ALTER DATABASE %s ADD REGION IF NOT EXISTS %s", name, identifier(region)))
		}
	}
	return append(all, fmt.Sprintf("ALTER DATABASE %s SURVIVE REGION FAILURE", name))
}

func (p placement) unplaced(tables []string) []string {
	return slices.DeleteFunc(tables, func(table string) bool { return slices.Contains(p.placed, table) })
}

// regionOf computes a row's region from its home region. It is a CASE, since a
// cast from text to an enum is not immutable.
func regionOf(regions []string, primary string) string {
	var b strings.Builder
	b.WriteString("CASE home_region")
	for _, region := range regions {
		if region != primary {
			fmt.Fprintf(&b, " WHEN %s THEN %s", literal(region), literal(region))
		}
	}
	fmt.Fprintf(&b, " ELSE %s END", literal(primary))
	return b.String()
}

func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a text. A backslash means nothing in it, as in standard SQL.
func literal(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "\x00", ""), "'", "''") + "'"
}
