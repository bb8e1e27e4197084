package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) token() *cobra.Command {
	cmd := &cobra.Command{Use: "token", GroupID: "manage", Short: "API tokens: create, list, rotate, revoke"}
	platform := cmd.PersistentFlags().Bool("platform", false, "tokens of the whole platform instead of --organization")
	scope := func() string {
		if *platform {
			return ""
		}
		return a.organization
	}
	cmd.AddCommand(a.tokenCreate(scope), a.tokenList(scope), a.tokenRotate(scope), a.tokenRevoke(scope))
	return cmd
}

func (a *App) tokenCreate(scope func() string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Args: cobra.ExactArgs(1), Short: "Create a token; its secret is shown once",
		Example: `  meridian token create sql-console --level read
  meridian token create deployer --platform --level admin --days 7
  meridian token create ci --service-account svc_… --scope meridian.authz.v1.CheckService`,
	}
	level := cmd.Flags().String("level", "read", "read, write or admin")
	days := cmd.Flags().Uint32("days", 90, "days until it expires, 366 at most")
	account := cmd.Flags().String("service-account", "", "id of the service account that calls with it")
	scopes := cmd.Flags().StringArray("scope", nil, "service or procedure that it may call, as meridian.authz.v1.CheckService/Check; may be repeated (default: all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		as, err := choose[commonv1.Level]("--level", *level)
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		answer, err := client.Tokens.CreateApiToken(cmd.Context(), &identityv1.CreateApiTokenRequest{
			Organization: scope(), Name: args[0], Level: as, LifetimeSeconds: seconds(*days),
			ServiceAccount: *account, Scopes: *scopes, IdempotencyKey: newKey(),
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		return a.secretOnce(answer.GetToken(), answer.GetSecret())
	}
	return cmd
}

// maxOverlap is how long a rotated token can go on.
const maxOverlap = 30 * 24 * time.Hour

// seconds of days; as many as there can be, which the server refuses, when they
// are more.
func seconds(days uint32) uint32 { return uint32(min(uint64(days)*24*3600, math.MaxUint32)) }

// secretOnce prints a secret to standard output and what it is to standard error.
func (a *App) secretOnce(t *identityv1.ApiToken, secret string) error {
	fmt.Fprintf(a.stderr, "token %s, level %s, until %s. The secret is shown once:\n",
		t.GetId(), enumWord(t.GetLevel()), t.GetExpiresAt().AsTime().Format(time.DateOnly))
	_, err := fmt.Fprintln(a.stdout, secret)
	return err
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
			req := &identityv1.ListApiTokensRequest{Organization: scope(), PageSize: identityPage}
			_, err = list(a, []string{"TOKEN", "NAME", "LEVEL", "STATE", "LAST USED", "SERVICE ACCOUNT", "SCOPES"}, 0,
				func(cursor string) ([]*identityv1.ApiToken, string, error) {
					req.Cursor = cursor
					answer, err := client.Tokens.ListApiTokens(cmd.Context(), req)
					return answer.GetTokens(), answer.GetNextCursor(), err
				},
				func(t *identityv1.ApiToken) []string {
					state := "until " + t.GetExpiresAt().AsTime().Format(time.DateOnly)
					switch left := time.Until(t.GetExpiresAt().AsTime()); {
					case t.GetRevokedAt() != nil:
						state = "revoked"
					case left <= 0:
						state = "expired"
					case left < 48*time.Hour: // as a rotated one that goes on for a while
						state = "until " + timeText(t.GetExpiresAt())
					}
					return []string{
						t.GetId(), t.GetName(), enumWord(t.GetLevel()), state,
						first(timeText(t.GetLastUsedAt()), "never"), first(t.GetServiceAccount(), "-"), first(strings.Join(t.GetScopes(), " "), "all"),
					}
				})
			return err
		},
	}
}

func (a *App) tokenRotate(scope func() string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate TOKEN", Args: cobra.ExactArgs(1), Short: "Make a token that takes another's place; its secret is shown once",
		Long: "Makes a token with the name, level, scopes and service account of another, which goes on for\n" +
			"--overlap, so that callers can change over.",
		Example: "  meridian token rotate tok_…\n  meridian token rotate tok_… --overlap 1h --days 30",
	}
	overlap := cmd.Flags().Duration("overlap", 24*time.Hour, "how long the old token goes on, 720h at most")
	days := cmd.Flags().Uint32("days", 90, "days until the new one expires, 366 at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *overlap < time.Second || *overlap > maxOverlap {
			return fmt.Errorf("--overlap %s: must be 1s to 720h", *overlap)
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		answer, err := client.Tokens.RotateApiToken(cmd.Context(), &identityv1.RotateApiTokenRequest{
			Organization: scope(), Token: args[0], OverlapSeconds: uint32(overlap.Seconds()),
			LifetimeSeconds: seconds(*days), IdempotencyKey: newKey(),
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		fmt.Fprintf(a.stderr, "token %s goes on until %s\n", args[0], timeText(answer.GetReplaced().GetExpiresAt()))
		return a.secretOnce(answer.GetToken(), answer.GetSecret())
	}
	return cmd
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
			return a.did(answer, err, "revoked", args[0])
		},
	}
}
