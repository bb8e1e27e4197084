package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// oauthClient is `meridian client`: the method client makes the one that calls.
func (a *App) oauthClient() *cobra.Command {
	cmd := &cobra.Command{Use: "client", GroupID: "manage", Short: "OAuth clients: create, list, show, disable, enable, delete, add and revoke secrets, block those that nobody registered"}
	platform := cmd.PersistentFlags().Bool("platform", false, "clients of the whole platform instead of --organization")
	owned := func(cmd *cobra.Command, do func(ctx context.Context, client *meridian.Client, owner string, args []string) error) *cobra.Command {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			owner := a.organization
			if *platform {
				owner = ""
			}
			return do(cmd.Context(), client, owner, args)
		}
		return cmd
	}
	cmd.AddCommand(a.oauthClientCreate(owned), a.oauthClientList(owned), a.oauthClientShow(owned),
		a.oauthClientTurn(owned, "disable", "Refuse a client, and the tokens that it has", true),
		a.oauthClientTurn(owned, "enable", "Take a disabled client again", false),
		a.oauthClientDelete(owned), a.oauthClientAddSecret(owned), a.oauthClientRevokeSecret(owned),
		a.oauthClientBlock(owned), a.oauthClientUnblock(owned), a.oauthClientBlocked(owned))
	return cmd
}

// owned makes a command one about the clients of an owner.
type owned func(cmd *cobra.Command, do func(ctx context.Context, client *meridian.Client, owner string, args []string) error) *cobra.Command

func (a *App) oauthClientCreate(of owned) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Args: cobra.ExactArgs(1), Short: "Create a client; its secret, if it has one, is shown once",
		Long: "Creates a client. With --redirect it signs people in; without, it gets tokens for itself\n" +
			"or, with --service-account, for that one.",
		Example: `  meridian client create 'SQL console' --platform --redirect https://console.example.com/callback
  meridian client create app --platform --auth none --redirect http://127.0.0.1/callback --resource https://api.example.com --scope read
  meridian client create deployer --service-account svc_… --resource https://api.example.com`,
	}
	auth := cmd.Flags().String("auth", "secret-basic", "how it authenticates: "+enumWords[sessionsv1.ClientAuthentication]())
	redirects := cmd.Flags().StringArray("redirect", nil, "redirect URI, compared exactly; may be repeated")
	goodbyes := cmd.Flags().StringArray("post-logout-redirect", nil, "where logout may lead; may be repeated")
	scopes := cmd.Flags().StringArray("scope", nil, "scope beside openid, profile, email and offline_access; may be repeated")
	resources := cmd.Flags().StringArray("resource", nil, "API that its tokens may be for; may be repeated")
	account := cmd.Flags().String("service-account", "", "id of the service account that its own tokens are for")
	consent := cmd.Flags().Bool("consent", false, "ask users whether they agree")
	inOrganization := cmd.Flags().Bool("organization-required", false, "its tokens are for one organization, which the user chooses")
	jwks := cmd.Flags().String("jwks", "", "JWK Set with its public keys, for --auth private-key-jwt and self-signed-tls")
	subject := cmd.Flags().String("certificate-subject", "", "whom its certificate names, for --auth tls: dns:, uri:, ip:, email: or dn: and a name")
	unused := cmd.Flags().Bool("delete-unused", false, "delete it when it was given no token for 30 days")
	bound := cmd.Flags().Bool("certificate-bound", false, "its tokens are good with its certificate of TLS only")
	return of(cmd, func(ctx context.Context, client *meridian.Client, owner string, args []string) error {
		as, err := choose[sessionsv1.ClientAuthentication]("--auth", *auth)
		if err != nil {
			return err
		}
		settings := &sessionsv1.ClientSettings{
			Name: args[0], Authentication: as, RedirectUris: *redirects, PostLogoutRedirectUris: *goodbyes, Resources: *resources,
			ServiceAccount: *account, ConsentRequired: *consent, OrganizationRequired: *inOrganization, Jwks: *jwks,
			CertificateSubject: *subject, CertificateBound: *bound, DeleteUnused: *unused,
			GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS}, Scopes: *scopes,
		}
		if len(*redirects) > 0 {
			settings.GrantTypes = []sessionsv1.GrantType{
				sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE, sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN,
			}
			settings.Scopes = append([]string{"openid", "profile", "email", "offline_access"}, *scopes...)
		}
		answer, err := client.Clients.CreateClient(ctx, &sessionsv1.CreateClientRequest{Organization: owner, Settings: settings, IdempotencyKey: newKey()})
		switch {
		case err != nil:
			return err
		case a.json:
			return a.printMessage(answer)
		case answer.GetSecret() == "":
			return a.did(answer, nil, "created", words(answer.GetClient().GetId(), args[0]))
		}
		return a.clientSecretOnce(answer.GetClient(), answer.GetSecret())
	})
}

// clientSecretOnce prints a secret to standard output and what it is to standard error.
func (a *App) clientSecretOnce(c *sessionsv1.Client, secret string) error {
	fmt.Fprintf(a.stderr, "client_id %s. The secret is shown once:\n", c.GetId())
	_, err := fmt.Fprintln(a.stdout, secret)
	return err
}

func clientState(c *sessionsv1.Client) string {
	if c.GetDisabled() {
		return "disabled"
	}
	return "enabled"
}

func (a *App) oauthClientList(of owned) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List clients, oldest first",
		Example: "  meridian client list\n  meridian client list --platform --json | jq -r .id",
	}
	limit, told := a.limitFlag(cmd)
	return of(cmd, func(ctx context.Context, client *meridian.Client, owner string, _ []string) error {
		request := &sessionsv1.ListClientsRequest{Organization: owner, PageSize: pageFor(*limit)}
		more, err := list(a, []string{"CLIENT", "NAME", "STATE", "AUTHENTICATION", "SECRETS", "CREATED"}, *limit,
			func(cursor string) ([]*sessionsv1.Client, string, error) {
				request.Cursor = cursor
				answer, err := client.Clients.ListClients(ctx, request)
				return answer.GetClients(), answer.GetNextCursor(), err
			},
			func(c *sessionsv1.Client) []string {
				return []string{
					c.GetId(), c.GetSettings().GetName(), clientState(c), enumWord(c.GetSettings().GetAuthentication()),
					fmt.Sprint(len(c.GetSecrets())), timeText(c.GetCreatedAt()),
				}
			})
		told(more)
		return err
	})
}

func (a *App) oauthClientShow(of owned) *cobra.Command {
	return of(&cobra.Command{
		Use: "show ID", Args: cobra.ExactArgs(1), Short: "Print a client; all of its settings with --json",
		Example: "  meridian client show cli_… --json",
	}, func(ctx context.Context, client *meridian.Client, owner string, args []string) error {
		answer, err := client.Clients.GetClient(ctx, &sessionsv1.GetClientRequest{Organization: owner, Client: args[0]})
		c := answer.GetClient()
		pairs := []string{
			"client", c.GetId(), "name", c.GetSettings().GetName(), "organization", c.GetOrganization(), "state", clientState(c),
			"authentication", enumWord(c.GetSettings().GetAuthentication()), "created", timeText(c.GetCreatedAt()),
		}
		for _, uri := range c.GetSettings().GetRedirectUris() {
			pairs = append(pairs, "redirect", uri)
		}
		for _, s := range c.GetSecrets() {
			pairs = append(pairs, "secret", words(s.GetId(), "since "+timeText(s.GetCreatedAt()), timeText(s.GetExpiresAt())))
		}
		return a.show(answer, err, pairs...)
	})
}

func (a *App) oauthClientTurn(of owned, verb, short string, disabled bool) *cobra.Command {
	return of(&cobra.Command{
		Use: verb + " ID", Args: cobra.ExactArgs(1), Short: short, Example: "  meridian client " + verb + " cli_…",
	}, func(ctx context.Context, client *meridian.Client, owner string, args []string) error {
		answer, err := client.Clients.UpdateClient(ctx, &sessionsv1.UpdateClientRequest{
			Organization: owner, Client: args[0], Disabled: &disabled, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, clientState(answer.GetClient()), words(args[0], answer.GetClient().GetSettings().GetName()))
	})
}

func (a *App) oauthClientDelete(of owned) *cobra.Command {
	return of(&cobra.Command{
		Use: "delete ID", Args: cobra.ExactArgs(1), Short: "Remove a client for good; the tokens that it has are refused",
		Example: "  meridian client delete cli_…",
	}, func(ctx context.Context, client *meridian.Client, owner string, args []string) error {
		answer, err := client.Clients.DeleteClient(ctx, &sessionsv1.DeleteClientRequest{Organization: owner, Client: args[0], IdempotencyKey: newKey()})
		return a.did(answer, err, "deleted", args[0])
	})
}

func (a *App) oauthClientAddSecret(of owned) *cobra.Command {
	cmd := &cobra.Command{
		Use: "add-secret ID", Args: cobra.ExactArgs(1), Short: "Make a second secret, for a change without a gap; it is shown once",
		Example: "  meridian client add-secret cli_… --end-others 24h",
	}
	end := cmd.Flags().Duration("end-others", 0, "after how long the secrets that are live now end, 2160h at most (default: they stay)")
	return of(cmd, func(ctx context.Context, client *meridian.Client, owner string, args []string) error {
		if *end < 0 {
			return fmt.Errorf("--end-others %s: must not be negative", *end)
		}
		answer, err := client.Clients.AddClientSecret(ctx, &sessionsv1.AddClientSecretRequest{
			Organization: owner, Client: args[0], EndOthersSeconds: uint32(min(end.Seconds(), 1<<31)), IdempotencyKey: newKey(),
		})
		switch {
		case err != nil:
			return err
		case a.json:
			return a.printMessage(answer)
		}
		return a.clientSecretOnce(answer.GetClient(), answer.GetSecret())
	})
}

func (a *App) oauthClientRevokeSecret(of owned) *cobra.Command {
	return of(&cobra.Command{
		Use: "revoke-secret ID SECRET", Args: cobra.ExactArgs(2), Short: "End a secret now",
		Example: "  meridian client revoke-secret cli_… crs_…",
	}, func(ctx context.Context, client *meridian.Client, owner string, args []string) error {
		answer, err := client.Clients.RevokeClientSecret(ctx, &sessionsv1.RevokeClientSecretRequest{
			Organization: owner, Client: args[0], Secret: args[1], IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "revoked", args[1])
	})
}
