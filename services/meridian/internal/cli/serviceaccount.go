package cli

import (
	"context"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) serviceAccount() *cobra.Command {
	cmd := &cobra.Command{
		Use: "service-account", GroupID: "manage",
		Short: "Callers that are no people: create, list, show, update, disable, enable, delete",
	}
	cmd.AddCommand(a.serviceAccountCreate(), a.serviceAccountList(), a.serviceAccountShow(), a.serviceAccountUpdate(),
		a.serviceAccountTurn("disable", "Refuse the tokens of a service account", true),
		a.serviceAccountTurn("enable", "Take the tokens of a disabled service account again", false), a.serviceAccountDelete())
	return cmd
}

func serviceAccountState(s *identityv1.ServiceAccount) string {
	if s.GetDisabled() {
		return "disabled"
	}
	return "enabled"
}

func (a *App) serviceAccountCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Args: cobra.ExactArgs(1), Short: "Create a service account; give it a token with `token create --service-account`",
		Example: "  meridian service-account create deployer --description 'Rolls out the console'",
	}
	description := cmd.Flags().String("description", "", "what it is for")
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.ServiceAccounts.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{
			Organization: organization, Name: args[0], Description: *description, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "created", words(answer.GetServiceAccount().GetId(), answer.GetServiceAccount().GetName()))
	})
}

func (a *App) serviceAccountList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List service accounts by name",
		Example: "  meridian service-account list\n  meridian service-account list --json | jq -r .id",
	}
	limit, told := a.limitFlag(cmd)
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, _ []string) error {
		request := &identityv1.ListServiceAccountsRequest{Organization: organization, PageSize: pageFor(*limit)}
		more, err := list(a, []string{"SERVICE ACCOUNT", "NAME", "STATE", "CREATED", "DESCRIPTION"}, *limit,
			func(cursor string) ([]*identityv1.ServiceAccount, string, error) {
				request.Cursor = cursor
				answer, err := client.ServiceAccounts.ListServiceAccounts(ctx, request)
				return answer.GetServiceAccounts(), answer.GetNextCursor(), err
			},
			func(s *identityv1.ServiceAccount) []string {
				return []string{s.GetId(), s.GetName(), serviceAccountState(s), timeText(s.GetCreatedAt()), s.GetDescription()}
			})
		told(more)
		return err
	})
}

func (a *App) serviceAccountShow() *cobra.Command {
	return a.inside(&cobra.Command{
		Use: "show ID", Args: cobra.ExactArgs(1), Short: "Print a service account",
		Example: "  meridian service-account show svc_…",
	}, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.ServiceAccounts.GetServiceAccount(ctx, &identityv1.GetServiceAccountRequest{
			Organization: organization, ServiceAccount: args[0],
		})
		s := answer.GetServiceAccount()
		return a.show(answer, err, "service account", s.GetId(), "name", s.GetName(), "description", s.GetDescription(),
			"organization", s.GetOrganization(), "state", serviceAccountState(s), "created", timeText(s.GetCreatedAt()))
	})
}

func (a *App) serviceAccountUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update ID", Args: cobra.ExactArgs(1), Short: "Change a service account; what is not named stays",
		Example: "  meridian service-account update svc_… --name roller",
	}
	name := cmd.Flags().String("name", "", "another name")
	description := cmd.Flags().String("description", "", "another description")
	cmd.MarkFlagsOneRequired("name", "description")
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.ServiceAccounts.UpdateServiceAccount(ctx, &identityv1.UpdateServiceAccountRequest{
			Organization: organization, ServiceAccount: args[0], Name: given(cmd, "name", name),
			Description: given(cmd, "description", description), IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "updated", words(answer.GetServiceAccount().GetId(), answer.GetServiceAccount().GetName()))
	})
}

func (a *App) serviceAccountTurn(verb, short string, disabled bool) *cobra.Command {
	return a.inside(&cobra.Command{
		Use: verb + " ID", Args: cobra.ExactArgs(1), Short: short,
		Example: "  meridian service-account " + verb + " svc_…",
	}, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.ServiceAccounts.UpdateServiceAccount(ctx, &identityv1.UpdateServiceAccountRequest{
			Organization: organization, ServiceAccount: args[0], Disabled: &disabled, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, serviceAccountState(answer.GetServiceAccount()), words(args[0], answer.GetServiceAccount().GetName()))
	})
}

func (a *App) serviceAccountDelete() *cobra.Command {
	return a.inside(&cobra.Command{
		Use: "delete ID", Args: cobra.ExactArgs(1), Short: "Remove a service account and revoke its tokens",
		Example: "  meridian service-account delete svc_…",
	}, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.ServiceAccounts.DeleteServiceAccount(ctx, &identityv1.DeleteServiceAccountRequest{
			Organization: organization, ServiceAccount: args[0], IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "deleted", args[0])
	})
}
