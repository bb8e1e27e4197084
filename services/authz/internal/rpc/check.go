// Package rpc serves the authz service's procedures: parse, decide, reply.
package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/revision"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
)

// Checks serves CheckService.
type Checks struct {
	authzv1connect.UnimplementedCheckServiceHandler

	Graphs *graphs.Registry
}

var _ authzv1connect.CheckServiceHandler = (*Checks)(nil)

// Check implements CheckService.
func (s *Checks) Check(ctx context.Context, req *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	view, evaluated, err := s.view(ctx, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return nil, err
	}
	decided, err := view.Decide(ctx, authzcore.Question{
		Subject: req.GetSubject(), Permission: req.GetPermission(), Resource: req.GetResource(),
	}, authzcore.Circumstances{})
	if err != nil {
		return nil, engineFault(err, "")
	}
	return &authzv1.CheckResponse{Decision: decision(decided.Answer == authzcore.Allow), EvaluatedAt: evaluated, Model: view.Model().ID()}, nil
}

// Explain implements CheckService.
func (s *Checks) Explain(ctx context.Context, req *authzv1.ExplainRequest) (*authzv1.ExplainResponse, error) {
	view, evaluated, err := s.view(ctx, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return nil, err
	}
	explanation, err := view.Explain(ctx, authzcore.Question{
		Subject: req.GetSubject(), Permission: req.GetPermission(), Resource: req.GetResource(),
	}, authzcore.Circumstances{})
	if err != nil {
		return nil, engineFault(err, "")
	}
	return &authzv1.ExplainResponse{
		Decision: decision(explanation.Decision.Answer == authzcore.Allow), EvaluatedAt: evaluated, Model: view.Model().ID(),
		Root: stepMessage(explanation.Root), Truncated: explanation.Truncated,
	}, nil
}

func (s *Checks) view(
	ctx context.Context, organization string, f *commonv1.Freshness,
) (*authzcore.View, *commonv1.Evaluated, error) {
	return viewOf(ctx, s.Graphs, organization, f)
}

// viewOf returns an organization's graph, as fresh as asked, and what to say
// about its freshness.
func viewOf(
	ctx context.Context, registry *graphs.Registry, organization string, f *commonv1.Freshness,
) (*authzcore.View, *commonv1.Evaluated, error) {
	fresh, err := parseFreshness(organization, f)
	if err != nil {
		return nil, nil, err
	}
	view, age, err := registry.View(ctx, organization, fresh)
	if err != nil {
		return nil, nil, err
	}
	token, err := revision.Token(revision.Revision{Log: organization, Sequence: view.Sequence()})
	if err != nil {
		return nil, nil, err
	}
	return view, &commonv1.Evaluated{Revision: token, Sequence: view.Sequence(), Age: durationpb.New(max(age, 0))}, nil
}

func decision(allowed bool) authzv1.Decision {
	if allowed {
		return authzv1.Decision_DECISION_ALLOW
	}
	return authzv1.Decision_DECISION_DENY
}

func stepMessage(s *authzcore.Step) *authzv1.Step {
	if s == nil {
		return nil
	}
	out := &authzv1.Step{
		Kind: authzv1.StepKind(s.Kind), Question: s.Question, Decision: decision(s.Allowed), Relationship: s.Relationship,
	}
	for i := range s.Steps {
		out.Steps = append(out.Steps, stepMessage(s.Steps[i]))
	}
	return out
}

// maxStaleness returns the caller's bound, 0 when there is none.
func maxStaleness(f *commonv1.Freshness) time.Duration {
	if f.GetMaxStaleness() == nil {
		return 0
	}
	// A bound of 0 means "as fresh as can be": the smallest one above none.
	return max(f.GetMaxStaleness().AsDuration(), 1)
}
