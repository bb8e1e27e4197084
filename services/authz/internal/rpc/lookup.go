package rpc

import (
	"context"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/budget"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/lanes"
	"github.com/meridian-iam/meridian/services/authz/internal/pinned"
)

// Lookups serves LookupService.
type Lookups struct {
	authzv1connect.UnimplementedLookupServiceHandler

	Graphs *graphs.Registry
	// Pinned keeps lists between their pages, Lanes bounds how many are computed
	// at once.
	Pinned *pinned.Store
	Lanes  *lanes.Lanes
	// Sending bounds the lists that are being streamed, Unread how long one
	// message waits for a client that does not read.
	Sending *budget.Budget
	Unread  time.Duration
	Clock   func() time.Time
}

var _ authzv1connect.LookupServiceHandler = (*Lookups)(nil)

// ListObjects implements LookupService.
func (s *Lookups) ListObjects(ctx context.Context, req *authzv1.ListObjectsRequest) (*authzv1.ListObjectsResponse, error) {
	listed, err := s.page(ctx, objectQuery(req), req.GetPageSize(), req.GetCursor())
	if err != nil {
		return nil, err
	}
	objects, conditional := namesOf(listed.found)
	return &authzv1.ListObjectsResponse{
		Objects: objects, Conditional: conditional, NextCursor: listed.next,
		Complete: listed.complete(), IncompleteReason: listed.incomplete,
		EvaluatedAt: listed.evaluated, Model: listed.model, RevisionMoved: listed.moved,
	}, nil
}

// objectRequest is what asks for objects, in pages or in a stream.
type objectRequest interface {
	asked
	GetSubject() string
	GetResourceType() string
}

// asked is what all requests for lists have.
type asked interface {
	GetOrganization() string
	GetPermission() string
	GetFreshness() *commonv1.Freshness
	GetCircumstances() *authzv1.Circumstances
}

func objectQuery(req objectRequest) query {
	q := authzcore.ObjectQuery{Subject: req.GetSubject(), Permission: req.GetPermission(), Type: req.GetResourceType()}
	return query{
		organization: req.GetOrganization(), freshness: req.GetFreshness(), circumstances: req.GetCircumstances(),
		text: []string{"objects", req.GetOrganization(), q.Subject, q.Permission, q.Type},
		find: func(ctx context.Context, view *authzcore.View, c authzcore.Circumstances) ([]authzcore.Found, error) {
			return view.ListObjects(ctx, q, c)
		},
	}
}

// namesOf are the names of a list, and the places of those that are conditional.
func namesOf(found []authzcore.Found) (all []string, conditional []uint32) {
	return namesIn(make([]string, 0, len(found)), found)
}

// namesIn is namesOf in memory that is there already.
func namesIn(memory []string, found []authzcore.Found) (all []string, conditional []uint32) {
	all = memory[:0]
	for i, f := range found {
		if all = append(all, f.Name); f.Conditional {
			conditional = append(conditional, uint32(i))
		}
	}
	return all, conditional
}

// ListSubjects implements LookupService.
func (s *Lookups) ListSubjects(ctx context.Context, req *authzv1.ListSubjectsRequest) (*authzv1.ListSubjectsResponse, error) {
	listed, err := s.page(ctx, subjectQuery(req), req.GetPageSize(), req.GetCursor())
	if err != nil {
		return nil, err
	}
	subjects, conditional := namesOf(listed.found)
	return &authzv1.ListSubjectsResponse{
		Subjects: subjects, Conditional: conditional, NextCursor: listed.next,
		Complete: listed.complete(), IncompleteReason: listed.incomplete,
		EvaluatedAt: listed.evaluated, Model: listed.model, RevisionMoved: listed.moved,
	}, nil
}

// subjectRequest is what asks for subjects, in pages or in a stream.
type subjectRequest interface {
	asked
	GetResource() string
	GetSubjectType() string
	GetSubjectRelation() string
}

func subjectQuery(req subjectRequest) query {
	q := authzcore.SubjectQuery{
		Resource: req.GetResource(), Permission: req.GetPermission(), Type: req.GetSubjectType(), Relation: req.GetSubjectRelation(),
	}
	return query{
		organization: req.GetOrganization(), freshness: req.GetFreshness(), circumstances: req.GetCircumstances(),
		text: []string{"subjects", req.GetOrganization(), q.Resource, q.Permission, q.Type, q.Relation},
		find: func(ctx context.Context, view *authzcore.View, c authzcore.Circumstances) ([]authzcore.Found, error) {
			return view.ListSubjects(ctx, q, c)
		},
	}
}

// ListActions implements LookupService.
func (s *Lookups) ListActions(ctx context.Context, req *authzv1.ListActionsRequest) (*authzv1.ListActionsResponse, error) {
	view, evaluated, err := viewOf(ctx, s.Graphs, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return nil, err
	}
	view, c, err := under(view, req.GetCircumstances())
	if err != nil {
		return nil, atRevision(err, evaluated)
	}
	c.At = s.Clock()
	actions, err := view.ListActions(ctx, req.GetSubject(), req.GetResource(), c)
	if err != nil {
		return nil, atRevision(engineFault(err, ""), evaluated)
	}
	out := &authzv1.ListActionsResponse{EvaluatedAt: evaluated, Model: view.Model().ID()}
	for _, a := range actions {
		out.Actions = append(out.Actions, &authzv1.Action{
			Permission: a.Permission, Decision: decision(a.Decision.Answer), MissingContext: a.Decision.Missing, Computed: a.Computed,
		})
	}
	return out, nil
}
