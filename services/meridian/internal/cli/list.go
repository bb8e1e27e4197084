package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

func (a *App) lists() *cobra.Command {
	cmd := &cobra.Command{Use: "list", GroupID: "ask", Short: "What may a subject do, where, and who may?"}
	cmd.AddCommand(a.listObjects(), a.listSubjects(), a.listActions())
	return cmd
}

// listPage is how many a page of a list has.
const listPage = 1000

// limitFlag adds --limit. told says, to people, when there is more.
func (a *App) limitFlag(cmd *cobra.Command) (limit *int, told func(more bool)) {
	limit = cmd.Flags().Int("limit", 0, "print so many at most (default: all)")
	return limit, func(more bool) {
		if more && !a.json {
			fmt.Fprintf(a.stderr, "there are more than %d; raise --limit to see them\n", *limit)
		}
	}
}

func pageOf(limit int) uint32 {
	if limit <= 0 || limit >= listPage {
		return listPage
	}
	return uint32(limit)
}

// whole refuses a page that the deadline cut: it would begin again.
func whole(incomplete authzv1.Incomplete, err error) error {
	if err == nil && incomplete == authzv1.Incomplete_INCOMPLETE_DEADLINE {
		return meridian.ErrIncomplete
	}
	return err
}

func (a *App) listObjects() *cobra.Command {
	cmd := &cobra.Command{
		Use: "objects SUBJECT PERMISSION TYPE", Args: cobra.ExactArgs(3),
		Short: "On which resources of a type has a subject a permission?",
		Example: `  meridian list objects user:anna can_select table
  meridian list objects user:anna can_select table --limit 10 --json
  meridian list objects user:anna can_select table --context '{"ip": "10.0.0.7"}'`,
	}
	limit, told := a.limitFlag(cmd)
	return a.asks(cmd, func(ctx context.Context, q question, args []string) error {
		more, err := list(a, []string{"RESOURCE", "DECISION"}, *limit, func(cursor string) ([]found, string, error) {
			answer, err := q.Lookups.ListObjects(ctx, &authzv1.ListObjectsRequest{
				Organization: q.organization, Subject: args[0], Permission: args[1], ResourceType: args[2],
				Freshness: q.freshnessOf(cursor), Circumstances: q.under, PageSize: pageOf(*limit), Cursor: cursor,
			})
			return foundOf("resource", answer.GetObjects(), answer.GetConditional()), answer.GetNextCursor(), whole(answer.GetIncompleteReason(), err)
		}, found.row)
		told(more)
		return err
	})
}

// found is one resource or subject of a list.
type found struct {
	// what it is: resource or subject.
	what, name string
	decision   authzv1.Decision
}

func foundOf(what string, names []string, conditional []uint32) []found {
	out := make([]found, len(names))
	for i, name := range names {
		out[i] = found{what, name, authzv1.Decision_DECISION_ALLOW}
	}
	for _, i := range conditional {
		out[i].decision = authzv1.Decision_DECISION_CONDITIONAL
	}
	return out
}

func (f found) row() []string { return []string{f.name, word(f.decision)} }

// MarshalJSON implements json.Marshaler.
func (f found) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{f.what: f.name, "decision": f.decision.String()})
}

func (a *App) listSubjects() *cobra.Command {
	cmd := &cobra.Command{
		Use: "subjects RESOURCE PERMISSION TYPE", Args: cobra.ExactArgs(3),
		Short: "Which subjects of a type have a permission on a resource?",
		Long:  "Lists subjects, sorted. Of those that only a wildcard reaches it lists the wildcard, TYPE:*.",
		Example: `  meridian list subjects table:orders can_select user
  meridian list subjects table:orders can_select group --relation member
  meridian list subjects table:orders can_select user --json`,
	}
	relation := cmd.Flags().String("relation", "", "list usersets TYPE:id#RELATION instead")
	limit, told := a.limitFlag(cmd)
	return a.asks(cmd, func(ctx context.Context, q question, args []string) error {
		more, err := list(a, []string{"SUBJECT", "DECISION"}, *limit, func(cursor string) ([]found, string, error) {
			answer, err := q.Lookups.ListSubjects(ctx, &authzv1.ListSubjectsRequest{
				Organization: q.organization, Resource: args[0], Permission: args[1], SubjectType: args[2], SubjectRelation: *relation,
				Freshness: q.freshnessOf(cursor), Circumstances: q.under, PageSize: pageOf(*limit), Cursor: cursor,
			})
			return foundOf("subject", answer.GetSubjects(), answer.GetConditional()), answer.GetNextCursor(), whole(answer.GetIncompleteReason(), err)
		}, found.row)
		told(more)
		return err
	})
}

func (a *App) listActions() *cobra.Command {
	cmd := &cobra.Command{
		Use: "actions SUBJECT RESOURCE", Args: cobra.ExactArgs(2),
		Short: "Which permissions and relations has a subject on a resource?",
		Example: `  meridian list actions user:anna table:orders
  meridian list actions user:anna table:orders --json | jq -r .permission`,
	}
	return a.asks(cmd, func(ctx context.Context, q question, args []string) error {
		_, err := list(a, []string{"PERMISSION", "DECISION", "MISSING"}, 0, func(string) ([]*authzv1.Action, string, error) {
			answer, err := q.Lookups.ListActions(ctx, &authzv1.ListActionsRequest{
				Organization: q.organization, Subject: args[0], Resource: args[1], Freshness: q.freshness, Circumstances: q.under,
			})
			return answer.GetActions(), "", err
		}, func(x *authzv1.Action) []string {
			return []string{x.GetPermission(), word(x.GetDecision()), strings.Join(x.GetMissingContext(), ", ")}
		})
		return err
	})
}
