package deletion

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/services/identity/internal/domain/serviceaccount"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// ServiceAccounts removes service accounts. It goes after Tokens and Groups, which
// take from them what they have.
type ServiceAccounts struct{}

// Remove implements Removal.
func (ServiceAccounts) Remove(
	ctx context.Context, tx pgx.Tx, organization string, limit int,
) (events []proto.Message, more bool, err error) {
	accounts, err := store.DeleteServiceAccounts(ctx, tx, organization, limit)
	if err != nil {
		return nil, false, err
	}
	for _, account := range accounts {
		events = append(events, serviceaccount.Deleted(organization, account))
	}
	return events, len(accounts) == limit, nil
}
