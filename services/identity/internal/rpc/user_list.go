package rpc

import (
	"context"
	"fmt"

	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// ListUsers implements UserService.
func (s *Users) ListUsers(ctx context.Context, req *identityv1.ListUsersRequest) (*identityv1.ListUsersResponse, error) {
	query := fmt.Sprintf("users %d %q", req.GetState(), req.GetSearch())
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := fresh(ctx, s.Log, s.DB.Pool(), req.GetAtLeast()); err != nil {
		return nil, err
	}
	users, next, err := s.list(ctx, req, after, page.Size(req.GetPageSize(), standardPage))
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListUsersResponse{}
	for _, u := range users {
		out.Users = append(out.Users, userMessage(u))
	}
	if next != "" {
		out.NextCursor = page.Cursor(query, next)
	}
	return out, nil
}

// list returns a page of users after a position, and the position to go on from.
func (s *Users) list(ctx context.Context, req *identityv1.ListUsersRequest, after string, size int) (users []store.User, next string, err error) {
	status := user.Status(req.GetState())
	if req.GetSearch() != "" {
		return search(ctx, s.DB.Pool(), everybody, req.GetSearch(), after, size,
			func(ctx context.Context, q sqldb.Querier, ids []string) (map[string]store.User, error) {
				found, err := store.FindUsers(ctx, q, ids)
				for id, u := range found {
					if status != 0 && u.Status != status {
						delete(found, id)
					}
				}
				return found, err
			})
	}
	users, err = store.ListUsers(ctx, s.DB.Pool(), status, after, size)
	if len(users) == size {
		next = users[size-1].ID
	}
	return users, next, err
}

// everybody is the scope of searches among all users.
const everybody = ""
