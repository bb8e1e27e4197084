package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Remove implements deletion.Removal: it revokes the invitations that wait.
func (s *Invitations) Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) ([]proto.Message, bool, error) {
	rows, err := store.ListInvitations(ctx, tx, organization, "", store.InvitationFilter{Status: invitation.Pending}, limit)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	var all []proto.Message
	for _, row := range rows {
		events, err := invitation.Revoke{}.Decide(row.State)
		if err != nil {
			return nil, false, err
		}
		if err := s.finishUncounted(ctx, tx, &row, events); err != nil {
			return nil, false, err
		}
		all = append(all, events...)
	}
	return all, len(rows) == limit, count(ctx, tx, organization, rows[0].HomeRegion, store.Invitations, -len(rows))
}
