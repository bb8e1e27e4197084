package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// firstLeft is how many of those that a roll-out left are named.
const firstLeft = 10

// GetAssignment implements ModelService.
func (s *Models) GetAssignment(ctx context.Context, req *authzv1.GetAssignmentRequest) (*authzv1.GetAssignmentResponse, error) {
	found, err := store.FindAssignment(ctx, s.DB.Pool(), req.GetOrganization())
	if fault.Is(err, commonv1.Reason_MODEL_NOT_ASSIGNED) {
		return nil, s.unassigned(ctx, req.GetOrganization(), err)
	}
	if err != nil {
		return nil, err
	}
	out := &authzv1.GetAssignmentResponse{Model: found.Model, Line: found.Line}
	out.Revision, err = revision.Token(revision.Revision{Log: req.GetOrganization(), Sequence: found.Sequence})
	return out, err
}

// unassigned tells an organization without a model from an absent one.
func (s *Models) unassigned(ctx context.Context, organization string, notAssigned error) error {
	_, err := s.Log.Head(ctx, s.DB.Pool(), organization)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return principal.OrganizationNotFound()
	case err != nil:
		return err
	}
	return notAssigned
}

// GetRollout implements ModelService.
func (s *Models) GetRollout(ctx context.Context, req *authzv1.GetRolloutRequest) (*authzv1.GetRolloutResponse, error) {
	found, finished, err := store.FindRollout(ctx, s.DB.Pool(), req.GetLine())
	if err != nil {
		return nil, err
	}
	out := &authzv1.GetRolloutResponse{Finished: finished, Moved: found.Moved, Left: found.Left}
	if found.Revision == 0 {
		return out, s.named(ctx, req.GetLine())
	}
	if out.Revision, err = revision.Token(revision.Revision{Log: id.Platform, Sequence: found.Revision}); err != nil {
		return nil, err
	}
	left, err := store.FirstLeft(ctx, s.DB.Pool(), found, firstLeft)
	if err != nil {
		return nil, err
	}
	for _, l := range left {
		out.FirstLeft = append(out.FirstLeft, &authzv1.LeftBehind{
			Organization: l.Organization, ModelNow: l.Now, ModelWanted: l.Wanted, Reason: l.Reason, Why: l.Why,
		})
	}
	return out, nil
}

// named answers whether any model has a name.
//
// Errors: NOT_FOUND.
func (s *Models) named(ctx context.Context, line string) error {
	found, err := store.NameExists(ctx, s.DB.Pool(), line)
	if err == nil && !found {
		return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no model has this name")
	}
	return err
}
