package rpc

import (
	"context"
	"fmt"
	"strings"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// ListMembers implements MembershipService.
func (s *Memberships) ListMembers(ctx context.Context, req *identityv1.ListMembersRequest) (*identityv1.ListMembersResponse, error) {
	query := fmt.Sprintf("members %s %d %d %d %q", req.GetOrganization(), req.GetRole(), req.GetState(), req.GetSource(), req.GetSearch())
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	organization, err := store.FindOrganization(ctx, s.DB.Pool(), req.GetOrganization())
	if err != nil {
		return nil, err
	}
	var (
		rows []store.Membership
		next string
		size = page.Size(req.GetPageSize(), standardPage)
	)
	switch {
	case strings.Contains(req.GetSearch(), "@"):
		rows, err = s.byEmail(ctx, organization, req)
	case req.GetSearch() != "":
		rows, next, err = s.byName(ctx, req, after, size)
	default:
		rows, next, err = scan(after, size, func(after string, limit int) ([]store.Membership, error) {
			return store.ListMembers(ctx, s.DB.Pool(), req.GetOrganization(), after, limit)
		}, func(m store.Membership) string { return m.User }, func(m store.Membership) bool { return wanted(m, req) })
	}
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListMembersResponse{}
	if out.Memberships, err = s.messages(ctx, rows); err != nil {
		return nil, err
	}
	if next != "" {
		out.NextCursor = page.Cursor(query, next)
	}
	return out, nil
}

// wanted says whether a list's filters let a membership pass.
func wanted(m store.Membership, req *identityv1.ListMembersRequest) bool {
	return (req.GetRole() == 0 || identityv1.MembershipRole(m.Role) == req.GetRole()) &&
		(req.GetState() == 0 || identityv1.MembershipState(m.Status) == req.GetState()) &&
		(req.GetSource() == 0 || identityv1.MembershipSource(m.Source) == req.GetSource())
}

// byName finds members by the beginnings of words of their names.
func (s *Memberships) byName(
	ctx context.Context, req *identityv1.ListMembersRequest, after string, size int,
) ([]store.Membership, string, error) {
	return search(ctx, s.DB.Pool(), req.GetOrganization(), req.GetSearch(), after, size,
		func(ctx context.Context, q sqldb.Querier, users []string) (map[string]store.Membership, error) {
			found, err := store.FindMembers(ctx, q, req.GetOrganization(), users)
			for user, m := range found {
				if !wanted(m, req) {
					delete(found, user)
				}
			}
			return found, err
		})
}

// byEmail finds the member who has an address.
func (s *Memberships) byEmail(
	ctx context.Context, organization store.Organization, req *identityv1.ListMembersRequest,
) ([]store.Membership, error) {
	email, err := address.Parse(req.GetSearch())
	if err != nil {
		return nil, fault.Field("search", "email", "is neither words of a name nor a whole email address")
	}
	realm := realmOf(organization)
	index, err := indexOf(s.Blind, realm, email)
	if err != nil {
		return nil, err
	}
	found, err := store.FindUserByEmail(ctx, s.DB.Pool(), realm, index)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	row, err := store.FindMembership(ctx, s.DB.Pool(), req.GetOrganization(), found)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return nil, nil
	case err != nil:
		return nil, err
	case !wanted(row, req):
		return nil, nil
	}
	return []store.Membership{row}, nil
}

// messages are memberships with the profiles of their users.
func (s *Memberships) messages(ctx context.Context, rows []store.Membership) ([]*identityv1.Membership, error) {
	users := make([]string, len(rows))
	for i, m := range rows {
		users[i] = m.User
	}
	people, err := store.FindUsers(ctx, s.DB.Pool(), users)
	if err != nil {
		return nil, err
	}
	out := make([]*identityv1.Membership, len(rows))
	for i, m := range rows {
		out[i] = membershipMessage(m, people[m.User].Profile)
	}
	return out, nil
}
