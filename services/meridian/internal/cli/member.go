package cli

import (
	"context"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) member() *cobra.Command {
	cmd := &cobra.Command{Use: "member", GroupID: "manage", Short: "Members of an organization: list, add, show, role, suspend, resume, remove"}
	cmd.AddCommand(a.memberList(), a.memberAdd(), a.memberShow(), a.memberRole(), a.memberSuspend(), a.memberResume(), a.memberRemove())
	return cmd
}

func memberText(m *identityv1.Membership) string {
	return words(m.GetUser(), m.GetEmail(), enumWord(m.GetRole()), enumWord(m.GetState()))
}

func (a *App) memberList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List members, or those with a word in their names",
		Example: `  meridian member list --role admin
  meridian member list --search ann
  meridian member list --search anna@acme.example
  meridian member list --state suspended --json | jq -r .user`,
	}
	search := cmd.Flags().String("search", "", "the beginning of a word of the name, or a whole email address")
	role := cmd.Flags().String("role", "", enumWords[identityv1.MembershipRole]())
	state := cmd.Flags().String("state", "", enumWords[identityv1.MembershipState]())
	source := cmd.Flags().String("source", "", enumWords[identityv1.MembershipSource]())
	limit, told := a.limitFlag(cmd)
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, _ []string) error {
		request := &identityv1.ListMembersRequest{Organization: organization, Search: *search, PageSize: pageFor(*limit)}
		var err error
		if request.Role, err = choose[identityv1.MembershipRole]("--role", *role); err != nil {
			return err
		}
		if request.State, err = choose[identityv1.MembershipState]("--state", *state); err != nil {
			return err
		}
		if request.Source, err = choose[identityv1.MembershipSource]("--source", *source); err != nil {
			return err
		}
		more, err := list(a, []string{"USER", "EMAIL", "NAME", "ROLE", "STATE", "SOURCE", "SINCE"}, *limit,
			func(cursor string) ([]*identityv1.Membership, string, error) {
				request.Cursor = cursor
				answer, err := client.Memberships.ListMembers(ctx, request)
				return answer.GetMemberships(), answer.GetNextCursor(), err
			},
			func(m *identityv1.Membership) []string {
				return []string{
					m.GetUser(), m.GetEmail(), m.GetName(), enumWord(m.GetRole()), enumWord(m.GetState()), enumWord(m.GetSource()),
					timeText(m.GetCreatedAt()),
				}
			})
		told(more)
		return err
	})
}

func (a *App) memberAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add USER", Args: cobra.ExactArgs(1), Short: "Make a user a member, without an invitation",
		Example: "  meridian member add anna@acme.example --role admin\n  meridian member add usr_… -o org_…",
	}
	role := cmd.Flags().String("role", "", enumWords[identityv1.MembershipRole]()+" (default: member)")
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		as, err := choose[identityv1.MembershipRole]("--role", *role)
		if err != nil {
			return err
		}
		user, err := newMemberID(ctx, client, organization, args[0])
		if err != nil {
			return err
		}
		answer, err := client.Memberships.AddMember(ctx, &identityv1.AddMemberRequest{
			Organization: organization, User: user, Role: as, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "added", memberText(answer.GetMembership()))
	})
}

func (a *App) memberShow() *cobra.Command {
	return a.onMember(&cobra.Command{
		Use: "show USER", Args: cobra.ExactArgs(1), Short: "Print a membership, by user id or email address",
		Example: "  meridian member show anna@acme.example",
	}, func(ctx context.Context, of member, _ []string) error {
		answer, err := of.Memberships.GetMember(ctx, &identityv1.GetMemberRequest{Organization: of.organization, User: of.user})
		m := answer.GetMembership()
		return a.show(answer, err, "user", m.GetUser(), "email", m.GetEmail(), "name", m.GetName(), "organization", m.GetOrganization(),
			"role", enumWord(m.GetRole()), "state", enumWord(m.GetState()), "source", words(enumWord(m.GetSource()), m.GetSourceRef()),
			"since", timeText(m.GetCreatedAt()))
	})
}

func (a *App) memberRole() *cobra.Command {
	return a.onMember(&cobra.Command{
		Use: "role USER ROLE", Args: cobra.ExactArgs(2), Short: "Make a member an administrator, or not: admin or member",
		Example: "  meridian member role anna@acme.example admin",
	}, func(ctx context.Context, of member, args []string) error {
		role, err := choose[identityv1.MembershipRole]("role", args[1])
		if err != nil {
			return err
		}
		answer, err := of.Memberships.UpdateMember(ctx, &identityv1.UpdateMemberRequest{
			Organization: of.organization, User: of.user, Role: role, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "updated", memberText(answer.GetMembership()))
	})
}

func (a *App) memberSuspend() *cobra.Command {
	return a.onMember(&cobra.Command{
		Use: "suspend USER", Args: cobra.ExactArgs(1), Short: "Keep a membership, and take away what it allows",
		Example: "  meridian member suspend anna@acme.example",
	}, func(ctx context.Context, of member, _ []string) error {
		answer, err := of.Memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{
			Organization: of.organization, User: of.user, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "suspended", memberText(answer.GetMembership()))
	})
}

func (a *App) memberResume() *cobra.Command {
	return a.onMember(&cobra.Command{
		Use: "resume USER", Args: cobra.ExactArgs(1), Short: "Take a suspension back",
		Example: "  meridian member resume anna@acme.example",
	}, func(ctx context.Context, of member, _ []string) error {
		answer, err := of.Memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{
			Organization: of.organization, User: of.user, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "resumed", memberText(answer.GetMembership()))
	})
}

func (a *App) memberRemove() *cobra.Command {
	return a.onMember(&cobra.Command{
		Use: "remove USER", Args: cobra.ExactArgs(1), Short: "End a membership; the user stays",
		Example: "  meridian member remove anna@acme.example",
	}, func(ctx context.Context, of member, _ []string) error {
		answer, err := of.Memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{
			Organization: of.organization, User: of.user, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "removed", words(of.user, "from "+of.organization))
	})
}
