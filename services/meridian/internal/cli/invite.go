package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) invite() *cobra.Command {
	cmd := &cobra.Command{Use: "invite", GroupID: "manage", Short: "Invitations into an organization: create, list, show, resend, revoke, accept"}
	cmd.AddCommand(a.inviteCreate(), a.inviteList(), a.inviteShow(), a.inviteResend(), a.inviteRevoke(), a.inviteAccept())
	return cmd
}

func invitationText(i *identityv1.Invitation) string {
	until := ""
	if i.GetExpiresAt() != nil {
		until = "until " + timeText(i.GetExpiresAt())
	}
	return words(i.GetId(), i.GetEmail(), enumWord(i.GetRole()), until)
}

// withoutLetterFlag adds --without-letter.
func withoutLetterFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("without-letter", false, "send no letter, and print the secret for one of your own; for the platform's tokens only")
}

// secretive is an answer with the secret of an invitation, if it was asked for.
type secretive interface {
	revised
	GetInvitation() *identityv1.Invitation
	GetSecret() string
}

func (a *App) invited(answer secretive, err error, done string) error {
	if err != nil || a.json || answer.GetSecret() == "" {
		return a.did(answer, err, done, invitationText(answer.GetInvitation()))
	}
	fmt.Fprintf(a.stderr, "%s %s. The secret is shown once:\n", done, invitationText(answer.GetInvitation()))
	_, err = fmt.Fprintln(a.stdout, answer.GetSecret())
	return err
}

func (a *App) inviteAccept() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "accept USER", Args: cobra.ExactArgs(1), Short: "Accept an invitation for a user; its secret is read from standard input",
		Long:    "Makes the user a member. The secret of the letter is read from standard input, one line, and never\nan argument: others on the machine could read that.",
		Example: "  meridian invite accept zoe@acme.example < secret.txt",
	}, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		secret, err := readSecret(a.stdin)
		if err != nil {
			return err
		}
		answer, err := client.Invitations.AcceptInvitation(ctx, &identityv1.AcceptInvitationRequest{
			Secret: secret, Who: &identityv1.AcceptInvitationRequest_User{User: user}, IdempotencyKey: newKey(),
		})
		m := answer.GetMembership()
		return a.did(answer, err, "accepted", words(m.GetUser(), m.GetOrganization(), enumWord(m.GetRole())))
	})
}

func (a *App) inviteCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create EMAIL", Args: cobra.ExactArgs(1), Short: "Invite somebody, by a letter to an email address",
		Example: `  meridian invite create zoe@acme.example
  meridian invite create zoe@acme.example --role admin --group Engineering --days 3 --locale de`,
	}
	role := cmd.Flags().String("role", "", enumWords[identityv1.MembershipRole]()+" (default: member)")
	groups := cmd.Flags().StringArray("group", nil, "group that the new member is put into, by id or name; may be repeated")
	days := cmd.Flags().Uint32("days", 7, "days until it expires, 30 at most")
	locale := cmd.Flags().String("locale", "", "the letter's language, as en or de (default: en)")
	without := withoutLetterFlag(cmd)
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		as, err := choose[identityv1.MembershipRole]("--role", *role)
		if err != nil {
			return err
		}
		request := &identityv1.CreateInvitationRequest{
			Organization: organization, Email: args[0], Role: as, LifetimeSeconds: seconds(*days), Locale: *locale,
			WithoutLetter: *without, IdempotencyKey: newKey(),
		}
		for _, name := range *groups {
			id, err := groupID(ctx, client, organization, name)
			if err != nil {
				return err
			}
			request.Groups = append(request.Groups, id)
		}
		answer, err := client.Invitations.CreateInvitation(ctx, request)
		return a.invited(answer, err, "invited")
	})
}

func (a *App) inviteList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List invitations, the newest first",
		Example: "  meridian invite list --state pending",
	}
	state := cmd.Flags().String("state", "", enumWords[identityv1.InvitationState]())
	limit, told := a.limitFlag(cmd)
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, _ []string) error {
		only, err := choose[identityv1.InvitationState]("--state", *state)
		if err != nil {
			return err
		}
		request := &identityv1.ListInvitationsRequest{Organization: organization, State: only, PageSize: pageFor(*limit)}
		more, err := list(a, []string{"INVITATION", "EMAIL", "ROLE", "STATE", "EXPIRES", "USER"}, *limit,
			func(cursor string) ([]*identityv1.Invitation, string, error) {
				request.Cursor = cursor
				answer, err := client.Invitations.ListInvitations(ctx, request)
				return answer.GetInvitations(), answer.GetNextCursor(), err
			},
			func(i *identityv1.Invitation) []string {
				return []string{
					i.GetId(), first(i.GetEmail(), "-"), enumWord(i.GetRole()), enumWord(i.GetState()), timeText(i.GetExpiresAt()), first(i.GetUser(), "-"),
				}
			})
		told(more)
		return err
	})
}

func (a *App) inviteShow() *cobra.Command {
	return a.inside(&cobra.Command{
		Use: "show ID", Args: cobra.ExactArgs(1), Short: "Print an invitation",
		Example: "  meridian invite show inv_…",
	}, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.Invitations.GetInvitation(ctx, &identityv1.GetInvitationRequest{Organization: organization, Invitation: args[0]})
		i := answer.GetInvitation()
		return a.show(answer, err, "invitation", i.GetId(), "email", i.GetEmail(), "organization", i.GetOrganization(), "role", enumWord(i.GetRole()),
			"groups", strings.Join(i.GetGroups(), " "), "state", enumWord(i.GetState()), "created", timeText(i.GetCreatedAt()),
			"expires", timeText(i.GetExpiresAt()), "user", i.GetUser())
	})
}

func (a *App) inviteResend() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resend ID", Args: cobra.ExactArgs(1), Short: "Send the letter again, with another secret; the earlier one opens nothing any more",
		Example: "  meridian invite resend inv_…",
	}
	without := withoutLetterFlag(cmd)
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.Invitations.ResendInvitation(ctx, &identityv1.ResendInvitationRequest{
			Organization: organization, Invitation: args[0], WithoutLetter: *without, IdempotencyKey: newKey(),
		})
		return a.invited(answer, err, "sent")
	})
}

func (a *App) inviteRevoke() *cobra.Command {
	return a.inside(&cobra.Command{
		Use: "revoke ID", Args: cobra.ExactArgs(1), Short: "End an invitation that waits",
		Example: "  meridian invite revoke inv_…",
	}, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.Invitations.RevokeInvitation(ctx, &identityv1.RevokeInvitationRequest{
			Organization: organization, Invitation: args[0], IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "revoked", args[0])
	})
}
