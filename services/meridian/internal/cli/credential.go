package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) credential() *cobra.Command {
	cmd := &cobra.Command{Use: "credential", GroupID: "manage", Short: "What users prove themselves with: list, rename, delete, recovery-codes, add-totp, confirm-totp"}
	cmd.AddCommand(
		a.credentialList(), a.credentialRename(), a.credentialDelete(), a.credentialRecoveryCodes(), a.credentialAddTOTP(), a.credentialConfirmTOTP(),
	)
	return cmd
}

func (a *App) credentialList() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "list USER", Args: cobra.ExactArgs(1), Short: "List a user's password, passkeys, TOTPs and recovery codes, without secrets",
		Example: "  meridian credential list anna@acme.example",
	}, func(ctx context.Context, client *meridian.Client, user string, _ []string) error {
		_, err := list(a, []string{"CREDENTIAL", "KIND", "NAME", "CREATED", "LAST USED", "REMARKS"}, 0,
			func(string) ([]*identityv1.Credential, string, error) {
				answer, err := client.Credentials.ListCredentials(ctx, &identityv1.ListCredentialsRequest{User: user})
				return answer.GetCredentials(), "", err
			},
			func(c *identityv1.Credential) []string {
				return []string{
					c.GetId(), enumWord(c.GetKind()), first(c.GetName(), "-"), timeText(c.GetCreatedAt()), first(timeText(c.GetLastUsedAt()), "never"),
					credentialRemarks(c),
				}
			})
		return err
	})
}

func credentialRemarks(c *identityv1.Credential) string {
	switch {
	case c.GetKind() == identityv1.CredentialKind_CREDENTIAL_KIND_RECOVERY_CODES:
		return fmt.Sprintf("%d left", c.GetLeft())
	case c.GetPasskey().GetFlagged():
		return "refused: perhaps cloned"
	case c.GetPasskey().GetBackedUp():
		return "for " + c.GetPasskey().GetRpId() + ", synchronized"
	case c.GetPasskey() != nil:
		return "for " + c.GetPasskey().GetRpId()
	default:
		return ""
	}
}

func (a *App) credentialRename() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "rename USER CREDENTIAL NAME", Args: cobra.ExactArgs(3), Short: "Give a passkey or TOTP a name",
		Example: "  meridian credential rename anna@acme.example crd_… 'Blue key'",
	}, func(ctx context.Context, client *meridian.Client, user string, args []string) error {
		answer, err := client.Credentials.RenameCredential(ctx, &identityv1.RenameCredentialRequest{
			User: user, Credential: args[1], Name: args[2], IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "renamed", words(answer.GetCredential().GetId(), answer.GetCredential().GetName()))
	})
}

func (a *App) credentialDelete() *cobra.Command {
	return a.onUser(&cobra.Command{
		Use: "delete USER CREDENTIAL", Args: cobra.ExactArgs(2), Short: "Remove a credential: the user proves nothing with it any more",
		Example: "  meridian credential delete anna@acme.example crd_…",
	}, func(ctx context.Context, client *meridian.Client, user string, args []string) error {
		answer, err := client.Credentials.DeleteCredential(ctx, &identityv1.DeleteCredentialRequest{
			User: user, Credential: args[1], IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "deleted", args[1])
	})
}
