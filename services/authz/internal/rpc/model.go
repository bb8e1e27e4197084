package rpc

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/assignment"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/models"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// Models serves ModelService.
type Models struct {
	authzv1connect.UnimplementedModelServiceHandler

	DB       *sqldb.DB
	Log      *eventlog.Store
	Models   *models.Registry
	Graphs   *graphs.Registry
	Assigner *assignment.Assigner
	Clock    func() time.Time
}

var _ authzv1connect.ModelServiceHandler = (*Models)(nil)

// PublishModel implements ModelService.
func (s *Models) PublishModel(ctx context.Context, req *authzv1.PublishModelRequest) (*authzv1.PublishModelResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	files := make([]*eventv1.ModelFile, len(req.GetFiles()))
	for i, f := range req.GetFiles() {
		files[i] = &eventv1.ModelFile{Path: f.GetPath(), Content: f.GetContent()}
	}
	compiled, err := s.Models.Identify(ctx, models.Files(files))
	if err != nil {
		return nil, engineFault(err, "files.")
	}
	out := &authzv1.PublishModelResponse{}
	_, err = s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(), Log: id.Platform,
		Procedure: authzv1connect.ModelServicePublishModelProcedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error {
		row := store.Model{ID: compiled, Name: req.GetName(), Files: files, State: model.Draft, CreatedAt: s.Clock().UTC().Truncate(time.Microsecond)}
		return s.publish(ctx, tx, row, caller, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Models) publish(
	ctx context.Context, tx pgx.Tx, row store.Model, caller principal.Principal, out *authzv1.PublishModelResponse,
) error {
	found, err := store.FindModel(ctx, tx, row.ID)
	if err == nil {
		head, err := s.Log.Head(ctx, tx, id.Platform)
		if err != nil {
			return err
		}
		out.Model = modelMessage(found)
		out.Revision, err = revision.Token(revision.Revision{Log: id.Platform, Sequence: head.Sequence})
		return err
	}
	if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return err
	}
	if err := store.InsertModel(ctx, tx, row); err != nil {
		return err
	}
	rev, err := s.Log.Append(ctx, tx, eventlog.Append{
		Log: id.Platform, Expected: eventlog.AnyHead, Actor: caller.Actor(),
		Events: []proto.Message{&eventv1.ModelPublished{Model: row.ID, Name: row.Name, Files: row.Files}},
	})
	if err != nil {
		return err
	}
	out.Model = modelMessage(row)
	out.Revision, err = revision.Token(rev)
	return err
}

// ReadModel implements ModelService.
func (s *Models) ReadModel(ctx context.Context, req *authzv1.ReadModelRequest) (*authzv1.ReadModelResponse, error) {
	found, err := store.FindModel(ctx, s.DB.Pool(), req.GetModel())
	if err != nil {
		return nil, err
	}
	return &authzv1.ReadModelResponse{Model: modelMessage(found)}, nil
}

const standardModels = 50

// ListModels implements ModelService.
func (s *Models) ListModels(ctx context.Context, req *authzv1.ListModelsRequest) (*authzv1.ListModelsResponse, error) {
	const query = "models"
	position, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	var before time.Time
	at, last, _ := strings.Cut(position, " ")
	if position != "" {
		if before, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, fault.Field("cursor", "cursor", "is not a cursor of this list")
		}
	}
	size := page.Size(req.GetPageSize(), standardModels)
	rows, err := store.ListModels(ctx, s.DB.Pool(), before, last, size)
	if err != nil {
		return nil, err
	}
	out := &authzv1.ListModelsResponse{}
	for _, row := range rows {
		out.Models = append(out.Models, modelMessage(row))
	}
	if len(rows) == size {
		last := rows[size-1]
		out.NextCursor = page.Cursor(query, fmt.Sprintf("%s %s", last.CreatedAt.UTC().Format(time.RFC3339Nano), last.ID))
	}
	return out, nil
}

// AssignModel implements ModelService.
func (s *Models) AssignModel(ctx context.Context, req *authzv1.AssignModelRequest) (*authzv1.AssignModelResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	out := &authzv1.AssignModelResponse{}
	err = s.Assigner.Assign(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(),
		Procedure: authzv1connect.ModelServiceAssignModelProcedure, Message: req, Outcome: out,
	}, assignment.Command{
		Organization: req.GetOrganization(), Model: req.GetModel(), Line: req.GetLine(),
		AllowOrphans: req.GetAllowOrphans(), Actor: caller.Actor(),
	}, func(r assignment.Result) (err error) {
		out.Model = r.Model
		out.Revision, err = revision.Token(r.Revision)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func modelMessage(m store.Model) *authzv1.Model {
	out := &authzv1.Model{Id: m.ID, Name: m.Name, CreatedAt: timestamppb.New(m.CreatedAt), State: authzv1.ModelState(m.State)}
	for _, f := range m.Files {
		out.Files = append(out.Files, &authzv1.ModelFile{Path: f.GetPath(), Content: f.GetContent()})
	}
	if m.State == model.Canary {
		out.Canary = &authzv1.Canary{Organizations: m.Audience.Organizations, BasisPoints: m.Audience.BasisPoints}
	}
	return out
}
