// Package authzcore decides: may this subject do this to this resource?
//
// A Model comes from files in the OpenFGA modelling language. A Graph holds the
// relationships of one organization; each change publishes an immutable View,
// and a View answers checks from memory, without locks and without allocation
// on the common shapes. The package knows no service, no database and no
// network, so that a product backend can embed it.
//
// How it is built: Compile turns every permission into an automaton whose
// states are sets of relations of one type, so that a check visits each object
// once (automaton.go, search.go). Objects and (object, relation) sets are
// numbers in paged, copy-on-write vectors (vector.go, graph.go). The groups of
// a subject are found once per check through reverse edges (groups.go).
package authzcore
