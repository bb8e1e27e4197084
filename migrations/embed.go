// Package migrations holds the SQL of every schema.
package migrations

import "embed"

// Base is valid on CockroachDB and on PostgreSQL. One folder for each schema.
//
//go:embed log identity authz
var Base embed.FS

// Cockroach is applied after Base, on CockroachDB only: localities, row TTL
// and the survival goal.
//
//go:embed overlay/cockroach
var Cockroach embed.FS
