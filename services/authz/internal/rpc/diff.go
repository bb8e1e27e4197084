package rpc

import (
	"cmp"
	"context"
	"slices"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/facts"
)

// DiffModels implements ModelService.
func (s *Models) DiffModels(ctx context.Context, req *authzv1.DiffModelsRequest) (*authzv1.DiffModelsResponse, error) {
	if err := checkDiff(req); err != nil {
		return nil, err
	}
	to, err := s.diffTarget(ctx, req)
	if err != nil {
		return nil, err
	}
	var (
		view *authzcore.View
		out  = &authzv1.DiffModelsResponse{}
	)
	if req.GetOrganization() != "" {
		if view, out.EvaluatedAt, err = viewOf(ctx, s.Graphs, req.GetOrganization(), req.GetFreshness()); err != nil {
			return nil, err
		}
	}
	var from *authzcore.Model
	if req.GetFrom() != "" {
		from, err = s.Models.Get(ctx, req.GetFrom())
	} else {
		from = view.Model()
	}
	if err != nil {
		return nil, err
	}
	for _, d := range authzcore.Diff(from, to) {
		out.Changes = append(out.Changes, &authzv1.DefinitionChange{
			Type: d.Type, Relation: d.Relation, Condition: d.Condition, Before: d.Before, After: d.After,
		})
	}
	if view == nil {
		return out, nil
	}
	out.Relationships = view.Size().Relationships
	return out, addOrphans(out, view.Orphans(from, to, facts.Derived))
}

// checkDiff checks what fields alone cannot say.
func checkDiff(req *authzv1.DiffModelsRequest) error {
	switch {
	case req.GetTo() == "" && len(req.GetFiles()) == 0:
		return fault.Field("to", "required", "name a model in to, or give files")
	case req.GetTo() != "" && len(req.GetFiles()) > 0:
		return fault.Field("files", "absent", "give a model in to or files, not both")
	case req.GetFrom() == "" && req.GetOrganization() == "":
		return fault.Field("from", "required", "name a model in from, or an organization that uses one")
	}
	return nil
}

func (s *Models) diffTarget(ctx context.Context, req *authzv1.DiffModelsRequest) (*authzcore.Model, error) {
	if req.GetTo() != "" {
		return s.Models.Get(ctx, req.GetTo())
	}
	files := make([]authzcore.File, len(req.GetFiles()))
	for i, f := range req.GetFiles() {
		files[i] = authzcore.File{Path: f.GetPath(), Content: f.GetContent()}
	}
	to, err := s.Models.Draft(ctx, files)
	if err != nil {
		return nil, engineFault(err, "files.")
	}
	return to, nil
}

func addOrphans(out *authzv1.DiffModelsResponse, found []authzcore.Orphans) error {
	slices.SortFunc(found, func(a, b authzcore.Orphans) int { return cmp.Compare(a.Kind, b.Kind) })
	for _, o := range found {
		message := &authzv1.Orphans{Kind: o.Kind, Count: o.Count, Why: o.Why.Error()}
		for _, r := range o.Examples {
			example, err := relationshipMessage(r)
			if err != nil {
				return err
			}
			message.Examples = append(message.Examples, example)
		}
		out.Orphaned += o.Count
		out.Orphans = append(out.Orphans, message)
	}
	return nil
}
