package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Explain implements CheckService.
func (s *Checks) Explain(ctx context.Context, req *authzv1.ExplainRequest) (*authzv1.ExplainResponse, error) {
	view, evaluated, err := s.view(ctx, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return nil, err
	}
	view, c, err := under(view, req.GetCircumstances())
	if err != nil {
		return nil, err
	}
	c.At = s.Clock()
	explanation, err := view.Explain(ctx, authzcore.Question{
		Subject: req.GetSubject(), Permission: req.GetPermission(), Resource: req.GetResource(),
	}, c)
	if err != nil {
		return nil, engineFault(err, "")
	}
	return &authzv1.ExplainResponse{
		Decision: decision(explanation.Decision.Answer), EvaluatedAt: evaluated, Model: view.Model().ID(),
		Root: stepMessage(explanation.Root), Truncated: explanation.Truncated, MissingContext: explanation.Decision.Missing,
	}, nil
}

func stepMessage(s *authzcore.Step) *authzv1.Step {
	if s == nil {
		return nil
	}
	out := &authzv1.Step{
		Kind: authzv1.StepKind(s.Kind), Question: s.Question, Decision: decision(s.Answer), Relationship: s.Relationship,
		Condition: s.Condition, MissingContext: s.Missing,
	}
	for i := range s.Steps {
		out.Steps = append(out.Steps, stepMessage(s.Steps[i]))
	}
	return out
}
