package sqldb

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
