package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

func (a *App) expand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "expand RESOURCE PERMISSION", GroupID: "ask", Args: cobra.ExactArgs(2),
		Short: "What is a permission of a resource made of?",
		Long:  "Prints one level of the permission's definition with the stored subjects.\nAsk again for the usersets in it.",
		Example: `  meridian expand table:orders can_select
  meridian expand table:orders can_select --json`,
	}
	return a.asks(cmd, func(ctx context.Context, q question, args []string) error {
		answer, err := q.Lookups.Expand(ctx, &authzv1.ExpandRequest{
			Organization: q.organization, Resource: args[0], Permission: args[1], Freshness: q.freshness, Circumstances: q.under,
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		a.node(answer.GetRoot(), "", "")
		return nil
	})
}

// node draws a part of a definition and what is under it.
func (a *App) node(n *authzv1.ExpandNode, first, rest string) {
	kind := authzcore.StepKind(n.GetKind())
	line := kind.String() + "  " + n.GetName()
	if n.GetTupleset() != "" {
		line += "  from " + n.GetTupleset()
	}
	fmt.Fprintln(a.stdout, first+line)
	var leaves []string
	for _, r := range n.GetRelationships() {
		leaf := r.GetSubject()
		if r.GetCondition() != nil {
			leaf += "  with " + r.GetCondition().GetName()
		}
		if r.GetExpiresAt() != nil {
			leaf += "  until " + r.GetExpiresAt().AsTime().Format("2006-01-02T15:04:05Z")
		}
		leaves = append(leaves, leaf)
	}
	leaves = append(leaves, n.GetUsersets()...)
	for i, leaf := range leaves {
		branch, _ := authzcore.Branches(authzcore.StepDirect, i, len(leaves)+len(n.GetNodes()))
		fmt.Fprintln(a.stdout, rest+branch+leaf)
	}
	for i, under := range n.GetNodes() {
		branch, below := authzcore.Branches(kind, i, len(n.GetNodes()))
		a.node(under, rest+branch, rest+below)
	}
}
