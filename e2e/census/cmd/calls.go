package main

import (
	"context"
	"fmt"

	"github.com/meridian-iam/meridian/e2e/census"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// items says whether an answer has as many items as it must.
func items(err error, got, want int) error {
	if err == nil && got != want {
		return fmt.Errorf("the answer has %d items, not %d", got, want)
	}
	return err
}

// fresh is the nth user that was made for this step.
func (m *measurer) fresh(n int) user { return m.users[m.freshUser+n%(len(m.users)-m.freshUser)] }

// freshOrganization is the nth organization that was made for this step.
func (m *measurer) freshOrganization(n int) string {
	return m.organizations[m.freshOrg+n%(len(m.organizations)-m.freshOrg)]
}

// listUsers lists one page, which must have so many users.
func (m *measurer) listUsers(name string, want int, request func(n int) *identityv1.ListUsersRequest) call {
	return call{name: name, do: func(ctx context.Context, n int) error {
		answer, err := m.d.client.Users.ListUsers(ctx, request(n))
		return items(err, len(answer.GetUsers()), want)
	}}
}

func (m *measurer) userCalls() []call {
	users := m.d.client.Users
	return []call{
		{name: "CreateUser", do: func(ctx context.Context, _ int) error {
			_, err := m.user(ctx)
			m.extraUsers++
			return err
		}},
		{name: "GetUser", do: func(ctx context.Context, n int) error {
			_, err := users.GetUser(ctx, &identityv1.GetUserRequest{User: spread(m.p.users, n)})
			return err
		}},
		{name: "FindUser by address", do: func(ctx context.Context, n int) error {
			answer, err := users.FindUser(ctx, &identityv1.FindUserRequest{Email: spread(m.users, n).email})
			if err == nil && answer.GetUser().GetId() != spread(m.users, n).id {
				return fmt.Errorf("found %s", answer.GetUser().GetId())
			}
			return err
		}},
		m.listUsers("ListUsers, first page", pageSize, func(int) *identityv1.ListUsersRequest { return &identityv1.ListUsersRequest{} }),
		m.listUsers("ListUsers, a page in the middle", pageSize, func(n int) *identityv1.ListUsersRequest {
			return &identityv1.ListUsersRequest{Cursor: spread(m.userCursors, n)}
		}),
		m.listUsers("ListUsers, the last page", pageSize, func(int) *identityv1.ListUsersRequest { return &identityv1.ListUsersRequest{Cursor: m.userTail} }),
		m.listUsers("ListUsers, a word that one user has", 1, func(n int) *identityv1.ListUsersRequest {
			return &identityv1.ListUsersRequest{Search: spread(m.users, n).word}
		}),
		m.listUsers("ListUsers, a word of every eighth", pageSize, func(int) *identityv1.ListUsersRequest {
			return &identityv1.ListUsersRequest{Search: census.Common}
		}),
		m.listUsers("ListUsers, both of them", 1, func(n int) *identityv1.ListUsersRequest {
			return &identityv1.ListUsersRequest{Search: census.Common + " " + spread(m.users, n).word}
		}),
		m.listUsers("ListUsers, a word of every eighth with one that nobody has", 0, func(int) *identityv1.ListUsersRequest {
			return &identityv1.ListUsersRequest{Search: census.Common + " " + census.Nobody}
		}),
		{name: "ListUserMemberships", do: func(ctx context.Context, n int) error {
			answer, err := users.ListUserMemberships(ctx, &identityv1.ListUserMembershipsRequest{User: spread(m.p.users, n)})
			if err == nil && len(answer.GetMemberships()) == 0 {
				return fmt.Errorf("%s is in no organization", spread(m.p.users, n))
			}
			return err
		}},
	}
}

// listMembers lists a page of the large organization, which must have so many.
func (m *measurer) listMembers(name string, want int, request func(n int) *identityv1.ListMembersRequest) call {
	return call{name: name, do: func(ctx context.Context, n int) error {
		r := request(n)
		r.Organization = m.p.large
		answer, err := m.d.client.Memberships.ListMembers(ctx, r)
		return items(err, len(answer.GetMemberships()), want)
	}}
}

func (m *measurer) memberCalls() []call {
	members := m.d.client.Memberships
	add := func(name string, to func(n int) string) call {
		return call{name: name, do: func(ctx context.Context, n int) error {
			_, err := members.AddMember(ctx, &identityv1.AddMemberRequest{
				Organization: to(n), User: m.fresh(n).id, Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER, IdempotencyKey: m.key(),
			})
			return err
		}}
	}
	large := add("AddMember, to 10 000", func(int) string {
		m.joined++
		return m.p.large
	})
	return []call{
		add("AddMember, to none", m.freshOrganization), large,
		{name: "ListMembers, all of about 10", do: func(ctx context.Context, n int) error {
			answer, err := members.ListMembers(ctx, &identityv1.ListMembersRequest{Organization: spread(m.p.organizations, n)})
			return items(err, len(answer.GetMemberships()), spread(m.p.members, n))
		}},
		m.listMembers("ListMembers, first page of 10 000", pageSize, func(int) *identityv1.ListMembersRequest { return &identityv1.ListMembersRequest{} }),
		m.listMembers("ListMembers, a page in the middle of 10 000", pageSize, func(n int) *identityv1.ListMembersRequest {
			return &identityv1.ListMembersRequest{Cursor: spread(m.memberCursors, n)}
		}),
		m.listMembers("ListMembers, a word that one of 10 000 has", 1, func(n int) *identityv1.ListMembersRequest {
			return &identityv1.ListMembersRequest{Search: m.users[n%m.joined].word}
		}),
		m.listMembers("ListMembers, a word of every eighth of 10 000", pageSize, func(int) *identityv1.ListMembersRequest {
			return &identityv1.ListMembersRequest{Search: census.Common}
		}),
		m.listMembers("ListMembers, an address in 10 000", 1, func(n int) *identityv1.ListMembersRequest {
			return &identityv1.ListMembersRequest{Search: m.users[n%m.joined].email}
		}),
		{name: "ListGroups", do: func(ctx context.Context, n int) error {
			answer, err := m.d.client.Groups.ListGroups(ctx, &identityv1.ListGroupsRequest{Organization: spread(m.p.organizations, n)})
			return items(err, len(answer.GetGroups()), groupsEach)
		}},
	}
}

func (m *measurer) organizationCalls() []call {
	list := func(name string, want int, request func(n int) *identityv1.ListOrganizationsRequest) call {
		return call{name: name, do: func(ctx context.Context, n int) error {
			answer, err := m.d.client.Organizations.ListOrganizations(ctx, request(n))
			return items(err, len(answer.GetOrganizations()), want)
		}}
	}
	return []call{
		{name: "CreateOrganization", do: func(ctx context.Context, _ int) error {
			_, err := m.organization(ctx, "more")
			m.extraOrganizations++
			return err
		}},
		list("ListOrganizations, first page", pageSize, func(int) *identityv1.ListOrganizationsRequest { return &identityv1.ListOrganizationsRequest{} }),
		list("ListOrganizations, a page in the middle", pageSize, func(n int) *identityv1.ListOrganizationsRequest {
			return &identityv1.ListOrganizationsRequest{Cursor: spread(m.organizationCursors, n)}
		}),
		list("ListOrganizations, slugs of ten", 10, func(n int) *identityv1.ListOrganizationsRequest {
			slug := census.Slug(n * 7919 % len(m.p.organizations))
			return &identityv1.ListOrganizationsRequest{Search: slug[:len(slug)-1]}
		}),
		{name: "CreateInvitation, without a letter", do: func(ctx context.Context, n int) error {
			_, err := m.d.client.Invitations.CreateInvitation(ctx, &identityv1.CreateInvitationRequest{
				Organization: m.freshOrganization(n), Email: fmt.Sprintf("guest.%d@census.example", m.made.Add(1)),
				Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER, WithoutLetter: true, IdempotencyKey: m.key(),
			})
			return err
		}},
	}
}

// browser is one in a network of its own, so that nobody has to wait for what
// others did.
func browser(n int) *identityv1.Client {
	return &identityv1.Client{Ip: fmt.Sprintf("10.%d.%d.7", n>>8&255, n&255)}
}

func (m *measurer) start(ctx context.Context, n int, email string) (*identityv1.StartAuthenticationResponse, error) {
	return m.d.client.Authentications.StartAuthentication(ctx, &identityv1.StartAuthenticationRequest{
		Purpose: identityv1.Purpose_PURPOSE_SIGN_IN, Email: email, Client: browser(n), IdempotencyKey: m.key(),
	})
}

func (m *measurer) signInCalls() []call {
	proof := func(ctx context.Context, n int, email string) error {
		begun, err := m.start(ctx, n, email)
		if err != nil {
			return err
		}
		_, err = m.d.client.Authentications.ContinueAuthentication(ctx, &identityv1.ContinueAuthenticationRequest{
			Authentication: begun.GetAuthentication().GetId(), Secret: begun.GetSecret(), Client: browser(n), IdempotencyKey: m.key(),
			Proof: &identityv1.ContinueAuthenticationRequest_Password{Password: password},
		})
		return err
	}
	return []call{
		{name: "StartAuthentication", do: func(ctx context.Context, n int) error {
			_, err := m.start(ctx, m.step<<13+n, spread(m.users, n).email)
			return err
		}},
		{name: "Start and Continue, the right password", slow: true, do: func(ctx context.Context, n int) error {
			return proof(ctx, m.step<<13+4096+n, m.fresh(n%signers).email)
		}},
		{name: "Start and Continue, an address that nobody has", slow: true, do: func(ctx context.Context, n int) error {
			err := proof(ctx, m.step<<13+6144+n, fmt.Sprintf("nobody.%d@census.example", m.made.Add(1)))
			if meridian.Is(err, commonv1.Reason_AUTHENTICATION_REJECTED) {
				return nil
			}
			return fmt.Errorf("not rejected: %w", err)
		}},
	}
}
