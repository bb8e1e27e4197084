package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) org() *cobra.Command {
	cmd := &cobra.Command{Use: "org", GroupID: "manage", Short: "Organizations: create, list, move"}
	create := &cobra.Command{
		Use: "create SLUG", Args: cobra.ExactArgs(1), Short: "Create an organization",
		Example: "  meridian org create globex --name 'Globex Corporation'",
	}
	name := create.Flags().String("name", "", "what people call it (default: the slug)")
	region := create.Flags().String("region", "", "home region (default: the region that answers)")
	create.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		answer, err := client.Organizations.CreateOrganization(cmd.Context(), &identityv1.CreateOrganizationRequest{
			Slug: args[0], Name: first(*name, args[0]), HomeRegion: *region, IdempotencyKey: newKey(),
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		o := answer.GetOrganization()
		return a.changed("created", o.GetId()+"  "+o.GetSlug()+"  in "+o.GetHomeRegion(), answer.GetRevision())
	}
	cmd.AddCommand(create, a.orgList(), a.orgMove())
	return cmd
}

func (a *App) orgMove() *cobra.Command {
	cmd := &cobra.Command{
		Use: "move ORGANIZATION", Args: cobra.ExactArgs(1), Short: "Give an organization another home region",
		Example: "  meridian org move org_… --to us-east",
	}
	to := cmd.Flags().String("to", "", "the region that becomes its home (required)")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag was just defined
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		answer, err := client.Organizations.MoveHome(cmd.Context(), &identityv1.MoveHomeRequest{
			Organization: args[0], HomeRegion: *to, IdempotencyKey: newKey(),
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		o := answer.GetOrganization()
		return a.changed("at home", o.GetId()+"  "+o.GetSlug()+"  in "+o.GetHomeRegion(), answer.GetRevision())
	}
	return cmd
}

func (a *App) orgList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List organizations",
		Example: "  meridian org list --json | jq -r .id",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			req := &identityv1.ListOrganizationsRequest{PageSize: 200}
			_, err = list(a, []string{"ORGANIZATION", "SLUG", "NAME", "HOME", "CREATED"}, 0,
				func(cursor string) ([]*identityv1.Organization, string, error) {
					req.Cursor = cursor
					answer, err := client.Organizations.ListOrganizations(cmd.Context(), req)
					return answer.GetOrganizations(), answer.GetNextCursor(), err
				},
				func(o *identityv1.Organization) []string {
					return []string{o.GetId(), o.GetSlug(), o.GetName(), o.GetHomeRegion(), o.GetCreatedAt().AsTime().Format(time.RFC3339)}
				})
			return err
		},
	}
}

func (a *App) token() *cobra.Command {
	cmd := &cobra.Command{Use: "token", GroupID: "manage", Short: "API tokens: create, list, revoke"}
	platform := cmd.PersistentFlags().Bool("platform", false, "tokens of the whole platform instead of --organization")
	scope := func() string {
		if *platform {
			return ""
		}
		return a.organization
	}
	cmd.AddCommand(a.tokenCreate(scope), a.tokenList(scope), a.tokenRevoke(scope))
	return cmd
}

func (a *App) tokenCreate(scope func() string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Args: cobra.ExactArgs(1), Short: "Create a token; its secret is shown once",
		Example: "  meridian token create sql-console --level read\n  meridian token create deployer --platform --level admin --days 7",
	}
	level := cmd.Flags().String("level", "read", "read, write or admin")
	days := cmd.Flags().Uint32("days", 90, "days until it expires, 366 at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		value, ok := commonv1.Level_value["LEVEL_"+strings.ToUpper(*level)]
		if !ok {
			return fmt.Errorf("--level %q: must be read, write or admin", *level)
		}
		answer, err := client.Tokens.CreateApiToken(cmd.Context(), &identityv1.CreateApiTokenRequest{
			Organization: scope(), Name: args[0], Level: commonv1.Level(value), LifetimeSeconds: *days * 24 * 3600, IdempotencyKey: newKey(),
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		fmt.Fprintf(a.stderr, "token %s, level %s, until %s. The secret is shown once:\n",
			answer.GetToken().GetId(), *level, answer.GetToken().GetExpiresAt().AsTime().Format(time.DateOnly))
		_, err = fmt.Fprintln(a.stdout, answer.GetSecret())
		return err
	}
	return cmd
}

func (a *App) tokenList(scope func() string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List tokens, newest first",
		Example: "  meridian token list\n  meridian token list --platform",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			req := &identityv1.ListApiTokensRequest{Organization: scope(), PageSize: 200}
			_, err = list(a, []string{"TOKEN", "NAME", "LEVEL", "STATE"}, 0,
				func(cursor string) ([]*identityv1.ApiToken, string, error) {
					req.Cursor = cursor
					answer, err := client.Tokens.ListApiTokens(cmd.Context(), req)
					return answer.GetTokens(), answer.GetNextCursor(), err
				},
				func(t *identityv1.ApiToken) []string {
					state := "until " + t.GetExpiresAt().AsTime().Format(time.DateOnly)
					if t.GetRevokedAt() != nil {
						state = "revoked"
					}
					return []string{t.GetId(), t.GetName(), strings.ToLower(strings.TrimPrefix(t.GetLevel().String(), "LEVEL_")), state}
				})
			return err
		},
	}
}

func (a *App) tokenRevoke(scope func() string) *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN", Args: cobra.ExactArgs(1), Short: "End a token now",
		Example: "  meridian token revoke tok_…\n  meridian token revoke tok_… --platform",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			answer, err := client.Tokens.RevokeApiToken(cmd.Context(), &identityv1.RevokeApiTokenRequest{
				Organization: scope(), Token: args[0], IdempotencyKey: newKey(),
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.printMessage(answer)
			}
			return a.changed("revoked", args[0], answer.GetRevision())
		},
	}
}
