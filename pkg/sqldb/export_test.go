package sqldb

import "time"

// AsCockroach returns the same connections, used as if a CockroachDB were behind
// them. Without contention PostgreSQL understands what ExecuteTx sends, so its
// errors can be made for real here.
func (db *DB) AsCockroach() *DB {
	other := *db
	other.flavor = CockroachDB
	return &other
}

// RowTables are the tables that ApplyLocalities declares REGIONAL BY ROW.
func RowTables() []string { return rowTables() }

// BetterSample says whether a sample of the clock replaces one that says start,
// taken at start: when it came, what the database said, and how far off it may be.
func BetterSample(start time.Time, oldWithin, local, database, within time.Duration) bool {
	old := sample{database: start, local: start, within: oldWithin}
	return sample{database: start.Add(database), local: start.Add(local), within: within}.betterThan(old)
}
