package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) user() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", GroupID: "manage",
		Short: "Users: create, show, list, update, email, suspend, resume, erase, export, organizations, set-password",
	}
	cmd.AddCommand(a.userCreate(), a.userShow(), a.userList(), a.userUpdate(), a.userEmail(), a.userSuspend(), a.userResume(),
		a.userErase(), a.userExport(), a.userOrganizations(), a.userSetPassword())
	return cmd
}

func userText(u *identityv1.User) string {
	return words(u.GetId(), u.GetEmail(), enumWord(u.GetState()), "in "+u.GetHomeRegion())
}

func (a *App) userCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create EMAIL", Args: cobra.ExactArgs(1), Short: "Create a user",
		Example: `  meridian user create anna@acme.example --name 'Anna Arendt' --verified
  meridian user create anna@acme.example --region eu-west --locale de
  meridian user create anna@acme.example --realm org_…`,
	}
	request := &identityv1.CreateUserRequest{}
	cmd.Flags().StringVar(&request.Name, "name", "", "what the user is called")
	cmd.Flags().BoolVar(&request.EmailVerified, "verified", false, "the address was proved to be the user's")
	cmd.Flags().StringVar(&request.Locale, "locale", "", "language, as en or de-AT (default: en)")
	cmd.Flags().StringVar(&request.HomeRegion, "region", "", "where the personal data lives (default: the region that answers)")
	cmd.Flags().StringVar(&request.Realm, "realm", "", "isolated organization that the user belongs to (default: none)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		request.Email, request.IdempotencyKey = args[0], newKey()
		answer, err := client.Users.CreateUser(cmd.Context(), request)
		return a.did(answer, err, "created", userText(answer.GetUser()))
	}
	return cmd
}

func (a *App) userShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show USER", Args: cobra.ExactArgs(1), Short: "Print a user, by id or email address",
		Example: "  meridian user show anna@acme.example\n  meridian user show usr_… --json",
	}
	return a.onUser(cmd, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		answer, err := client.Users.GetUser(ctx, &identityv1.GetUserRequest{User: user})
		u := answer.GetUser()
		email := u.GetEmail()
		if email != "" && !u.GetEmailVerified() {
			email += "  (not verified)"
		}
		return a.show(answer, err, "user", u.GetId(), "state", enumWord(u.GetState()), "email", email, "name", u.GetName(),
			"locale", u.GetLocale(), "realm", u.GetRealm(), "home", u.GetHomeRegion(), "created", timeText(u.GetCreatedAt()))
	})
}

func (a *App) userList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List users, or those with a word in their names",
		Example: "  meridian user list --search ann\n  meridian user list --state suspended --json | jq -r .id",
	}
	search := cmd.Flags().String("search", "", "the beginning of a word of the name")
	state := cmd.Flags().String("state", "", enumWords[identityv1.UserState]()+" (default: all but the erased)")
	limit, told := a.limitFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		only, err := choose[identityv1.UserState]("--state", *state)
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		request := &identityv1.ListUsersRequest{Search: *search, State: only, PageSize: pageFor(*limit)}
		more, err := list(a, []string{"USER", "EMAIL", "NAME", "STATE", "HOME", "CREATED"}, *limit,
			func(cursor string) ([]*identityv1.User, string, error) {
				request.Cursor = cursor
				answer, err := client.Users.ListUsers(cmd.Context(), request)
				return answer.GetUsers(), answer.GetNextCursor(), err
			},
			func(u *identityv1.User) []string {
				return []string{u.GetId(), u.GetEmail(), u.GetName(), enumWord(u.GetState()), u.GetHomeRegion(), timeText(u.GetCreatedAt())}
			})
		told(more)
		return err
	}
	return cmd
}

func (a *App) userUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update USER", Args: cobra.ExactArgs(1), Short: "Change a user's profile; what is not named stays",
		Example: `  meridian user update anna@acme.example --name 'Anna Blum'
  meridian user update usr_… --locale de-AT
  meridian user update usr_… --verified=false`,
	}
	name := cmd.Flags().String("name", "", "another name")
	locale := cmd.Flags().String("locale", "", "another language, as en or de-AT")
	verified := cmd.Flags().Bool("verified", false, "whether the address was proved to be the user's")
	cmd.MarkFlagsOneRequired("name", "locale", "verified")
	return a.onUser(cmd, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		answer, err := client.Users.UpdateUser(ctx, &identityv1.UpdateUserRequest{
			User: user, Name: given(cmd, "name", name), Locale: given(cmd, "locale", locale),
			EmailVerified: given(cmd, "verified", verified), IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "updated", userText(answer.GetUser()))
	})
}

func (a *App) userEmail() *cobra.Command {
	cmd := &cobra.Command{
		Use: "email USER EMAIL", Args: cobra.ExactArgs(2), Short: "Give a user another email address",
		Example: "  meridian user email anna@acme.example anna.blum@acme.example --verified",
	}
	verified := cmd.Flags().Bool("verified", false, "the new address was proved to be the user's")
	return a.onUser(cmd, func(ctx context.Context, client *meridian.Client, user string, args []string) error {
		answer, err := client.Users.ChangeEmail(ctx, &identityv1.ChangeEmailRequest{
			User: user, Email: args[1], EmailVerified: *verified, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "updated", userText(answer.GetUser()))
	})
}

func (a *App) userSuspend() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "suspend USER", Args: cobra.ExactArgs(1), Short: "Suspend a user, and with it every membership",
		Example: "  meridian user suspend anna@acme.example",
	}, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		answer, err := client.Users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: user, IdempotencyKey: newKey()})
		return a.did(answer, err, "suspended", userText(answer.GetUser()))
	})
}

func (a *App) userResume() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "resume USER", Args: cobra.ExactArgs(1), Short: "Take a suspension back, with the memberships that it suspended",
		Example: "  meridian user resume anna@acme.example",
	}, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		answer, err := client.Users.ResumeUser(ctx, &identityv1.ResumeUserRequest{User: user, IdempotencyKey: newKey()})
		return a.did(answer, err, "resumed", userText(answer.GetUser()))
	})
}

func (a *App) userOrganizations() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "organizations USER", Args: cobra.ExactArgs(1), Short: "List the organizations of a user",
		Example: "  meridian user organizations dana@acme.example",
	}, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		request := &identityv1.ListUserMembershipsRequest{User: user, PageSize: identityPage}
		_, err := list(a, []string{"ORGANIZATION", "SLUG", "NAME", "ROLE", "STATE"}, 0,
			func(cursor string) ([]*identityv1.UserMembership, string, error) {
				request.Cursor = cursor
				answer, err := client.Users.ListUserMemberships(ctx, request)
				return answer.GetMemberships(), answer.GetNextCursor(), err
			},
			func(m *identityv1.UserMembership) []string {
				role, state := strings.TrimPrefix(m.GetRole(), "MEMBERSHIP_ROLE_"), strings.TrimPrefix(m.GetState(), "MEMBERSHIP_STATE_")
				return []string{m.GetOrganization(), m.GetSlug(), m.GetName(), strings.ToLower(role), strings.ToLower(state)}
			})
		return err
	})
}
