package rpc

import (
	"context"
	"log/slog"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// BatchCheck implements CheckService: one view for all items, one answer or
// error for each.
func (s *Checks) BatchCheck(ctx context.Context, req *authzv1.BatchCheckRequest) (*authzv1.BatchCheckResponse, error) {
	view, evaluated, err := s.view(ctx, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return nil, err
	}
	view, c, err := under(view, req.GetCircumstances())
	if err != nil {
		return nil, err
	}
	c.At = s.Clock()
	results, err := s.items(ctx, view, c, req.GetItems(), req.GetRequireDecided())
	if err != nil {
		return nil, err
	}
	return &authzv1.BatchCheckResponse{Results: results, EvaluatedAt: evaluated, Model: view.Model().ID()}, nil
}

// items answers all items, or fails when the time is over.
func (s *Checks) items(
	ctx context.Context, view *authzcore.View, c authzcore.Circumstances, items []*authzv1.BatchCheckItem, required bool,
) ([]*authzv1.BatchCheckResult, error) {
	results := make([]authzv1.BatchCheckResult, len(items))
	out := make([]*authzv1.BatchCheckResult, len(items))
	for i, item := range items {
		if err := ctx.Err(); err != nil {
			return nil, err // not every item looks at the time
		}
		out[i] = &results[i]
		decided, err := s.item(ctx, view, c, item, required)
		switch {
		case err == nil:
			results[i].Decision, results[i].MissingContext = decision(decided.Answer), decided.Missing
		case ctx.Err() != nil:
			return nil, ctx.Err() // the time is over for all
		default:
			results[i].Error = s.itemError(ctx, err)
		}
	}
	return out, nil
}

// item answers one item under the batch's circumstances and its own.
func (s *Checks) item(
	ctx context.Context, view *authzcore.View, c authzcore.Circumstances, item *authzv1.BatchCheckItem, required bool,
) (authzcore.Decision, error) {
	if own := item.GetCircumstances(); own != nil {
		with, mine, err := under(view, own)
		if err != nil {
			return authzcore.Decision{}, err
		}
		view, c.Context = with, merged(c.Context, mine.Context)
	}
	return decide(ctx, view, authzcore.Question{
		Subject: item.GetSubject(), Permission: item.GetPermission(), Resource: item.GetResource(),
	}, c, required)
}

// itemError is what a call with this question alone would have failed with. The
// text of a defect is logged and not sent.
func (s *Checks) itemError(ctx context.Context, err error) *authzv1.BatchCheckError {
	f := faultconnect.Settle(ctx, err)
	if f.Kind == fault.Internal {
		s.Log.ErrorContext(ctx, "item of a batch failed by a defect", slog.Any("error", err))
		return &authzv1.BatchCheckError{Reason: f.Reason.String(), Message: "internal error"}
	}
	return &authzv1.BatchCheckError{Reason: f.Reason.String(), Message: f.Detail, Metadata: f.Meta}
}
