package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/net/idna"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// onUser makes a command of one whose first argument is a user, by id or email
// address.
func (a *App) onUser(
	cmd *cobra.Command, do func(ctx context.Context, client *meridian.Client, user string, args []string) error,
) *cobra.Command {
	realm := cmd.Flags().String("realm", "", "isolated organization of a user who is named by email address (default: none)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		id, err := userID(cmd.Context(), client, args[0], *realm)
		if err != nil {
			return err
		}
		return do(cmd.Context(), client, id, args)
	}
	return cmd
}

// onMember makes a command of one whose first argument is a member, by user id or
// email address.
func (a *App) onMember(
	cmd *cobra.Command, do func(ctx context.Context, m member, args []string) error,
) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		id, err := memberID(cmd.Context(), client, organization, args[0])
		if err != nil {
			return err
		}
		return do(cmd.Context(), member{client, organization, id}, args)
	}
	return cmd
}

// member is who a command is about, and how to call.
type member struct {
	*meridian.Client

	organization, user string
}

// inside makes a command of one that works on an organization.
func (a *App) inside(
	cmd *cobra.Command, do func(ctx context.Context, client *meridian.Client, organization string, args []string) error,
) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		return do(cmd.Context(), client, organization, args)
	}
	return cmd
}

// userID returns the id of a user who is named by id or email address. realm is
// an organization in isolated mode, or empty.
func userID(ctx context.Context, client *meridian.Client, name, realm string) (string, error) {
	if !strings.Contains(name, "@") {
		return name, nil // the server says what is wrong with an id
	}
	answer, err := client.Users.FindUser(ctx, &identityv1.FindUserRequest{Email: name, Realm: realm})
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return answer.GetUser().GetId(), nil
}

// memberID returns the user id of a member who is named by it or by email
// address. Unlike userID it takes a token of the organization.
func memberID(ctx context.Context, client *meridian.Client, organization, name string) (string, error) {
	if !strings.Contains(name, "@") {
		return name, nil
	}
	request := &identityv1.ListMembersRequest{Organization: organization, Search: name, PageSize: identityPage}
	for {
		answer, err := client.Memberships.ListMembers(ctx, request)
		switch found := answer.GetMemberships(); {
		case err != nil:
			return "", fmt.Errorf("%s: %w", name, err)
		case len(found) == 1:
			return found[0].GetUser(), nil
		case len(found) > 1:
			return "", fmt.Errorf("several members of %s are found by %s: give a user's id", organization, name)
		}
		if request.Cursor = answer.GetNextCursor(); request.GetCursor() == "" {
			return "", fmt.Errorf("no member of %s has the address %s", organization, name)
		}
	}
}

// newMemberID returns the id of a user who may become a member: in an isolated
// organization one of its own.
func newMemberID(ctx context.Context, client *meridian.Client, organization, name string) (string, error) {
	if !strings.Contains(name, "@") {
		return name, nil
	}
	answer, err := client.Organizations.GetOrganization(ctx, &identityv1.GetOrganizationRequest{Organization: organization})
	if err != nil {
		return "", err
	}
	realm := ""
	if answer.GetOrganization().GetMode() == identityv1.OrganizationMode_ORGANIZATION_MODE_ISOLATED {
		realm = organization
	}
	return userID(ctx, client, name, realm)
}

// organizationID returns the id of an organization that is named by id or slug.
func organizationID(ctx context.Context, client *meridian.Client, name string) (string, error) {
	if strings.HasPrefix(name, "org_") {
		return name, nil
	}
	request := &identityv1.ListOrganizationsRequest{Search: name, PageSize: identityPage}
	for {
		answer, err := client.Organizations.ListOrganizations(ctx, request)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		for _, o := range answer.GetOrganizations() {
			if o.GetSlug() == name {
				return o.GetId(), nil
			}
		}
		if request.Cursor = answer.GetNextCursor(); request.GetCursor() == "" {
			return "", fmt.Errorf("no organization has the slug %s; a deleted one goes by its id", name)
		}
	}
}

// groupID returns the id of a group that is named by id or name.
func groupID(ctx context.Context, client *meridian.Client, organization, name string) (string, error) {
	if strings.HasPrefix(name, "grp_") {
		return name, nil
	}
	request := &identityv1.ListGroupsRequest{Organization: organization, Search: beginning(name, maxSearch), PageSize: identityPage}
	for {
		answer, err := client.Groups.ListGroups(ctx, request)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		for _, g := range answer.GetGroups() {
			if strings.EqualFold(g.GetName(), name) {
				return g.GetId(), nil
			}
		}
		if request.Cursor = answer.GetNextCursor(); request.GetCursor() == "" {
			return "", fmt.Errorf("no group of %s is called %q", organization, name)
		}
	}
}

// maxSearch is how many characters a search has at most.
const maxSearch = 64

func beginning(text string, characters int) string {
	for i := range text {
		if characters == 0 {
			return text[:i]
		}
		characters--
	}
	return text
}

// domainID returns the id of a domain that is named by id or name.
func domainID(ctx context.Context, client *meridian.Client, organization, name string) (string, error) {
	if strings.HasPrefix(name, "dom_") {
		return name, nil
	}
	if labels, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, ".")); err == nil {
		name = labels
	}
	request := &identityv1.ListDomainsRequest{Organization: organization, PageSize: identityPage}
	for {
		answer, err := client.Domains.ListDomains(ctx, request)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		for _, d := range answer.GetDomains() {
			if strings.EqualFold(d.GetName(), name) {
				return d.GetId(), nil
			}
		}
		if request.Cursor = answer.GetNextCursor(); request.GetCursor() == "" {
			return "", fmt.Errorf("%s has no domain %q; `meridian domain list` shows those it has, as the DNS has them", organization, name)
		}
	}
}

// memberIDs returns the ids of what a group can hold: users by id or email
// address, service accounts and groups by id.
func memberIDs(ctx context.Context, client *meridian.Client, organization string, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		id, err := memberID(ctx, client, organization, name)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}
