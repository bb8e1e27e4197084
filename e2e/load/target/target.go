// Package target adapts authorization services to one interface, so that the
// same driver loads, asks and times each of them.
package target

import (
	"context"
	"fmt"
	"strings"

	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// Freshness is what an answer may miss.
type Freshness struct {
	// Strong answers see every earlier write: fully_consistent, or
	// HIGHER_CONSISTENCY.
	Strong bool
	// Token is what a write returned; the answer sees that write. It wins over
	// Strong.
	Token string
}

// Target is a service under test. Place, Load and what asks may be called
// concurrently.
type Target interface {
	// Open makes a place ready, which has a model and no relationships. A place
	// is an organization of the work set, or "" for all of them.
	Open(ctx context.Context, place string) error
	// Load writes relationships of a place and returns how many are new.
	Load(ctx context.Context, place string, tuples []workset.Tuple) (created uint64, err error)
	// Settle ends the load: answers see it from now on, and Restore knows where
	// it went.
	Settle(ctx context.Context) error
	// Restore finds what an earlier load made.
	Restore(ctx context.Context) error
	// Place is the place of an object.
	Place(o workset.Object) string

	// Check asks one question.
	Check(ctx context.Context, q workset.Check, f Freshness) (bool, error)
	// Batch asks questions of one place in one call.
	Batch(ctx context.Context, questions []workset.Check, f Freshness) ([]bool, error)
	// List returns the ids of the objects, all of them: a list that the service
	// cut short is an error.
	List(ctx context.Context, l workset.List, f Freshness) ([]string, error)
	// Change makes one relationship present or absent and returns a token, or ""
	// where there are none.
	Change(ctx context.Context, t workset.Tuple, present bool) (token string, err error)

	// Close ends the connections.
	Close()
}

// placeOf is the organization of the work set that an id begins with: o3 of
// o3-s1-d0.
func placeOf(o workset.Object) string {
	place, _, _ := strings.Cut(o.ID, "-")
	return place
}

// idOf is the id of type:id, which must be of the type.
func idOf(text, kind string) (string, error) {
	if n := len(kind); len(text) > n && text[n] == ':' && text[:n] == kind {
		return text[n+1:], nil
	}
	return "", fmt.Errorf("listed %q: must be a %s", text, kind)
}
