package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

func (a *App) trust() *cobra.Command {
	cmd := &cobra.Command{
		Use: "trust", GroupID: "manage", Short: "Trust clusters, build services and clouds about workloads: create, list, get, update, delete",
		Long: "A workload shows what its platform signed for it, and gets tokens of a service account;\n" +
			"no secret is stored anywhere. A trust says whose signature counts, about which workloads.",
	}
	cmd.AddCommand(a.trustCreate(), a.trustList(), a.trustGet(), a.trustUpdate(), a.trustDelete())
	return cmd
}

// trustFlags are the settings of a trust that create and update have flags for.
type trustFlags struct {
	flags *pflag.FlagSet

	subject, audience, account, jwks, jwksURI string
	scopes, resources                         []string
}

func newTrustFlags(cmd *cobra.Command) *trustFlags {
	f := &trustFlags{flags: cmd.Flags()}
	f.flags.StringVar(&f.subject, "subject", "", "which workloads: the claim sub, or whole parts of it and a * at the end")
	f.flags.StringVar(&f.audience, "audience", "", "what the platform's tokens must be for: the claim aud")
	f.flags.StringVar(&f.account, "service-account", "", "id of the service account that tokens are for")
	f.flags.StringVar(&f.jwks, "jwks", "", "JWK Set with the platform's public keys (default: they are fetched)")
	f.flags.StringVar(&f.jwksURI, "jwks-uri", "", "where the platform's public keys are fetched (default: where the issuer says)")
	f.flags.StringArrayVar(&f.scopes, "scope", nil, "scope that tokens may have; may be repeated")
	f.flags.StringArrayVar(&f.resources, "resource", nil, "API that tokens may be for; may be repeated")
	cmd.MarkFlagsMutuallyExclusive("jwks", "jwks-uri")
	return f
}

// into puts what flags were given for into settings.
func (f *trustFlags) into(s *sessionsv1.TrustSettings) {
	for name, text := range map[string]struct{ from, to *string }{
		"subject": {&f.subject, &s.Subject}, "audience": {&f.audience, &s.Audience}, "service-account": {&f.account, &s.ServiceAccount},
	} {
		if f.flags.Changed(name) {
			*text.to = *text.from
		}
	}
	for name, list := range map[string]struct{ from, to *[]string }{
		"scope": {&f.scopes, &s.MaxScopes}, "resource": {&f.resources, &s.Resources},
	} {
		if f.flags.Changed(name) {
			*list.to = *list.from
		}
	}
	if f.flags.Changed("jwks") || f.flags.Changed("jwks-uri") {
		s.Jwks, s.JwksUri = f.jwks, f.jwksURI
	}
}

func (a *App) trustCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Args: cobra.ExactArgs(1), Short: "Trust an issuer about some of its workloads",
		Long: "Creates a trust. Its id is the client_id with which workloads ask for tokens.\n" +
			"Without --jwks and --jwks-uri keys are fetched from where the issuer says, and again when it changes them.",
		Example: `  # GitHub Actions: one branch of a repository, or all that runs in it
  meridian trust create deploy --issuer https://token.actions.githubusercontent.com --subject repo:example/app:ref:refs/heads/main \
    --audience https://id.example.com/example --service-account svc_… --scope deploy
  meridian trust create builds --issuer https://token.actions.githubusercontent.com --subject 'repo:example/app:*' \
    --audience https://id.example.com/example --service-account svc_… --scope read
  # Kubernetes: a cluster that the internet reaches, and one that it does not
  meridian trust create cluster --issuer https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE \
    --subject system:serviceaccount:production:deployer --audience https://id.example.com/example --service-account svc_…
  meridian trust create cluster --issuer https://kubernetes.default.svc.cluster.local --jwks "$(kubectl get --raw /openid/v1/jwks)" \
    --subject 'system:serviceaccount:production:*' --audience https://id.example.com/example --service-account svc_…
  # Google Cloud: a service account, by its unique id
  meridian trust create cloud-run --issuer https://accounts.google.com --subject 112010400000000710080 \
    --audience https://id.example.com/example --service-account svc_…
  # AWS: a role, by the issuer of the account (aws iam get-outbound-web-identity-federation-info)
  meridian trust create lambda --issuer https://a103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws \
    --subject arn:aws:iam::123456789012:role/Deployer --audience https://id.example.com/example --service-account svc_…
  # SPIFFE: a trust domain, with its bundle endpoint
  meridian trust create mesh --issuer spiffe://example.org --jwks-uri https://spire.example.org/bundle \
    --subject 'spiffe://example.org/ns/production/*' --audience https://id.example.com/example --service-account svc_…`,
	}
	issuer := cmd.Flags().String("issuer", "", "who signs: the claim iss, or spiffe:// and a trust domain")
	flags := newTrustFlags(cmd)
	for _, name := range []string{"issuer", "subject", "audience", "service-account"} {
		_ = cmd.MarkFlagRequired(name) // it is there
	}
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		settings := &sessionsv1.TrustSettings{Name: args[0], Issuer: *issuer}
		flags.into(settings)
		answer, err := client.Trusts.CreateTrust(ctx, &sessionsv1.CreateTrustRequest{
			Organization: organization, Settings: settings, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "created", words(answer.GetTrust().GetId(), args[0]))
	})
}

// keysOf says where a trust's keys are.
func keysOf(s *sessionsv1.TrustSettings) string {
	switch {
	case s.GetJwks() != "":
		return "in the trust"
	case s.GetJwksUri() != "":
		return s.GetJwksUri()
	default:
		return "where the issuer says"
	}
}

func (a *App) trustList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List trusts, oldest first",
		Example: "  meridian trust list\n  meridian trust list --json | jq -r .settings.subject",
	}
	limit, told := a.limitFlag(cmd)
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, _ []string) error {
		request := &sessionsv1.ListTrustsRequest{Organization: organization, PageSize: pageFor(*limit)}
		more, err := list(a, []string{"TRUST", "NAME", "ISSUER", "SUBJECT", "SERVICE ACCOUNT", "KEYS"}, *limit,
			func(cursor string) ([]*sessionsv1.Trust, string, error) {
				request.Cursor = cursor
				answer, err := client.Trusts.ListTrusts(ctx, request)
				return answer.GetTrusts(), answer.GetNextCursor(), err
			},
			func(t *sessionsv1.Trust) []string {
				s := t.GetSettings()
				return []string{t.GetId(), s.GetName(), s.GetIssuer(), s.GetSubject(), s.GetServiceAccount(), keysOf(s)}
			})
		told(more)
		return err
	})
}

func (a *App) trustGet() *cobra.Command {
	return a.inside(&cobra.Command{
		Use: "get ID", Aliases: []string{"show"}, Args: cobra.ExactArgs(1), Short: "Print a trust; with its keys, if it has any, with --json",
		Example: "  meridian trust get tru_…\n  meridian trust get tru_… --json | jq -r .trust.settings.jwks",
	}, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.Trusts.GetTrust(ctx, &sessionsv1.GetTrustRequest{Organization: organization, Trust: args[0]})
		t, s := answer.GetTrust(), answer.GetTrust().GetSettings()
		return a.show(answer, err, "trust", t.GetId(), "name", s.GetName(), "organization", t.GetOrganization(), "issuer", s.GetIssuer(),
			"keys", keysOf(s), "subject", s.GetSubject(), "audience", s.GetAudience(), "service account", s.GetServiceAccount(),
			"scopes", strings.Join(s.GetMaxScopes(), " "), "resources", strings.Join(s.GetResources(), " "), "created", timeText(t.GetCreatedAt()))
	})
}

func (a *App) trustUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update ID", Args: cobra.ExactArgs(1), Short: "Change a trust: all but its issuer",
		Long: "Changes what flags are given for. It counts for what workloads show from then on; tokens that they\n" +
			"have go on for five minutes at most. 'meridian trust delete' ends them at once.",
		Example: `  meridian trust update tru_… --subject 'repo:example/app:*' --scope deploy --scope read
  meridian trust update tru_… --jwks "$(kubectl get --raw /openid/v1/jwks)"
  meridian trust update tru_… --discover --json`,
	}
	name := cmd.Flags().String("name", "", "as people read it")
	discover := cmd.Flags().Bool("discover", false, "fetch keys from where the issuer says")
	flags := newTrustFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("discover", "jwks")
	cmd.MarkFlagsMutuallyExclusive("discover", "jwks-uri")
	cmd.MarkFlagsOneRequired("name", "discover", "subject", "audience", "service-account", "jwks", "jwks-uri", "scope", "resource")
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		there, err := client.Trusts.GetTrust(ctx, &sessionsv1.GetTrustRequest{Organization: organization, Trust: args[0]})
		if err != nil {
			return err
		}
		settings := there.GetTrust().GetSettings()
		if flags.into(settings); *discover {
			settings.Jwks, settings.JwksUri = "", ""
		}
		if to := given(cmd, "name", name); to != nil {
			settings.Name = *to
		}
		answer, err := client.Trusts.UpdateTrust(ctx, &sessionsv1.UpdateTrustRequest{
			Organization: organization, Trust: args[0], Settings: settings, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "updated", words(args[0], answer.GetTrust().GetSettings().GetName()))
	})
}

func (a *App) trustDelete() *cobra.Command {
	return a.inside(&cobra.Command{
		Use: "delete ID", Args: cobra.ExactArgs(1), Short: "Remove a trust for good; the tokens that workloads have by it are refused",
		Example: "  meridian trust delete tru_…\n  meridian trust delete tru_… --json",
	}, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.Trusts.DeleteTrust(ctx, &sessionsv1.DeleteTrustRequest{Organization: organization, Trust: args[0], IdempotencyKey: newKey()})
		return a.did(answer, err, "deleted", args[0])
	})
}
