package legacy

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Hook asks a user's sources at sign-in.
type Hook struct {
	DB *sqldb.DB
	// Blind is what secrets are derived from. Without it no source is asked.
	Blind   blind.Key
	Checker *Checker
}

// Verify returns the name of a source that says the password is the user's, or "":
// each says it is not, or none is to be asked. It is for a user without a password
// here. email is the user's address as it is stored.
//
// Sources are asked one after the other, in the order in which the user was linked,
// until one accepts; all together within Limit. What they are, and whether they are
// to be asked, is read in this call. Nothing is written: whoever sets the password
// then calls store.MarkMigrated in the same transaction.
//
// Errors: SERVICE_UNAVAILABLE when none accepted and one gave no verdict;
// DATABASE_UNAVAILABLE.
func (h *Hook) Verify(ctx context.Context, userID, email string, password secret.String) (source string, err error) {
	if h.Blind.IsZero() {
		return "", nil
	}
	waiting, err := store.ListWaiting(ctx, h.DB.Pool(), userID)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, Limit, errSlow)
	defer cancel()
	var unknown error
	for _, w := range waiting {
		verdict, err := h.Checker.Check(ctx,
			Source{Name: w.Name, URL: w.CheckerURL, Secrets: Secrets(h.Blind, w.Name, w.Secrets)}, w.ExternalID, email, password)
		switch {
		case err != nil:
			unknown = err
		case verdict == Accepted:
			return w.Name, nil
		}
	}
	return "", unknown
}
