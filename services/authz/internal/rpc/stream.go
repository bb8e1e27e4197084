package rpc

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/serve"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/pinned"
)

// maxFound is how many answers one message of a stream has at most.
const maxFound = 1000

// StreamObjects implements LookupService.
func (s *Lookups) StreamObjects(
	ctx context.Context, req *authzv1.StreamObjectsRequest, stream *connect.ServerStream[authzv1.StreamObjectsResponse],
) error {
	var objects []string
	return s.stream(ctx, objectQuery(req), func(found []authzcore.Found, last bool, evaluated *commonv1.Evaluated, model string) error {
		var conditional []uint32
		objects, conditional = namesIn(objects, found)
		return stream.Send(&authzv1.StreamObjectsResponse{
			Objects: objects, Conditional: conditional, Complete: last, EvaluatedAt: evaluated, Model: model,
		})
	})
}

// StreamSubjects implements LookupService.
func (s *Lookups) StreamSubjects(
	ctx context.Context, req *authzv1.StreamSubjectsRequest, stream *connect.ServerStream[authzv1.StreamSubjectsResponse],
) error {
	var subjects []string
	return s.stream(ctx, subjectQuery(req), func(found []authzcore.Found, last bool, evaluated *commonv1.Evaluated, model string) error {
		var conditional []uint32
		subjects, conditional = namesIn(subjects, found)
		return stream.Send(&authzv1.StreamSubjectsResponse{
			Subjects: subjects, Conditional: conditional, Complete: last, EvaluatedAt: evaluated, Model: model,
		})
	})
}

// sendFound sends one message of a list.
type sendFound func(found []authzcore.Found, last bool, evaluated *commonv1.Evaluated, model string) error

// stream computes a list and sends all of it.
func (s *Lookups) stream(ctx context.Context, q query, send sendFound) error {
	view, evaluated, err := viewOf(ctx, s.Graphs, q.organization, q.freshness)
	if err != nil {
		return err
	}
	return s.streamOf(ctx, q, view, evaluated, send)
}

// streamOf is stream on a view. The list is in memory until the client has read
// it: its bytes are counted, and a client that does not read is cut.
//
// Errors: those of compute, RATE_LIMITED, DEADLINE.
func (s *Lookups) streamOf(ctx context.Context, q query, view *authzcore.View, evaluated *commonv1.Evaluated, send sendFound) error {
	found, err := s.compute(ctx, q, view, s.Clock())
	if err != nil {
		return err
	}
	giveBack, err := s.Sending.Take(q.organization, pinned.Bytes(found))
	if err != nil {
		return err
	}
	defer giveBack()
	serve.CutUnread(ctx, s.Unread)
	for {
		n := min(maxFound, len(found))
		last := n == len(found)
		if err := send(found[:n], last, evaluated, view.Model().ID()); err != nil || last {
			return err
		}
		found = found[n:]
	}
}
