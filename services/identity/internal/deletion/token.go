package deletion

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Tokens revokes an organization's API tokens. Their rows stay, as those of all
// revoked tokens do.
type Tokens struct{ Clock func() time.Time }

// Remove implements Removal.
func (t Tokens) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]proto.Message, bool, error) {
	revoked, err := store.RevokeTokensOf(ctx, tx, organization, limit, t.Clock())
	if err != nil {
		return nil, false, err
	}
	var events []proto.Message
	for _, token := range revoked {
		events = append(events, &eventv1.ApiTokenRevoked{Token: token})
	}
	return events, len(revoked) == limit, nil
}
