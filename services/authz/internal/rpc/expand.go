package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// Expand implements LookupService.
func (s *Lookups) Expand(ctx context.Context, req *authzv1.ExpandRequest) (*authzv1.ExpandResponse, error) {
	view, evaluated, err := viewOf(ctx, s.Graphs, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return nil, err
	}
	view, c, err := under(view, req.GetCircumstances())
	if err != nil {
		return nil, err
	}
	c.At = s.Clock()
	node, err := view.Expand(ctx, req.GetResource(), req.GetPermission(), c)
	if err != nil {
		return nil, engineFault(err, "")
	}
	root, err := nodeMessage(node)
	if err != nil {
		return nil, err
	}
	return &authzv1.ExpandResponse{Root: root, EvaluatedAt: evaluated, Model: view.Model().ID()}, nil
}

func nodeMessage(n *authzcore.ExpandNode) (*authzv1.ExpandNode, error) {
	out := &authzv1.ExpandNode{Kind: authzv1.StepKind(n.Kind), Name: n.Name, Usersets: n.Usersets, Tupleset: n.Tupleset}
	for _, r := range n.Relationships {
		message, err := relationshipMessage(r)
		if err != nil {
			return nil, err
		}
		out.Relationships = append(out.Relationships, message)
	}
	for _, under := range n.Nodes {
		message, err := nodeMessage(under)
		if err != nil {
			return nil, err
		}
		out.Nodes = append(out.Nodes, message)
	}
	return out, nil
}
