package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// freshnessFlags adds the flags that say how fresh an answer must be.
func freshnessFlags(cmd *cobra.Command) func() *commonv1.Freshness {
	atLeast := cmd.Flags().String("at-least", "", "answer at this revision token or later")
	full := cmd.Flags().Bool("fully-consistent", false, "answer at the log's head as it is now")
	cmd.MarkFlagsMutuallyExclusive("at-least", "fully-consistent")
	return func() *commonv1.Freshness {
		switch {
		case *atLeast != "":
			return &commonv1.Freshness{Level: &commonv1.Freshness_AtLeast{AtLeast: *atLeast}}
		case *full:
			return &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}}
		default:
			return nil
		}
	}
}

func (a *App) check() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check SUBJECT PERMISSION RESOURCE", GroupID: "ask", Args: cobra.ExactArgs(3),
		Short: "May this subject do this to this resource?",
		Long: `Prints ALLOW, DENY, or CONDITIONAL and the parameters of conditions that are
missing: give them with --context. Exit code: 0 allow, 1 deny or conditional,
2 no answer.`,
		Example: `  meridian check user:anna can_select table:orders
  meridian check user:dana can_scale service:prod --fully-consistent
  meridian check user:anna can_select table:orders --context '{"ip": "10.0.0.7"}'
  meridian check user:zoe can_select table:orders --with 'table:orders#reader@user:zoe'
  meridian check user:anna can_select table:orders --json | jq .decision`,
	}
	return a.asks(cmd, func(ctx context.Context, q question, args []string) error {
		answer, err := q.Checks.Check(ctx, &authzv1.CheckRequest{
			Organization: q.organization, Subject: args[0], Permission: args[1], Resource: args[2],
			Freshness: q.freshness, Circumstances: q.under,
		})
		if err != nil {
			return err
		}
		if a.json {
			err = a.printMessage(answer)
		} else {
			_, err = fmt.Fprintf(a.stdout, "%s  at sequence %d, %s old\n", word(answer.GetDecision()),
				answer.GetEvaluatedAt().GetSequence(), age(answer.GetEvaluatedAt().GetAge().AsDuration()))
			a.missing(answer.GetMissingContext())
		}
		return verdict(answer.GetDecision(), err)
	})
}

// age is a duration for people.
func age(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// missing prints the parameters that a conditional answer lacks.
func (a *App) missing(parameters []string) {
	if len(parameters) > 0 {
		fmt.Fprintf(a.stdout, "missing: %s\n", strings.Join(parameters, ", "))
	}
}

func word(d authzv1.Decision) string { return strings.TrimPrefix(d.String(), "DECISION_") }

func verdict(d authzv1.Decision, err error) error {
	if err == nil && d != authzv1.Decision_DECISION_ALLOW {
		return errNo
	}
	return err
}

func (a *App) explain() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain SUBJECT PERMISSION RESOURCE", GroupID: "ask", Args: cobra.ExactArgs(3),
		Short: "Why, or why not?",
		Long: `Prints the decision and the path that led to it; for a deny, all that was tried:
✓ yes, ✗ no, ? depends on parameters that are missing. Exit code: 0 allow,
1 deny or conditional, 2 no answer.`,
		Example: `  meridian explain user:anna can_select table:orders
  meridian explain user:mallory can_run pipe:orders-from-kafka
  meridian explain user:anna can_select table:orders --context '{"ip": "10.0.0.7"}'`,
	}
	return a.asks(cmd, func(ctx context.Context, q question, args []string) error {
		answer, err := q.Checks.Explain(ctx, &authzv1.ExplainRequest{
			Organization: q.organization, Subject: args[0], Permission: args[1], Resource: args[2],
			Freshness: q.freshness, Circumstances: q.under,
		})
		if err != nil {
			return err
		}
		if a.json {
			return verdict(answer.GetDecision(), a.printMessage(answer))
		}
		fmt.Fprintf(a.stdout, "%s  %s %s %s\n\n", word(answer.GetDecision()), args[0], args[1], args[2])
		step(answer.GetRoot()).Draw(func(line string) bool {
			_, err = fmt.Fprintln(a.stdout, line)
			return err == nil
		})
		if answer.GetTruncated() {
			fmt.Fprintln(a.stdout, "… cut at 1,000 steps")
		}
		a.missing(answer.GetMissingContext())
		return verdict(answer.GetDecision(), err)
	})
}

var answers = map[authzv1.Decision]authzcore.Answer{
	authzv1.Decision_DECISION_ALLOW: authzcore.Allow, authzv1.Decision_DECISION_CONDITIONAL: authzcore.Conditional,
}

// step is a step of an answer as the engine has it, which draws it.
func step(s *authzv1.Step) *authzcore.Step {
	out := &authzcore.Step{
		Kind: authzcore.StepKind(s.GetKind()), Question: s.GetQuestion(), Relationship: s.GetRelationship(),
		Condition: s.GetCondition(), Missing: s.GetMissingContext(), Answer: answers[s.GetDecision()],
	}
	out.Allowed = out.Answer == authzcore.Allow
	for _, under := range s.GetSteps() {
		out.Steps = append(out.Steps, step(under))
	}
	return out
}
