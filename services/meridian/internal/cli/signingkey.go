package cli

import (
	"github.com/spf13/cobra"

	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

func (a *App) signingKey() *cobra.Command {
	cmd := &cobra.Command{Use: "signing-key", GroupID: "manage", Short: "Keys that tokens are signed with: list, rotate"}
	cmd.AddCommand(a.signingKeyList(), a.signingKeyRotate())
	return cmd
}

func (a *App) signingKeyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List the keys of all regions, oldest first", Example: "  meridian signing-key list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			_, err = list(a, []string{"KEY", "REGION", "ALGORITHM", "STATE", "SIGNS FROM", "GOES"}, 0,
				func(string) ([]*sessionsv1.SigningKey, string, error) {
					answer, err := client.SigningKeys.ListSigningKeys(cmd.Context(), &sessionsv1.ListSigningKeysRequest{})
					return answer.GetKeys(), "", err
				},
				func(k *sessionsv1.SigningKey) []string {
					return []string{
						k.GetKid(), k.GetRegion(), k.GetAlgorithm(), enumWord(k.GetState()), timeText(k.GetActiveAt()), first(timeText(k.GetDeleteAt()), "-"),
					}
				})
			return err
		},
	}
}

func (a *App) signingKeyRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate REGION ALGORITHM", Args: cobra.ExactArgs(2), Short: "Make the next key now; it is published before it signs",
		Long: "Makes the next key of a region: it is published at once, and signs 20 minutes later. With\n" +
			"--emergency it signs at once and the key before it is removed: all tokens that it signed are refused.",
		Example: "  meridian signing-key rotate eu-west ES256\n  meridian signing-key rotate eu-west ES256 --emergency",
	}
	emergency := cmd.Flags().Bool("emergency", false, "somebody else may have the key: refuse all that it signed")
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		if *emergency {
			if err := a.confirmed(cmd.Context(), *yes, "All tokens that the key signed will be refused."); err != nil {
				return err
			}
		}
		answer, err := client.SigningKeys.RotateSigningKey(cmd.Context(), &sessionsv1.RotateSigningKeyRequest{
			Region: args[0], Algorithm: args[1], Emergency: *emergency, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "made", words(answer.GetKey().GetKid(), "signs from "+timeText(answer.GetKey().GetActiveAt())))
	}
	return cmd
}
