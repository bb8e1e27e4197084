package deletion

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Domains gives an organization's email domains up.
type Domains struct{}

// Remove implements Removal.
func (Domains) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]proto.Message, bool, error) {
	deleted, err := store.DeleteDomainsOf(ctx, tx, organization, limit)
	if err != nil {
		return nil, false, err
	}
	if len(deleted) > 0 {
		owner, err := store.FindOrganization(ctx, tx, organization)
		if err != nil {
			return nil, false, err
		}
		if _, err := store.Count(ctx, tx, organization, owner.HomeRegion, store.Domains, -len(deleted)); err != nil {
			return nil, false, err
		}
	}
	var events []proto.Message
	for _, domain := range deleted {
		events = append(events, &eventv1.DomainRemoved{Domain: domain})
	}
	return events, len(deleted) == limit, nil
}
