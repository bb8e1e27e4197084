// Package rpc serves the identity service's procedures: parse, decide, reply.
package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

const standardPage = 50

// Organizations serves OrganizationService.
type Organizations struct {
	identityv1connect.UnimplementedOrganizationServiceHandler

	DB  *sqldb.DB
	Log *eventlog.Store
	// Region answers when a request names none; Regions are the deployment's.
	Region  string
	Regions []string
	Clock   func() time.Time
}

var _ identityv1connect.OrganizationServiceHandler = (*Organizations)(nil)

// CreateOrganization implements OrganizationService.
func (s *Organizations) CreateOrganization(
	ctx context.Context, req *identityv1.CreateOrganizationRequest,
) (*identityv1.CreateOrganizationResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	region := req.GetHomeRegion()
	if region == "" {
		region = s.Region
	}
	command := organization.Create{
		ID: id.New(id.Organization), Slug: req.GetSlug(), Name: req.GetName(), HomeRegion: region,
		Isolated: req.GetMode() == identityv1.OrganizationMode_ORGANIZATION_MODE_ISOLATED, Regions: s.Regions,
	}
	out := &identityv1.CreateOrganizationResponse{}
	_, err = s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(),
		Procedure: identityv1connect.OrganizationServiceCreateOrganizationProcedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error {
		return s.create(ctx, tx, command, caller, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Organizations) create(
	ctx context.Context, tx pgx.Tx, command organization.Create, caller principal.Principal, out *identityv1.CreateOrganizationResponse,
) error {
	var state organization.State
	events, err := command.Decide(state)
	if err != nil {
		return err
	}
	for _, e := range events {
		state.Apply(e)
	}
	row := store.Organization{State: state, CreatedAt: s.Clock().UTC().Truncate(time.Microsecond)}
	if err := store.InsertOrganization(ctx, tx, row); err != nil {
		return err
	}
	rev, err := s.Log.Append(ctx, tx, eventlog.Append{
		Log: state.ID, HomeRegion: state.HomeRegion, Actor: caller.Actor(), Events: events,
	})
	if err != nil {
		return err
	}
	out.Organization = organizationMessage(row)
	out.Revision, err = revision.Token(rev)
	return err
}

// MoveHome implements OrganizationService.
func (s *Organizations) MoveHome(
	ctx context.Context, req *identityv1.MoveHomeRequest,
) (*identityv1.MoveHomeResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	command := organization.MoveHome{HomeRegion: req.GetHomeRegion(), Regions: s.Regions}
	out := &identityv1.MoveHomeResponse{}
	_, err = s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(), Log: req.GetOrganization(),
		Procedure: identityv1connect.OrganizationServiceMoveHomeProcedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error {
		return s.move(ctx, tx, req.GetOrganization(), command, caller, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Organizations) move(
	ctx context.Context, tx pgx.Tx, log string, command organization.MoveHome, caller principal.Principal, out *identityv1.MoveHomeResponse,
) error {
	head, row, err := s.locked(ctx, tx, log)
	if err != nil {
		return err
	}
	events, err := command.Decide(row.State)
	if err != nil {
		return err
	}
	rev := revision.Revision{Log: log, Sequence: head.Sequence}
	if len(events) > 0 {
		for _, e := range events {
			row.Apply(e)
		}
		if err := store.MoveOrganization(ctx, tx, log, row.HomeRegion); err != nil {
			return err
		}
		rev, err = s.Log.Append(ctx, tx, eventlog.Append{
			Log: log, Expected: head.Sequence, MoveTo: row.HomeRegion, Actor: caller.Actor(), Events: events,
		})
		if err != nil {
			return err
		}
	}
	out.Organization = organizationMessage(row)
	out.Revision, err = revision.Token(rev)
	return err
}

// GetOrganization implements OrganizationService.
func (s *Organizations) GetOrganization(
	ctx context.Context, req *identityv1.GetOrganizationRequest,
) (*identityv1.GetOrganizationResponse, error) {
	row, err := store.FindOrganization(ctx, s.DB.Pool(), req.GetOrganization())
	if err != nil {
		return nil, err
	}
	return &identityv1.GetOrganizationResponse{Organization: organizationMessage(row)}, nil
}

// ListOrganizations implements OrganizationService.
func (s *Organizations) ListOrganizations(
	ctx context.Context, req *identityv1.ListOrganizationsRequest,
) (*identityv1.ListOrganizationsResponse, error) {
	// A cursor is of one search.
	query := fmt.Sprintf("organizations %d %s", req.GetState(), req.GetSearch())
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), standardPage)
	rows, err := store.ListOrganizations(ctx, s.DB.Pool(), store.Organizations{
		Prefix: req.GetSearch(), Status: organization.Status(req.GetState()), After: after,
	}, size)
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListOrganizationsResponse{}
	for _, row := range rows {
		out.Organizations = append(out.Organizations, organizationMessage(row))
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, rows[size-1].Slug)
	}
	return out, nil
}
