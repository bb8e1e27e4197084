// Package rpc serves the authz service's procedures: parse, decide, reply.
package rpc

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
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
	Clock  func() time.Time
	Log    *slog.Logger
}

var _ authzv1connect.CheckServiceHandler = (*Checks)(nil)

// Check implements CheckService.
func (s *Checks) Check(ctx context.Context, req *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	view, evaluated, err := s.view(ctx, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return nil, err
	}
	view, c, err := under(view, req.GetCircumstances())
	if err != nil {
		return nil, atRevision(err, evaluated)
	}
	c.At = s.Clock()
	decided, err := decide(ctx, view, authzcore.Question{
		Subject: req.GetSubject(), Permission: req.GetPermission(), Resource: req.GetResource(),
	}, c, req.GetRequireDecided())
	if err != nil {
		return nil, atRevision(err, evaluated)
	}
	return &authzv1.CheckResponse{
		Decision: decision(decided.Answer), EvaluatedAt: evaluated, Model: view.Model().ID(), MissingContext: decided.Missing,
	}, nil
}

// decide answers one question.
//
// Errors: those of the engine, and CONDITION_UNDECIDED when a decision is
// required and the answer is conditional.
func decide(
	ctx context.Context, view *authzcore.View, q authzcore.Question, c authzcore.Circumstances, required bool,
) (authzcore.Decision, error) {
	decided, err := view.Decide(ctx, q, c)
	switch {
	case err != nil:
		return decided, engineFault(err, "")
	case required && decided.Answer == authzcore.Conditional:
		missing := strings.Join(decided.Missing, ",")
		return decided, fault.New(fault.Precondition, commonv1.Reason_CONDITION_UNDECIDED,
			"the answer depends on parameters that were not given: "+missing).With("missing", missing)
	}
	return decided, nil
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
	return viewAt(ctx, registry, organization, fresh)
}

func viewAt(
	ctx context.Context, registry *graphs.Registry, organization string, fresh graphs.Freshness,
) (*authzcore.View, *commonv1.Evaluated, error) {
	view, age, err := registry.View(ctx, organization, fresh)
	if err != nil {
		return nil, nil, err
	}
	evaluated, err := evaluatedAt(organization, view.Sequence(), age)
	return view, evaluated, err
}

func evaluatedAt(organization string, sequence uint64, age time.Duration) (*commonv1.Evaluated, error) {
	token, err := revision.Token(revision.Revision{Log: organization, Sequence: sequence})
	if err != nil {
		return nil, err
	}
	return &commonv1.Evaluated{Revision: token, Sequence: sequence, Age: durationpb.New(max(age, 0))}, nil
}

func decision(a authzcore.Answer) authzv1.Decision {
	switch a {
	case authzcore.Allow:
		return authzv1.Decision_DECISION_ALLOW
	case authzcore.Conditional:
		return authzv1.Decision_DECISION_CONDITIONAL
	default:
		return authzv1.Decision_DECISION_DENY
	}
}

// maxStaleness returns the caller's bound, 0 when there is none.
func maxStaleness(f *commonv1.Freshness) time.Duration {
	if f.GetMaxStaleness() == nil {
		return 0
	}
	// A bound of 0 means "as fresh as can be": the smallest one above none.
	return max(f.GetMaxStaleness().AsDuration(), 1)
}
