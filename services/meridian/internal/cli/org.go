package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) org() *cobra.Command {
	cmd := &cobra.Command{Use: "org", GroupID: "manage", Short: "Organizations: create, list, show, update, suspend, resume, delete, move"}
	cmd.AddCommand(a.orgCreate(), a.orgList(), a.orgShow(), a.orgUpdate(), a.orgSuspend(), a.orgResume(), a.orgDelete(), a.orgMove())
	return cmd
}

func organizationText(o *identityv1.Organization) string {
	return words(o.GetId(), o.GetSlug(), "in "+o.GetHomeRegion())
}

// onOrganization makes a command of one whose argument is an organization, by id
// or slug.
func (a *App) onOrganization(
	cmd *cobra.Command, do func(ctx context.Context, client *meridian.Client, organization string) error,
) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		organization, err := organizationID(cmd.Context(), client, args[0])
		if err != nil {
			return err
		}
		return do(cmd.Context(), client, organization)
	}
	return cmd
}

func (a *App) orgCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create SLUG", Args: cobra.ExactArgs(1), Short: "Create an organization",
		Example: "  meridian org create hooli --name 'Hooli, Inc.'\n  meridian org create piper --isolated",
	}
	name := cmd.Flags().String("name", "", "what people call it (default: the slug)")
	region := cmd.Flags().String("region", "", "home region (default: the region that answers)")
	isolated := cmd.Flags().Bool("isolated", false, "its users are its own: the same address elsewhere is another person; fixed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		request := &identityv1.CreateOrganizationRequest{Slug: args[0], Name: first(*name, args[0]), HomeRegion: *region, IdempotencyKey: newKey()}
		if *isolated {
			request.Mode = identityv1.OrganizationMode_ORGANIZATION_MODE_ISOLATED
		}
		answer, err := client.Organizations.CreateOrganization(cmd.Context(), request)
		return a.did(answer, err, "created", organizationText(answer.GetOrganization()))
	}
	return cmd
}

func (a *App) orgMove() *cobra.Command {
	cmd := &cobra.Command{
		Use: "move ORGANIZATION", Args: cobra.ExactArgs(1), Short: "Give an organization another home region",
		Example: "  meridian org move org_… --to us-east",
	}
	to := cmd.Flags().String("to", "", "the region that becomes its home (required)")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag was just defined
	}
	return a.onOrganization(cmd, func(ctx context.Context, client *meridian.Client, organization string) error {
		answer, err := client.Organizations.MoveHome(ctx, &identityv1.MoveHomeRequest{
			Organization: organization, HomeRegion: *to, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "at home", organizationText(answer.GetOrganization()))
	})
}

func (a *App) orgList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List organizations",
		Example: "  meridian org list --json | jq -r .id\n  meridian org list --search acme --state suspended",
	}
	search := cmd.Flags().String("search", "", "the beginning of the slug")
	state := cmd.Flags().String("state", "", enumWords[identityv1.OrganizationState]()+" (default: all but the deleted)")
	limit, told := a.limitFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		only, err := choose[identityv1.OrganizationState]("--state", *state)
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		req := &identityv1.ListOrganizationsRequest{Search: *search, State: only, PageSize: pageFor(*limit)}
		more, err := list(a, []string{"ORGANIZATION", "SLUG", "NAME", "STATE", "HOME", "CREATED"}, *limit,
			func(cursor string) ([]*identityv1.Organization, string, error) {
				req.Cursor = cursor
				answer, err := client.Organizations.ListOrganizations(cmd.Context(), req)
				return answer.GetOrganizations(), answer.GetNextCursor(), err
			},
			func(o *identityv1.Organization) []string {
				return []string{o.GetId(), o.GetSlug(), o.GetName(), enumWord(o.GetState()), o.GetHomeRegion(), timeText(o.GetCreatedAt())}
			})
		told(more)
		return err
	}
	return cmd
}

func (a *App) orgShow() *cobra.Command {
	return a.onOrganization(&cobra.Command{
		Use: "show ORGANIZATION", Args: cobra.ExactArgs(1), Short: "Print an organization and its settings, by id or slug",
		Example: "  meridian org show acme\n  meridian org show org_… --json",
	}, func(ctx context.Context, client *meridian.Client, organization string) error {
		answer, err := client.Organizations.GetOrganization(ctx, &identityv1.GetOrganizationRequest{Organization: organization})
		o := answer.GetOrganization()
		return a.show(answer, err, append([]string{
			"organization", o.GetId(), "slug", o.GetSlug(), "name", o.GetName(), "state", enumWord(o.GetState()), "deleted at", timeText(o.GetDeleteAt()),
			"mode", enumWord(o.GetMode()), "home", o.GetHomeRegion(), "created", timeText(o.GetCreatedAt()),
		}, settingsPairs(o.GetSettings())...)...)
	})
}

func settingsPairs(s *identityv1.OrganizationSettings) []string {
	least, breached, history := "", "", ""
	if s.GetPasswordMinLength() > 0 {
		least = fmt.Sprintf("%d characters at least", s.GetPasswordMinLength())
	}
	if s.GetPasswordAllowBreached() {
		breached = "known to be breached: taken"
	}
	if s.GetPasswordHistory() > 0 {
		history = fmt.Sprintf("the last %d not again", s.GetPasswordHistory())
	}
	return []string{
		"passwords", words(least, breached, history), "second factor", map[bool]string{true: "required"}[s.GetRequireSecondFactor()],
		"sign in by", strings.Join(s.GetSignInMethods(), ", "),
	}
}
