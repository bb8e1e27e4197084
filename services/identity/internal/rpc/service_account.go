package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/serviceaccount"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// ServiceAccounts serves ServiceAccountService.
type ServiceAccounts struct {
	identityv1connect.UnimplementedServiceAccountServiceHandler

	DB    *sqldb.DB
	Log   *eventlog.Store
	Clock func() time.Time
	// RevokeTokens revokes the API tokens of a service account, whose organization's
	// log is locked, and returns the events that say so. Nil: they have none.
	RevokeTokens func(ctx context.Context, tx pgx.Tx, organization, account string, at time.Time) ([]proto.Message, error)
}

var _ identityv1connect.ServiceAccountServiceHandler = (*ServiceAccounts)(nil)

// CreateServiceAccount implements ServiceAccountService.
func (s *ServiceAccounts) CreateServiceAccount(
	ctx context.Context, req *identityv1.CreateServiceAccountRequest,
) (*identityv1.CreateServiceAccountResponse, error) {
	command := serviceaccount.Create{
		ID: id.New(id.ServiceAccount), Organization: req.GetOrganization(), Name: req.GetName(), Description: req.GetDescription(),
	}
	out := &identityv1.CreateServiceAccountResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.ServiceAccountServiceCreateServiceAccountProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.create(ctx, tx, command, caller, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *ServiceAccounts) create(
	ctx context.Context, tx pgx.Tx, command serviceaccount.Create, caller principal.Principal, out *identityv1.CreateServiceAccountResponse,
) error {
	head, err := lockOpenOwner(ctx, tx, s.Log, command.Organization)
	if err != nil {
		return err
	}
	number, err := store.Count(ctx, tx, command.Organization, head.HomeRegion, store.ServiceAccounts, 1)
	if err != nil {
		return err
	}
	command.Others = number - 1
	row := store.ServiceAccount{HomeRegion: head.HomeRegion, CreatedAt: s.Clock().UTC().Truncate(time.Microsecond)}
	events, err := command.Decide(row.State)
	if err != nil {
		return err
	}
	for _, e := range events {
		row.Apply(e)
	}
	if err := store.InsertServiceAccount(ctx, tx, row); err != nil {
		return err
	}
	out.ServiceAccount = serviceAccountMessage(row)
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// UpdateServiceAccount implements ServiceAccountService.
func (s *ServiceAccounts) UpdateServiceAccount(
	ctx context.Context, req *identityv1.UpdateServiceAccountRequest,
) (*identityv1.UpdateServiceAccountResponse, error) {
	out := &identityv1.UpdateServiceAccountResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.ServiceAccountServiceUpdateServiceAccountProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.update(ctx, tx, req, caller, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *ServiceAccounts) update(
	ctx context.Context, tx pgx.Tx, req *identityv1.UpdateServiceAccountRequest, caller principal.Principal,
	out *identityv1.UpdateServiceAccountResponse,
) error {
	lock := lockOpenOwner
	if req.GetDisabled() && req.Name == nil && req.Description == nil { // what only takes away is always possible
		lock = lockOwner
	}
	head, err := lock(ctx, tx, s.Log, req.GetOrganization())
	if err != nil {
		return err
	}
	row, err := store.FindServiceAccount(ctx, tx, req.GetOrganization(), req.GetServiceAccount())
	if err != nil {
		return err
	}
	groups, err := store.GroupsOf(ctx, tx, row.Organization, row.ID)
	if err != nil {
		return err
	}
	events, err := serviceaccount.Update{
		Name: req.Name, Description: req.Description, Disabled: req.Disabled, Groups: groups,
	}.Decide(row.State)
	if err != nil {
		return err
	}
	if len(events) > 0 {
		for _, e := range events {
			row.Apply(e)
		}
		if err := store.UpdateServiceAccount(ctx, tx, row); err != nil {
			return err
		}
	}
	out.ServiceAccount = serviceAccountMessage(row)
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// DeleteServiceAccount implements ServiceAccountService.
func (s *ServiceAccounts) DeleteServiceAccount(
	ctx context.Context, req *identityv1.DeleteServiceAccountRequest,
) (*identityv1.DeleteServiceAccountResponse, error) {
	out := &identityv1.DeleteServiceAccountResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.ServiceAccountServiceDeleteServiceAccountProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.remove(ctx, tx, req, caller, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *ServiceAccounts) remove(
	ctx context.Context, tx pgx.Tx, req *identityv1.DeleteServiceAccountRequest, caller principal.Principal,
	out *identityv1.DeleteServiceAccountResponse,
) error {
	head, err := lockOwner(ctx, tx, s.Log, req.GetOrganization())
	if err != nil {
		return err
	}
	row, err := store.FindServiceAccount(ctx, tx, req.GetOrganization(), req.GetServiceAccount())
	if err != nil {
		return err
	}
	events, err := s.removeAccount(ctx, tx, row)
	if err != nil {
		return err
	}
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// removeAccount removes the rows of a service account, whose organization's log is
// locked, and returns the events.
func (s *ServiceAccounts) removeAccount(ctx context.Context, tx pgx.Tx, row store.ServiceAccount) (before []proto.Message, err error) {
	if s.RevokeTokens != nil {
		if before, err = s.RevokeTokens(ctx, tx, row.Organization, row.ID, s.Clock()); err != nil {
			return nil, err
		}
	}
	left, err := store.LeaveGroups(ctx, tx, row.Organization, row.ID)
	if err != nil {
		return nil, err
	}
	events, err := serviceaccount.Delete{Before: append(before, left...)}.Decide(row.State)
	if err != nil {
		return nil, err
	}
	if err := store.DeleteServiceAccount(ctx, tx, row.Organization, row.ID); err != nil {
		return nil, err
	}
	return events, count(ctx, tx, row.Organization, row.HomeRegion, store.ServiceAccounts, -1)
}

// GetServiceAccount implements ServiceAccountService.
func (s *ServiceAccounts) GetServiceAccount(
	ctx context.Context, req *identityv1.GetServiceAccountRequest,
) (*identityv1.GetServiceAccountResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	row, err := store.FindServiceAccount(ctx, s.DB.Pool(), req.GetOrganization(), req.GetServiceAccount())
	if err != nil {
		return nil, err
	}
	return &identityv1.GetServiceAccountResponse{ServiceAccount: serviceAccountMessage(row)}, nil
}

// ListServiceAccounts implements ServiceAccountService.
func (s *ServiceAccounts) ListServiceAccounts(
	ctx context.Context, req *identityv1.ListServiceAccountsRequest,
) (*identityv1.ListServiceAccountsResponse, error) {
	query := "service accounts of " + req.GetOrganization()
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	if _, err := store.FindOrganization(ctx, s.DB.Pool(), req.GetOrganization()); err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), standardPage)
	rows, err := store.ListServiceAccounts(ctx, s.DB.Pool(), req.GetOrganization(), []byte(after), size)
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListServiceAccountsResponse{}
	for _, row := range rows {
		out.ServiceAccounts = append(out.ServiceAccounts, serviceAccountMessage(row))
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, string(rows[size-1].Key))
	}
	return out, nil
}

func serviceAccountMessage(a store.ServiceAccount) *identityv1.ServiceAccount {
	return &identityv1.ServiceAccount{
		Id: a.ID, Organization: a.Organization, Name: a.Name, Description: a.Description, Disabled: a.Disabled,
		CreatedAt: timestamppb.New(a.CreatedAt),
	}
}
