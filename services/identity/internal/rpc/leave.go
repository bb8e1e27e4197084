package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
)

// leave takes a user out of what an organization keeps about its members, in the
// transaction that ends the membership. It returns the events that say so, which go
// before the one that ends the membership. The organization's log is locked.
func leave(context.Context, pgx.Tx, string, string) ([]proto.Message, error) { return nil, nil }
