package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// leave takes a user out of what an organization keeps about its members, in the
// transaction that ends the membership. It returns the events that say so, which go
// before the one that ends the membership. The organization's log is locked.
func leave(ctx context.Context, tx pgx.Tx, organization, user string) ([]proto.Message, error) {
	return store.LeaveGroups(ctx, tx, organization, user)
}
