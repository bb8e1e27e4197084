package dev

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/demo"
)

// people makes the demo users, who are members of the organizations, or finds
// them; then the groups and the service account of the first organization. It
// returns the ids of the groups by their names.
//
// What somebody has changed since is left: a user who was erased, an organization
// that is suspended, a member who was removed within the last 24 hours.
func people(ctx context.Context, client *meridian.Client, organizations map[string]string) (map[string]string, error) {
	all := demo.People()
	users := make([]string, len(all))
	group, parallel := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, p := range all {
		group.Go(func() (err error) {
			users[i], err = person(parallel, client, p, organizations)
			if err != nil {
				return fmt.Errorf("%s: %w", p.Email, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for i, p := range all {
		ids[p.Email] = users[i]
	}
	return groups(ctx, client, organizations[demo.Slug], ids)
}

// changed says whether a call failed for what somebody did with the demo data.
func changed(err error) bool {
	for _, reason := range []commonv1.Reason{
		commonv1.Reason_NOT_FOUND, commonv1.Reason_ORGANIZATION_STATE, commonv1.Reason_USER_ERASED, commonv1.Reason_USER_SUSPENDED,
		commonv1.Reason_LIMIT_REACHED, commonv1.Reason_GROUP_CYCLE, commonv1.Reason_GROUP_TOO_DEEP,
	} {
		if meridian.Is(err, reason) {
			return true
		}
	}
	return false
}

// person makes a user with memberships, or finds the user.
func person(ctx context.Context, client *meridian.Client, p demo.Person, organizations map[string]string) (string, error) {
	created, err := client.Users.CreateUser(ctx, &identityv1.CreateUserRequest{
		Email: p.Email, EmailVerified: true, Name: p.Name, Locale: p.Locale, IdempotencyKey: "demo-user-" + p.Email,
	})
	user := created.GetUser().GetId()
	if meridian.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		var found *identityv1.FindUserResponse
		found, err = client.Users.FindUser(ctx, &identityv1.FindUserRequest{Email: p.Email})
		user = found.GetUser().GetId()
	}
	if err != nil {
		return "", fmt.Errorf("create user: %w", err)
	}
	for _, slug := range p.In {
		if organizations[slug] == "" {
			continue
		}
		role := identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER
		if p.Admin == slug {
			role = identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN
		}
		_, err := client.Memberships.AddMember(ctx, &identityv1.AddMemberRequest{
			Organization: organizations[slug], User: user, Role: role, IdempotencyKey: "demo-member-" + slug + "-" + p.Email,
		})
		if err != nil && !changed(err) && !meridian.Is(err, commonv1.Reason_ALREADY_EXISTS) {
			return "", fmt.Errorf("add member of %s: %w", slug, err)
		}
	}
	return user, nil
}

// groups makes the groups of an organization and its service account, or finds
// them.
func groups(ctx context.Context, client *meridian.Client, organization string, ids map[string]string) (map[string]string, error) {
	account, err := serviceAccount(ctx, client, organization)
	if err != nil {
		return nil, fmt.Errorf("service account: %w", err)
	}
	ids[demo.ServiceAccount] = account
	made := map[string]string{}
	for _, g := range demo.Groups() {
		id, err := namedGroup(ctx, client, organization, g)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", g.Name, err)
		}
		if id == "" {
			continue
		}
		made[g.Name] = id
		request := &identityv1.ChangeGroupMembersRequest{
			Organization: organization, Group: id, IdempotencyKey: "demo-group-members-" + g.Name + "-" + id,
		}
		for _, name := range slices.Concat(g.People, g.ServiceAccounts, g.Groups) {
			if member := ids[name] + made[name]; member != "" {
				request.Add = append(request.Add, member)
			}
		}
		if _, err := client.Groups.ChangeGroupMembers(ctx, request); err != nil && !changed(err) {
			return nil, fmt.Errorf("members of the group %s: %w", g.Name, err)
		}
	}
	return made, nil
}

// namedGroup makes a group, or finds it; empty when the organization takes none.
func namedGroup(ctx context.Context, client *meridian.Client, organization string, g demo.Group) (string, error) {
	created, err := client.Groups.CreateGroup(ctx, &identityv1.CreateGroupRequest{
		Organization: organization, Name: g.Name, Description: g.Description, IdempotencyKey: "demo-group-" + g.Name,
	})
	switch {
	case err == nil:
		return created.GetGroup().GetId(), nil
	case changed(err):
		return "", nil
	case !meridian.Is(err, commonv1.Reason_ALREADY_EXISTS):
		return "", err
	}
	request := &identityv1.ListGroupsRequest{Organization: organization, Search: g.Name, PageSize: 200}
	for {
		list, err := client.Groups.ListGroups(ctx, request)
		if err != nil {
			return "", err
		}
		for _, found := range list.GetGroups() {
			if strings.EqualFold(found.GetName(), g.Name) {
				return found.GetId(), nil
			}
		}
		if request.Cursor = list.GetNextCursor(); request.GetCursor() == "" {
			return "", nil
		}
	}
}

// serviceAccount makes the service account, or finds it; empty when the
// organization takes none.
func serviceAccount(ctx context.Context, client *meridian.Client, organization string) (string, error) {
	created, err := client.ServiceAccounts.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{
		Organization: organization, Name: demo.ServiceAccount, Description: "Rolls out what Engineering built", IdempotencyKey: "demo-service-account",
	})
	switch {
	case err == nil:
		return created.GetServiceAccount().GetId(), nil
	case changed(err):
		return "", nil
	case !meridian.Is(err, commonv1.Reason_ALREADY_EXISTS):
		return "", err
	}
	request := &identityv1.ListServiceAccountsRequest{Organization: organization, PageSize: 200}
	for {
		list, err := client.ServiceAccounts.ListServiceAccounts(ctx, request)
		if err != nil {
			return "", err
		}
		for _, found := range list.GetServiceAccounts() {
			if strings.EqualFold(found.GetName(), demo.ServiceAccount) {
				return found.GetId(), nil
			}
		}
		if request.Cursor = list.GetNextCursor(); request.GetCursor() == "" {
			return "", nil
		}
	}
}
