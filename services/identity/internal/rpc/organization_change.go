package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// UpdateOrganization implements OrganizationService.
func (s *Organizations) UpdateOrganization(
	ctx context.Context, req *identityv1.UpdateOrganizationRequest,
) (*identityv1.UpdateOrganizationResponse, error) {
	command := organization.Update{Name: req.Name, Settings: settingsOf(req.GetSettings())}
	out := &identityv1.UpdateOrganizationResponse{}
	err := s.change(ctx, identityv1connect.OrganizationServiceUpdateOrganizationProcedure, req, out, &out.Organization, &out.Revision,
		func(state organization.State, _ time.Time) ([]proto.Message, error) { return command.Decide(state) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// SuspendOrganization implements OrganizationService.
func (s *Organizations) SuspendOrganization(
	ctx context.Context, req *identityv1.SuspendOrganizationRequest,
) (*identityv1.SuspendOrganizationResponse, error) {
	command := organization.Suspend{Reason: req.GetReason()}
	out := &identityv1.SuspendOrganizationResponse{}
	err := s.change(ctx, identityv1connect.OrganizationServiceSuspendOrganizationProcedure, req, out, &out.Organization, &out.Revision,
		func(state organization.State, _ time.Time) ([]proto.Message, error) { return command.Decide(state) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ResumeOrganization implements OrganizationService.
func (s *Organizations) ResumeOrganization(
	ctx context.Context, req *identityv1.ResumeOrganizationRequest,
) (*identityv1.ResumeOrganizationResponse, error) {
	out := &identityv1.ResumeOrganizationResponse{}
	err := s.change(ctx, identityv1connect.OrganizationServiceResumeOrganizationProcedure, req, out, &out.Organization, &out.Revision,
		func(state organization.State, at time.Time) ([]proto.Message, error) {
			return organization.Resume{At: at}.Decide(state)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteOrganization implements OrganizationService.
func (s *Organizations) DeleteOrganization(
	ctx context.Context, req *identityv1.DeleteOrganizationRequest,
) (*identityv1.DeleteOrganizationResponse, error) {
	var grace *time.Duration
	if req.GraceDays != nil {
		grace = new(time.Duration(req.GetGraceDays()) * 24 * time.Hour)
	}
	out := &identityv1.DeleteOrganizationResponse{}
	err := s.change(ctx, identityv1connect.OrganizationServiceDeleteOrganizationProcedure, req, out, &out.Organization, &out.Revision,
		func(state organization.State, at time.Time) ([]proto.Message, error) {
			return organization.Delete{Grace: grace, At: at}.Decide(state)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// organizationMutation is a mutation of one organization.
type organizationMutation interface {
	commit.Mutation
	GetOrganization() string
}

// change commits what decide returns for an organization, and fills in what the
// caller is told: after and token are the fields of out. decide gets the commit
// clock, which is never before the log's last event.
func (s *Organizations) change(
	ctx context.Context, procedure string, req organizationMutation, out proto.Message, after **identityv1.Organization, token *string,
	decide func(state organization.State, at time.Time) ([]proto.Message, error),
) error {
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), procedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, row, err := s.locked(ctx, tx, req.GetOrganization())
			if err != nil {
				return err
			}
			at := s.Clock().UTC()
			if at.Before(head.Time) {
				at = head.Time
			}
			events, err := decide(row.State, at)
			if err != nil {
				return err
			}
			if len(events) > 0 {
				for _, e := range events {
					row.Apply(e)
				}
				if err := store.UpdateOrganization(ctx, tx, row.State); err != nil {
					return err
				}
			}
			*after = organizationMessage(row)
			*token, err = commit.Append(ctx, tx, s.Log, head, caller, events)
			return err
		})
	return err
}

// locked locks an organization's log and reads its row.
//
// Errors: NOT_FOUND.
func (s *Organizations) locked(ctx context.Context, tx pgx.Tx, id string) (eventlog.Head, store.Organization, error) {
	head, err := s.Log.Lock(ctx, tx, id)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return eventlog.Head{}, store.Organization{}, principal.OrganizationNotFound()
	case err != nil:
		return eventlog.Head{}, store.Organization{}, err
	}
	row, err := store.FindOrganization(ctx, tx, id)
	return head, row, err
}

func settingsOf(m *identityv1.OrganizationSettings) *organization.Settings {
	if m == nil {
		return nil
	}
	return &organization.Settings{
		PasswordMinLength: m.GetPasswordMinLength(), PasswordAllowBreached: m.GetPasswordAllowBreached(),
		PasswordHistory: m.GetPasswordHistory(), RequireSecondFactor: m.GetRequireSecondFactor(), SignInMethods: m.GetSignInMethods(),
	}
}

func organizationMessage(o store.Organization) *identityv1.Organization {
	mode := identityv1.OrganizationMode_ORGANIZATION_MODE_SHARED
	if o.Isolated {
		mode = identityv1.OrganizationMode_ORGANIZATION_MODE_ISOLATED
	}
	m := &identityv1.Organization{
		Id: o.ID, Slug: o.Slug, Name: o.Name, HomeRegion: o.HomeRegion, CreatedAt: timestamppb.New(o.CreatedAt), Mode: mode,
		State: identityv1.OrganizationState(o.Status), // numbered alike
		Settings: &identityv1.OrganizationSettings{
			PasswordMinLength: o.Settings.PasswordMinLength, PasswordAllowBreached: o.Settings.PasswordAllowBreached,
			PasswordHistory: o.Settings.PasswordHistory, RequireSecondFactor: o.Settings.RequireSecondFactor,
			SignInMethods: o.Settings.SignInMethods,
		},
	}
	if !o.DeleteAt.IsZero() {
		m.DeleteAt = timestamppb.New(o.DeleteAt)
	}
	return m
}
