package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) credentialRecoveryCodes() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "recovery-codes USER", Args: cobra.ExactArgs(1), Short: "Issue ten recovery codes, which are shown once; those before end",
		Example: "  meridian credential recovery-codes anna@acme.example",
	}, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		answer, err := client.Credentials.IssueRecoveryCodes(ctx, &identityv1.IssueRecoveryCodesRequest{User: user, IdempotencyKey: newKey()})
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		fmt.Fprintf(a.stderr, "recovery codes %s of %s. They are shown once, and each is good once:\n", answer.GetCredential().GetId(), user)
		_, err = fmt.Fprintln(a.stdout, strings.Join(answer.GetCodes(), "\n"))
		return err
	})
}

func (a *App) credentialAddTOTP() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "add-totp USER", Args: cobra.ExactArgs(1), Short: "Begin to add an authenticator app: prints what the app is given",
		Long:    "Prints the secret and its otpauth address once, and the ceremony that confirm-totp ends with a\ncode of the app. Until then nothing is added.",
		Example: "  meridian credential add-totp anna@acme.example",
	}, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		answer, err := client.Credentials.BeginTotp(ctx, &identityv1.BeginTotpRequest{User: user, IdempotencyKey: newKey()})
		return a.show(answer, err, "ceremony", answer.GetCeremony(), "secret", answer.GetSecret(), "address", answer.GetUri(),
			"then", "meridian credential confirm-totp "+user+" "+answer.GetCeremony()+" CODE")
	})
}

func (a *App) credentialConfirmTOTP() *cobra.Command {
	cmd := &cobra.Command{
		Use: "confirm-totp USER CEREMONY CODE", Args: cobra.ExactArgs(3), Short: "Add the authenticator app that shows a code",
		Example: "  meridian credential confirm-totp anna@acme.example aut_… 123456 --name Phone",
	}
	name := cmd.Flags().String("name", "", "what the user calls it")
	return a.onUser(cmd, func(ctx context.Context, client *meridian.Client, user string, args []string) error {
		answer, err := client.Credentials.FinishTotp(ctx, &identityv1.FinishTotpRequest{
			User: user, Ceremony: args[1], Code: args[2], Name: *name, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "added", words(answer.GetCredential().GetId(), answer.GetCredential().GetName()))
	})
}
