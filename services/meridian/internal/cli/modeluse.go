package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

func (a *App) modelAssigned() *cobra.Command {
	return &cobra.Command{
		Use: "assigned", Args: cobra.NoArgs,
		Short: "Say which model an organization uses, and from which revision on",
		Example: `  meridian model assigned
  meridian model assigned --organization org_… --json | jq -r .model`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, organization, err := a.inOrganization()
			if err != nil {
				return err
			}
			answer, err := client.Models.GetAssignment(cmd.Context(), &authzv1.GetAssignmentRequest{Organization: organization})
			if err != nil {
				return err
			}
			if a.json {
				return a.printMessage(answer)
			}
			line := "none: it stays with the model"
			if answer.GetLine() != "" {
				line = answer.GetLine()
			}
			_, err = fmt.Fprintf(a.stdout, "model     %s\nline      %s\nrevision  %s\n", answer.GetModel(), line, answer.GetRevision())
			return err
		},
	}
}

func (a *App) modelRollout() *cobra.Command {
	return &cobra.Command{
		Use: "rollout LINE", Args: cobra.ExactArgs(1),
		Short: "Say how far the organizations that follow a line have been moved, and who was left",
		Long: `A line is the name of its models. An organization with relationships that the next model would not allow
is left with the model that it has; meridian model diff shows them. Setting the model's state again tries those that were left.`,
		Example: `  meridian model rollout cloud
  meridian model rollout cloud --json | jq -r '.first_left[]?.organization'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			answer, err := client.Models.GetRollout(cmd.Context(), &authzv1.GetRolloutRequest{Line: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printMessage(answer)
			}
			return a.printRollout(args[0], answer)
		},
	}
}

func (a *App) printRollout(line string, r *authzv1.GetRolloutResponse) error {
	state := "under way"
	switch {
	case r.GetRevision() == "":
		state = "nobody had to be moved"
	case r.GetFinished():
		state = "finished"
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %s  moved %d  left %d\n", line, state, r.GetMoved(), r.GetLeft())
	if err != nil || len(r.GetFirstLeft()) == 0 {
		return err
	}
	rows := make([][]string, len(r.GetFirstLeft()))
	for i, l := range r.GetFirstLeft() {
		rows[i] = []string{l.GetOrganization(), l.GetModelNow(), l.GetModelWanted(), l.GetReason() + ": " + l.GetWhy()}
	}
	if err := a.table([]string{"LEFT", "USES", "SHOULD USE", "WHY"}, rows); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "what is in the way:\n  meridian model diff %s --organization %s\n",
		r.GetFirstLeft()[0].GetModelWanted(), r.GetFirstLeft()[0].GetOrganization())
	return err
}

// quoted is a word for a shell.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./", r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\\''`) + "'"
}
