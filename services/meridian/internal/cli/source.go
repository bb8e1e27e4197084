package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) source() *cobra.Command {
	cmd := &cobra.Command{Use: "source", GroupID: "manage", Short: "Where imported users come from: put, list"}
	cmd.AddCommand(a.sourcePut(), a.sourceList())
	return cmd
}

func (a *App) sourcePut() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put NAME", Args: cobra.ExactArgs(1), Short: "Name a source of users, or change it; what is not named stays",
		Long: "Names a source, and where passwords of its users are checked at their first sign-in. When its\n" +
			"signing key is made, it is printed to standard output, once: the checker verifies calls with it.",
		Example: `  meridian source put legacy-console --checker-url https://console.example/check
  meridian source put legacy-console --disabled
  meridian source put legacy-console --new-secret`,
	}
	checker := cmd.Flags().String("checker-url", "", "where passwords are checked: https, or http on this machine; empty: nowhere")
	secret := cmd.Flags().Bool("new-secret", false, "make another signing key; calls are signed with the one before, too")
	disabled := cmd.Flags().Bool("disabled", false, "the checker is not asked")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		request := &identityv1.PutSourceRequest{Name: args[0], CheckerUrl: *checker, Disabled: *disabled, NewSecret: *secret, IdempotencyKey: newKey()}
		now, err := client.Migration.ListSources(cmd.Context(), &identityv1.ListSourcesRequest{})
		if err != nil {
			return err
		}
		for _, s := range now.GetSources() {
			if s.GetName() != args[0] {
				continue
			}
			if !cmd.Flags().Changed("checker-url") {
				request.CheckerUrl = s.GetCheckerUrl()
			}
			if !cmd.Flags().Changed("disabled") {
				request.Disabled = s.GetDisabled()
			}
		}
		answer, err := client.Migration.PutSource(cmd.Context(), request)
		if err != nil || a.json || answer.GetSecret() == "" {
			return a.did(answer, err, "put", sourceText(answer.GetSource()))
		}
		fmt.Fprintf(a.stderr, "source %s. The signing key is shown once:\n", sourceText(answer.GetSource()))
		_, err = fmt.Fprintln(a.stdout, answer.GetSecret())
		return err
	}
	return cmd
}

func sourceText(s *identityv1.Source) string {
	off := ""
	if s.GetDisabled() {
		off = "disabled"
	}
	return words(s.GetName(), s.GetCheckerUrl(), off)
}

func (a *App) sourceList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List sources, and how many of their users have a password here",
		Example: "  meridian source list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			_, err = list(a, []string{"SOURCE", "USERS", "MIGRATED", "DISABLED", "CHECKER"}, 0,
				func(string) ([]*identityv1.Source, string, error) {
					answer, err := client.Migration.ListSources(cmd.Context(), &identityv1.ListSourcesRequest{})
					return answer.GetSources(), "", err
				},
				func(s *identityv1.Source) []string {
					return []string{
						s.GetName(), strconv.FormatUint(s.GetUsers(), 10), strconv.FormatUint(s.GetMigrated(), 10), yesNo(s.GetDisabled()),
						first(s.GetCheckerUrl(), "-"),
					}
				})
			return err
		},
	}
}
