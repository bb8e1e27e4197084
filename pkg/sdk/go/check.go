package meridian

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Question asks: may the subject do this to the resource?
type Question struct {
	Organization string
	// Subject is type:id, or type:id#relation.
	Subject string
	// Permission is a permission or relation of the resource's type.
	Permission string
	// Resource is type:id.
	Resource string
	// AtLeast is a revision token: the answer is not older. Empty: any answer
	// within the default staleness of 5 s.
	AtLeast string
	// Context has values for the parameters of conditions: nil, bool, numbers,
	// string, []any and map[string]any; 4 KiB at most.
	Context map[string]any
	// Contextual are relationships that hold for this question only; 100 at most.
	Contextual []*authzv1.Relationship
}

// Decision is the answer to a question.
type Decision struct {
	Allowed bool
	// Conditional: it depends on parameters that Question.Context lacks. It is not
	// allowed.
	Conditional bool
	// Missing are these parameters, sorted.
	Missing []string
	// Revision is the token of the state that the answer was given at.
	Revision string
	// Age is how far that state may be behind the newest.
	Age time.Duration
}

// Check asks whether the subject may. A deny is an answer, not an error; on an
// error treat the question as denied.
func (c *Client) Check(ctx context.Context, q Question) (Decision, error) {
	under, err := circumstances(q.Context, q.Contextual)
	if err != nil {
		return Decision{}, err
	}
	answer, err := c.Checks.Check(ctx, &authzv1.CheckRequest{
		Organization: q.Organization, Subject: q.Subject, Permission: q.Permission, Resource: q.Resource,
		Freshness: freshness(q.AtLeast), Circumstances: under,
	})
	if err != nil {
		return Decision{}, err
	}
	return decided(answer.GetDecision(), answer.GetMissingContext(), answer.GetEvaluatedAt()), nil
}

func decided(d authzv1.Decision, missing []string, at *commonv1.Evaluated) Decision {
	return Decision{
		Allowed:     d == authzv1.Decision_DECISION_ALLOW,
		Conditional: d == authzv1.Decision_DECISION_CONDITIONAL,
		Missing:     missing,
		Revision:    at.GetRevision(),
		Age:         at.GetAge().AsDuration(),
	}
}

// Answer is what one question of a batch was answered with.
type Answer struct {
	Decision

	// Err is why there is no decision; nil when there is. Is and AsError read it.
	Err error
}

// MaxBatch is how many questions a batch has at most.
const MaxBatch = 200

// BatchCheck asks up to MaxBatch questions of one organization at one revision.
// The answers come in order, each on its own: an error of one is in its Err. The
// error that BatchCheck returns concerns all.
func (c *Client) BatchCheck(ctx context.Context, questions []Question) ([]Answer, error) {
	if len(questions) == 0 {
		return nil, nil
	}
	first := questions[0]
	req := &authzv1.BatchCheckRequest{Organization: first.Organization, Freshness: freshness(first.AtLeast)}
	for i, q := range questions {
		if q.Organization != first.Organization || q.AtLeast != first.AtLeast {
			return nil, fmt.Errorf("question %d: all questions of a batch need the same Organization and AtLeast", i)
		}
		under, err := circumstances(q.Context, q.Contextual)
		if err != nil {
			return nil, fmt.Errorf("question %d: %w", i, err)
		}
		req.Items = append(req.Items, &authzv1.BatchCheckItem{
			Subject: q.Subject, Permission: q.Permission, Resource: q.Resource, Circumstances: under,
		})
	}
	answer, err := c.Checks.BatchCheck(ctx, req)
	if err != nil {
		return nil, err
	}
	out := make([]Answer, len(answer.GetResults()))
	for i, result := range answer.GetResults() {
		out[i].Decision = decided(result.GetDecision(), result.GetMissingContext(), answer.GetEvaluatedAt())
		if failed := result.GetError(); failed != nil {
			out[i].Err = &Error{
				Reason: commonv1.Reason(commonv1.Reason_value[failed.GetReason()]), Meta: failed.GetMetadata(),
				Err: connect.NewError(connect.CodeUnknown, errors.New(failed.GetMessage())),
			}
		}
	}
	return out, nil
}

func freshness(atLeast string) *commonv1.Freshness {
	if atLeast == "" {
		return nil
	}
	return &commonv1.Freshness{Level: &commonv1.Freshness_AtLeast{AtLeast: atLeast}}
}

func circumstances(values map[string]any, contextual []*authzv1.Relationship) (*authzv1.Circumstances, error) {
	if len(values) == 0 && len(contextual) == 0 {
		return nil, nil //nolint:nilnil // none is no error
	}
	out := &authzv1.Circumstances{Relationships: contextual}
	if len(values) > 0 {
		var err error
		if out.Context, err = structpb.NewStruct(values); err != nil {
			return nil, fmt.Errorf("context: %w", err)
		}
	}
	return out, nil
}
