package rpc

import (
	"context"
	"fmt"
	"strings"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
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
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
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

// ListUserMemberships implements UserService.
func (s *Users) ListUserMemberships(
	ctx context.Context, req *identityv1.ListUserMembershipsRequest,
) (*identityv1.ListUserMembershipsResponse, error) {
	query := "memberships of " + req.GetUser()
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	if _, err := store.FindUser(ctx, s.DB.Pool(), req.GetUser()); err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), standardPage)
	rows, err := store.ListUserMemberships(ctx, s.DB.Pool(), req.GetUser(), after, size)
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListUserMembershipsResponse{}
	if out.Memberships, err = userMemberships(ctx, s.DB.Pool(), rows); err != nil {
		return nil, err
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, rows[size-1].Organization)
	}
	return out, nil
}

// userMemberships are memberships of one user with the names of the organizations.
func userMemberships(ctx context.Context, q sqldb.Querier, rows []store.Membership) ([]*identityv1.UserMembership, error) {
	organizations := make([]string, len(rows))
	for i, m := range rows {
		organizations[i] = m.Organization
	}
	found, err := store.FindOrganizations(ctx, q, organizations)
	if err != nil {
		return nil, err
	}
	out := make([]*identityv1.UserMembership, len(rows))
	for i, m := range rows {
		o := found[m.Organization]
		out[i] = &identityv1.UserMembership{
			Organization: m.Organization, Slug: o.Slug, Name: o.Name, Role: roleName(m.Role), State: stateName(m.Status),
		}
	}
	return out, nil
}

func roleName(r eventv1.MembershipRole) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "MEMBERSHIP_ROLE_"))
}

func stateName(s membership.Status) string {
	return strings.ToLower(strings.TrimPrefix(identityv1.MembershipState(s).String(), "MEMBERSHIP_STATE_"))
}

// everybody is the scope of searches among all users.
const everybody = ""
