package cli

import (
	"context"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

const clientDocument = "https://agent.example.com/client.json"

func (a *App) oauthClientBlock(of owned) *cobra.Command {
	return of(&cobra.Command{
		Use: "block URL", Args: cobra.ExactArgs(1), Short: "Refuse a client that nobody registered, and the tokens that it has",
		Long: "Refuses a client whose id is the URL of the document in which it describes itself: for the\n" +
			"organization or, with --platform, for everybody.",
		Example: "  meridian client block " + clientDocument + "\n  meridian client block " + clientDocument + " --platform",
	}, func(ctx context.Context, client *meridian.Client, owner string, args []string) error {
		answer, err := client.Clients.BlockClient(ctx, &sessionsv1.BlockClientRequest{Organization: owner, Client: args[0], IdempotencyKey: newKey()})
		return a.did(answer, err, "blocked", args[0])
	})
}

func (a *App) oauthClientUnblock(of owned) *cobra.Command {
	return of(&cobra.Command{
		Use: "unblock URL", Args: cobra.ExactArgs(1), Short: "Take a client again that was blocked",
		Example: "  meridian client unblock " + clientDocument,
	}, func(ctx context.Context, client *meridian.Client, owner string, args []string) error {
		answer, err := client.Clients.UnblockClient(ctx, &sessionsv1.UnblockClientRequest{Organization: owner, Client: args[0], IdempotencyKey: newKey()})
		return a.did(answer, err, "unblocked", args[0])
	})
}

func (a *App) oauthClientBlocked(of owned) *cobra.Command {
	return of(&cobra.Command{
		Use: "blocked", Args: cobra.NoArgs, Short: "List the clients that are blocked",
		Example: "  meridian client blocked\n  meridian client blocked --platform --json | jq -r .client",
	}, func(ctx context.Context, client *meridian.Client, owner string, _ []string) error {
		_, err := list(a, []string{"CLIENT", "BLOCKED"}, 0,
			func(string) ([]*sessionsv1.BlockedClient, string, error) {
				answer, err := client.Clients.ListBlockedClients(ctx, &sessionsv1.ListBlockedClientsRequest{Organization: owner})
				return answer.GetClients(), "", err
			},
			func(c *sessionsv1.BlockedClient) []string { return []string{c.GetClient(), timeText(c.GetBlockedAt())} })
		return err
	})
}
