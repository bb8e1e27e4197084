// Package party remembers whom a request was found to be of, for the record of what is
// refused. It proves nothing: who a request says it is of may not have sent it.
package party

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/id"
)

// Party is a client or trust that there is. The zero Party: none was found.
type Party struct {
	// ID of the client or trust; a URL for a client that nobody registered.
	ID string
	// Organization that it belongs to; "": the platform, or nobody.
	Organization string
}

// Registered says whether who may has registered it. Of others anybody can make as many
// as they like.
func (p Party) Registered() bool { return id.Valid(id.Client, p.ID) || id.Valid(id.Trust, p.ID) }

type key struct{}

// Remember returns a context in which Found is remembered.
func Remember(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, &Party{}) }

// Found says whom the request was found to be of. A context that does not remember, and
// the zero Party, change nothing.
func Found(ctx context.Context, p Party) {
	if kept, ok := ctx.Value(key{}).(*Party); ok && p.ID != "" {
		*kept = p
	}
}

// Of is whom the request was found to be of last.
func Of(ctx context.Context) Party {
	if kept, ok := ctx.Value(key{}).(*Party); ok {
		return *kept
	}
	return Party{}
}
