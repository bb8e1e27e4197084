package clientauth

import (
	"context"
	"errors"

	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// documented is a client that describes itself at the URL that is its id; the zero Client
// when there is none.
func (a *Authenticator) documented(ctx context.Context, url string) (store.Client, error) {
	if a.Documents == nil || !client.IsDocument(url) {
		return store.Client{}, nil
	}
	if blocked, err := store.Blocked(ctx, a.DB.Pool(), url); err != nil || blocked {
		return store.Client{}, err
	}
	row, err := a.Documents.Client(ctx, url)
	if _, refused := errors.AsType[*clientdoc.Error](err); refused {
		return store.Client{}, nil
	}
	return row, err
}
