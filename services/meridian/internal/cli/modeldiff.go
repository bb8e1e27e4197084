package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

func (a *App) modelDiff() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff [FROM] TO|FILE...", Args: cobra.MinimumNArgs(1),
		Short: "What a change of model does",
		Long: `Prints the definitions that differ, and which of an organization's relationships would not be
allowed any more. Without FROM it compares with the model that the organization uses.
Exit code: 0 none would be lost, 1 some would be.`,
		Example: `  meridian model diff model/fga.mod
  meridian model diff mdl_… --organization org_…
  meridian model diff mdl_… mdl_…
  meridian model diff mdl_… next.fga --json | jq .orphans`,
	}
	freshness := freshnessFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req, err := diffRequest(args)
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		// Two models can be compared without any organization.
		if req.Organization = a.organization; req.GetFrom() == "" && a.organization == "" {
			_, _, err := a.inOrganization()
			return err
		}
		req.Freshness = freshness()
		answer, err := client.Models.DiffModels(cmd.Context(), req)
		if err != nil {
			return err
		}
		if a.json {
			err = a.printMessage(answer)
		} else {
			err = printDiff(a.stdout, answer, req.GetOrganization(), a.paint())
		}
		if err == nil && answer.GetOrphaned() > 0 {
			return errNo
		}
		return err
	}
	return cmd
}

// isModel tells the id of a model from the name of a file.
func isModel(arg string) bool { return strings.HasPrefix(arg, "mdl_") }

func diffRequest(args []string) (*authzv1.DiffModelsRequest, error) {
	req := &authzv1.DiffModelsRequest{}
	switch {
	case len(args) == 1 && isModel(args[0]):
		req.To = args[0]
		return req, nil
	case len(args) == 2 && isModel(args[0]) && isModel(args[1]):
		req.From, req.To = args[0], args[1]
		return req, nil
	case isModel(args[0]):
		req.From, args = args[0], args[1:]
	}
	files, err := readModel(args)
	for _, f := range files {
		req.Files = append(req.Files, &authzv1.ModelFile{Path: f.Path, Content: f.Content})
	}
	return req, err
}

// printDiff prints definitions as - and + lines under their names, then orphans.
func printDiff(w io.Writer, d *authzv1.DiffModelsResponse, organization string, p paint) error {
	var b strings.Builder
	line := func(c colour, text string) {
		b.WriteString(p.in(c, text) + "\n")
	}
	block := func(c colour, sign, text string) {
		for part := range strings.Lines(text) {
			line(c, sign+strings.TrimSuffix(part, "\n"))
		}
	}
	if len(d.GetChanges()) == 0 {
		line(plain, "no definition differs")
	}
	for _, c := range d.GetChanges() {
		line(bold, definitionName(c))
		block(red, "- ", c.GetBefore())
		block(green, "+ ", c.GetAfter())
	}
	if organization == "" {
		_, err := io.WriteString(w, b.String())
		return err
	}
	line(plain, "")
	for _, o := range d.GetOrphans() {
		line(red, fmt.Sprintf("%d × %s", o.GetCount(), o.GetKind()))
		line(plain, "    "+o.GetWhy())
		for _, r := range o.GetExamples() {
			line(plain, fmt.Sprintf("    %s#%s@%s", r.GetResource(), r.GetRelation(), r.GetSubject()))
		}
	}
	line(plain, fmt.Sprintf("%d of %d relationships of %s would not be allowed any more", d.GetOrphaned(), d.GetRelationships(), organization))
	_, err := io.WriteString(w, b.String())
	return err
}

func definitionName(c *authzv1.DefinitionChange) string {
	switch {
	case c.GetCondition() != "":
		return "condition " + c.GetCondition()
	case c.GetRelation() != "":
		return c.GetType() + "#" + c.GetRelation()
	default:
		return "type " + c.GetType()
	}
}
