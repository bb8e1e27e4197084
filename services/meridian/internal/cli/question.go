package cli

import (
	"context"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// question is what all questions to an organization have.
type question struct {
	*meridian.Client
	organization string
	freshness    *commonv1.Freshness
	under        *authzv1.Circumstances
}

// freshnessOf is the freshness of a page. Only the first is asked to be as fresh
// as the flags say: the others are of its list.
func (q question) freshnessOf(cursor string) *commonv1.Freshness {
	if cursor != "" {
		return nil
	}
	return q.freshness
}

// asks makes a command ask a question: it adds the flags of freshness and
// circumstances.
func (a *App) asks(cmd *cobra.Command, ask func(ctx context.Context, q question, args []string) error) *cobra.Command {
	freshness, circumstances := freshnessFlags(cmd), circumstancesFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		under, err := circumstances()
		if err != nil {
			return err
		}
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		return ask(cmd.Context(), question{client, organization, freshness(), under}, args)
	}
	return cmd
}
