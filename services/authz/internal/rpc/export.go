package rpc

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/serve"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// The bounds of one message of an export, and of one page of a read. One
// relationship alone may be larger.
const (
	exportItems  = 1000
	messageBytes = 1 << 20
)

// ExportRelationships implements RelationshipService.
func (s *Relationships) ExportRelationships(
	ctx context.Context, req *authzv1.ExportRelationshipsRequest, stream *connect.ServerStream[authzv1.ExportRelationshipsResponse],
) error {
	filter, err := parseFilter(req.GetFilter())
	if err != nil {
		return engineFault(err, "filter.")
	}
	view, evaluated, err := viewOf(ctx, s.Graphs, req.GetOrganization(), req.GetFreshness())
	if err != nil {
		return err
	}
	e := &export{send: stream.Send, evaluated: evaluated}
	if err := e.all(ctx, view, filter); err != nil {
		return err
	}
	return e.flush(true)
}

// export sends relationships in messages of bounded size.
type export struct {
	send      func(*authzv1.ExportRelationshipsResponse) error
	evaluated *commonv1.Evaluated
	next      []*authzv1.Relationship
	bytes     int
}

// all adds what matches.
func (e *export) all(ctx context.Context, view *authzcore.View, filter authzcore.Filter) error {
	var failed error
	matched := false
	err := view.Each(ctx, filter, func(r authzcore.Relationship) bool {
		matched = true
		if failed = e.add(r); failed == nil {
			failed = serve.Ended(ctx)
		}
		return failed == nil
	})
	if ctx.Err() != nil && failed == nil {
		return serve.Ended(ctx)
	}
	if err != nil {
		return engineFault(err, "filter.")
	}
	if !matched {
		return ofModel(view.Model(), filter, "filter.")
	}
	return failed
}

func (e *export) add(r authzcore.Relationship) error {
	message, err := relationshipMessage(r)
	if err != nil {
		return err
	}
	size := proto.Size(message)
	if len(e.next) == exportItems || len(e.next) > 0 && e.bytes+size > messageBytes {
		if err := e.flush(false); err != nil {
			return err
		}
	}
	e.next = append(e.next, message)
	e.bytes += size
	return nil
}

func (e *export) flush(complete bool) error {
	err := e.send(&authzv1.ExportRelationshipsResponse{Relationships: e.next, Complete: complete, EvaluatedAt: e.evaluated})
	e.next, e.bytes = nil, 0
	return err
}
