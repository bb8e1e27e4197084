package cli

import (
	"context"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) orgUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update ORGANIZATION", Args: cobra.ExactArgs(1), Short: "Change an organization's name or settings; what is not named stays",
		Example: `  meridian org update acme --name 'Acme, Ltd.'
  meridian org update acme --require-second-factor --password-min-length 16
  meridian org update acme --sign-in-methods passkey,email`,
	}
	name := cmd.Flags().String("name", "", "another name")
	wanted := &identityv1.OrganizationSettings{}
	settings := map[string]func(now *identityv1.OrganizationSettings){
		"password-min-length": func(now *identityv1.OrganizationSettings) { now.PasswordMinLength = wanted.GetPasswordMinLength() },
		"password-allow-breached": func(now *identityv1.OrganizationSettings) {
			now.PasswordAllowBreached = wanted.GetPasswordAllowBreached()
		},
		"password-history":      func(now *identityv1.OrganizationSettings) { now.PasswordHistory = wanted.GetPasswordHistory() },
		"require-second-factor": func(now *identityv1.OrganizationSettings) { now.RequireSecondFactor = wanted.GetRequireSecondFactor() },
		"sign-in-methods":       func(now *identityv1.OrganizationSettings) { now.SignInMethods = wanted.GetSignInMethods() },
	}
	flags := cmd.Flags()
	flags.Uint32Var(&wanted.PasswordMinLength, "password-min-length", 0, "characters of a password, 8 to 64; 0: 12")
	flags.BoolVar(&wanted.PasswordAllowBreached, "password-allow-breached", false, "take passwords that are known to be breached")
	flags.Uint32Var(&wanted.PasswordHistory, "password-history", 0, "how many earlier passwords may not come back, 24 at most")
	flags.BoolVar(&wanted.RequireSecondFactor, "require-second-factor", false, "nobody signs in with one factor, but by a passkey that verified the user")
	flags.StringSliceVar(&wanted.SignInMethods, "sign-in-methods", nil, "password, passkey, email; none: all")
	cmd.MarkFlagsOneRequired("name", "password-min-length", "password-allow-breached", "password-history", "require-second-factor", "sign-in-methods")
	return a.onOrganization(cmd, func(ctx context.Context, client *meridian.Client, organization string) error {
		request := &identityv1.UpdateOrganizationRequest{Organization: organization, Name: given(cmd, "name", name), IdempotencyKey: newKey()}
		for flag, set := range settings {
			if !flags.Changed(flag) {
				continue
			}
			if request.GetSettings() == nil { // the settings are replaced as a whole
				now, err := client.Organizations.GetOrganization(ctx, &identityv1.GetOrganizationRequest{Organization: organization})
				if err != nil {
					return err
				}
				if request.Settings = now.GetOrganization().GetSettings(); request.GetSettings() == nil {
					request.Settings = &identityv1.OrganizationSettings{}
				}
			}
			set(request.GetSettings())
		}
		answer, err := client.Organizations.UpdateOrganization(ctx, request)
		return a.did(answer, err, "updated", organizationText(answer.GetOrganization()))
	})
}

func (a *App) orgSuspend() *cobra.Command {
	cmd := &cobra.Command{
		Use: "suspend ORGANIZATION", Args: cobra.ExactArgs(1), Short: "Refuse an organization's tokens and sign-ins until it is resumed",
		Example: "  meridian org suspend acme --reason 'unpaid since May'",
	}
	reason := cmd.Flags().String("reason", "", "why, for the log")
	return a.onOrganization(cmd, func(ctx context.Context, client *meridian.Client, organization string) error {
		answer, err := client.Organizations.SuspendOrganization(ctx, &identityv1.SuspendOrganizationRequest{
			Organization: organization, Reason: *reason, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "suspended", organizationText(answer.GetOrganization()))
	})
}

func (a *App) orgResume() *cobra.Command {
	return a.onOrganization(&cobra.Command{
		Use: "resume ORGANIZATION", Args: cobra.ExactArgs(1), Short: "Take a suspension back, or cancel a deletion",
		Example: "  meridian org resume acme",
	}, func(ctx context.Context, client *meridian.Client, organization string) error {
		answer, err := client.Organizations.ResumeOrganization(ctx, &identityv1.ResumeOrganizationRequest{
			Organization: organization, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "resumed", organizationText(answer.GetOrganization()))
	})
}

func (a *App) orgDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete ORGANIZATION", Args: cobra.ExactArgs(1), Short: "Suspend an organization, and delete it after some days",
		Long: "Suspends an organization and deletes it after --grace-days: its members, groups, service\n" +
			"accounts, tokens, invitations and domains. `org resume` cancels that. Without days of grace it\n" +
			"cannot be taken back, and asks.",
		Example: "  meridian org delete acme\n  meridian org delete acme --grace-days 0 --yes",
	}
	grace := cmd.Flags().Uint32("grace-days", 30, "days until it is deleted, 90 at most")
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	return a.onOrganization(cmd, func(ctx context.Context, client *meridian.Client, organization string) error {
		if *grace == 0 {
			if err := a.confirmed(ctx, *yes, "Delete "+organization+" now? It cannot be taken back."); err != nil {
				return err
			}
		}
		answer, err := client.Organizations.DeleteOrganization(ctx, &identityv1.DeleteOrganizationRequest{
			Organization: organization, GraceDays: grace, IdempotencyKey: newKey(),
		})
		o := answer.GetOrganization()
		done := "deleted"
		if o.GetState() == identityv1.OrganizationState_ORGANIZATION_STATE_DELETING {
			done = "deleting"
		}
		return a.did(answer, err, done, words(organizationText(o), timeText(o.GetDeleteAt())))
	})
}
