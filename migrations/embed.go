// Package migrations holds the SQL of every schema.
package migrations

import "embed"

// Base is valid on CockroachDB and on PostgreSQL. One folder for each schema,
// applied in the order of Schemas.
//
//go:embed log identity authz sessions
var Base embed.FS

// Cockroach is applied after Base, on CockroachDB only: what needs no knowledge
// of the cluster, such as row TTL. Localities and the survival goal depend on
// the cluster's regions and are made by sqldb.ApplyLocalities.
//
//go:embed overlay/cockroach
var Cockroach embed.FS

// CockroachDir is the folder of Cockroach that holds its files.
const CockroachDir = "overlay/cockroach"

// Schemas are the folders of Base in the order in which they are applied.
func Schemas() []string { return []string{"log", "identity", "authz", "sessions"} }
