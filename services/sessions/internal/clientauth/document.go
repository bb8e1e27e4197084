package clientauth

import (
	"context"
	"errors"

	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// documented is a client that describes itself at the URL that is its id; the zero Client
// when there is none.
func (a *Authenticator) documented(ctx context.Context, url string) (store.Client, error) {
	row, err := a.Documents.Client(ctx, url)
	var refused *clientdoc.Refused
	if errors.As(err, &refused) {
		return store.Client{}, nil
	}
	return row, err
}
