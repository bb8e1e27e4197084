// Package project builds read models from the shared log: replicas in memory
// that follow single logs, and projections that keep rows.
//
// Events may arrive twice, late or not at all. A sequencer for each log drops
// repeats and notices gaps, gaps are filled from the events table, and every
// event must name the hash of its predecessor. So a read model applies each
// event exactly once, in order, or stops and says why.
package project

import "github.com/meridian-iam/meridian/pkg/sabotage"

// Verdict is what to do with an event that arrived.
type Verdict uint8

// The verdicts.
const (
	// Drop: it was applied before.
	Drop Verdict = iota
	// Apply: it is the next one.
	Apply
	// Gap: events before it are missing.
	Gap
)

// Judge compares the sequence of an event that arrived with that of the last one
// applied; 0 means that none was.
func Judge(last, incoming uint64) Verdict {
	switch {
	case incoming <= last:
		return Drop
	case incoming-last == 1 || sabotage.Off(sabotage.GapCheck):
		return Apply
	default:
		return Gap
	}
}
