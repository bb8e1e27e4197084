package rpc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// ImportRelationships implements RelationshipService.
func (s *Relationships) ImportRelationships(
	ctx context.Context, stream *connect.ClientStream[authzv1.ImportRelationshipsRequest],
) (*authzv1.ImportRelationshipsResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	out := &authzv1.ImportRelationshipsResponse{}
	organization := ""
	for message := 0; stream.Receive(); message++ {
		req := stream.Msg()
		switch {
		case message == 0 && req.GetOrganization() == "":
			return nil, fault.Field("organization", "required", "is required in the first message")
		case message == 0:
			organization = req.GetOrganization()
		case req.GetOrganization() != "" && req.GetOrganization() != organization:
			return nil, fault.Field("organization", "same", "differs from the first message's")
		}
		if err := s.importMessage(ctx, organization, req, caller, out); err != nil {
			return nil, imported(err, message, out)
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// messageTimeout bounds the commit of one message: a database that hangs must
// not hold up the organization's other writers for the life of a stream.
const messageTimeout = 30 * time.Second

// imported adds to a fault how far the import came: what was committed stays.
func imported(err error, message int, out *authzv1.ImportRelationshipsResponse) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	return f.With("message", strconv.Itoa(message)).With("created", strconv.FormatUint(out.GetCreated(), 10)).
		With("updated", strconv.FormatUint(out.GetUpdated(), 10)).
		With("unchanged", strconv.FormatUint(out.GetUnchanged(), 10)).With("revision", out.GetRevision())
}

// importMessage commits one message of the stream.
func (s *Relationships) importMessage(
	ctx context.Context, organization string, req *authzv1.ImportRelationshipsRequest, caller principal.Principal,
	out *authzv1.ImportRelationshipsResponse,
) error {
	ctx, cancel := context.WithTimeout(ctx, messageTimeout)
	defer cancel()
	relationships, err := parseImport(req)
	if err != nil {
		return err
	}
	var (
		created, updated []authzcore.Relationship
		token            string
	)
	_, err = s.Log.Commit(ctx, eventlog.Request{Log: organization}, func(ctx context.Context, tx pgx.Tx) error {
		assignment, model, err := s.assigned(ctx, tx, organization)
		if err != nil {
			return err
		}
		if err := importable(model, relationships, s.Clock()); err != nil {
			return err
		}
		created, updated, err = store.Touch(ctx, tx, organization, assignment.HomeRegion, relationship.Latest(relationships))
		if err != nil {
			return err
		}
		token, err = s.record(ctx, tx, organization, caller, slices.Concat(created, updated), nil)
		return err
	})
	if err != nil {
		return err
	}
	out.Created += uint64(len(created))
	out.Updated += uint64(len(updated))
	out.Unchanged += uint64(len(relationships) - len(created) - len(updated))
	out.Revision = token
	return nil
}

func parseImport(req *authzv1.ImportRelationshipsRequest) ([]authzcore.Relationship, error) {
	out := make([]authzcore.Relationship, len(req.GetRelationships()))
	for i, r := range req.GetRelationships() {
		var err error
		if out[i], err = parseRelationship(r); err != nil {
			return nil, relationshipFault(err, fmt.Sprintf("relationships[%d].", i))
		}
	}
	return out, nil
}

// importable says whether the model allows all, and none has expired.
func importable(model *authzcore.Model, relationships []authzcore.Relationship, at time.Time) error {
	for i, r := range relationships {
		if err := model.Validate(r); err != nil {
			return relationshipFault(err, fmt.Sprintf("relationships[%d].", i))
		}
		if relationship.Expired(r.Terms, at) {
			return relationship.PastExpiry(fmt.Sprintf("relationships[%d].", i))
		}
	}
	return nil
}
