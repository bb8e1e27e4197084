package rpc

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// ownerLog is the log of an organization or, for "", the platform's.
func ownerLog(organization string) string {
	if organization == "" {
		return id.Platform
	}
	return organization
}

// now is when something is done, as rows keep it.
func (s *Clients) now() time.Time { return s.Clock().UTC().Truncate(time.Microsecond) }

// open says whether an organization may have something made or changed in it. It asks
// identity, and so before a transaction: one that is suspended in between may get one
// change more, which changes nothing about its tokens being refused. The platform is
// always open. The question is this service's own: whoever may manage clients need not
// be allowed to read the organization.
//
// Errors: NOT_FOUND, ORGANIZATION_STATE (metadata "state"), SERVICE_UNAVAILABLE.
func (s *Clients) open(ctx context.Context, organization string) error {
	if organization == "" {
		return nil
	}
	answer, err := s.Organizations.GetOrganization(principal.Without(ctx), &identityv1.GetOrganizationRequest{Organization: organization})
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return principal.OrganizationNotFound()
	case err != nil:
		return err
	}
	state := answer.GetOrganization().GetState()
	if state == identityv1.OrganizationState_ORGANIZATION_STATE_ACTIVE {
		return nil
	}
	name := strings.ToLower(strings.TrimPrefix(state.String(), "ORGANIZATION_STATE_"))
	return fault.New(fault.Precondition, commonv1.Reason_ORGANIZATION_STATE, "the organization is "+name).With("state", name)
}

// account says whether an organization has a service account, and the caller may lend it
// to a client. A disabled one is no error here: it gets no token.
//
// Errors: ACCESS_DENIED, NOT_FOUND (metadata "field"), SERVICE_UNAVAILABLE.
func (s *Clients) account(ctx context.Context, organization, account string) error {
	if err := s.lends(ctx, organization); err != nil {
		return err
	}
	_, err := s.ServiceAccounts.GetServiceAccount(principal.Without(ctx), &identityv1.GetServiceAccountRequest{
		Organization: organization, ServiceAccount: account,
	})
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such service account").With("field", "settings.service_account")
	}
	return err
}

// lends says whether the caller may have what service accounts may do: whoever makes a
// client of one, or has a secret of such a client, acts as the account.
//
// Errors: ACCESS_DENIED, SERVICE_UNAVAILABLE.
func (s *Clients) lends(ctx context.Context, organization string) error {
	caller, _ := principal.From(ctx)
	return principal.AuthorizeSubject(ctx, caller, &commonv1.Access{Permission: "can_manage_service_accounts"}, organization, s.Delegation)
}

// there says whether there is an organization, by its log.
//
// Errors: NOT_FOUND.
func (s *Clients) there(ctx context.Context, organization string) error {
	if organization == "" {
		return nil
	}
	_, err := s.Log.Head(ctx, s.DB.Pool(), organization)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return principal.OrganizationNotFound()
	}
	return err
}

// lock locks the log of an organization or, for "", the platform's, which need not be
// there yet: its head is 0 then.
//
// Errors: NOT_FOUND for an absent organization.
func (s *Clients) lock(ctx context.Context, tx pgx.Tx, organization string) (eventlog.Head, error) {
	head, err := s.Log.Lock(ctx, tx, ownerLog(organization))
	switch {
	case !fault.Is(err, commonv1.Reason_NOT_FOUND):
		return head, err
	case organization == "":
		return eventlog.Head{Log: id.Platform, HomeRegion: s.PlatformRegion}, nil
	default:
		return eventlog.Head{}, principal.OrganizationNotFound()
	}
}

// record changes a client's rows and appends the events to its owner's log, which is
// locked. It returns the client as it is then and the revision token.
func (s *Clients) record(
	ctx context.Context, tx pgx.Tx, head eventlog.Head, caller principal.Principal, row store.Client, change store.ClientChange,
) (*sessionsv1.Client, string, error) {
	change.At, change.HomeRegion = s.now(), head.HomeRegion
	if err := store.ChangeClient(ctx, tx, &row, change); err != nil {
		return nil, "", err
	}
	token, err := s.tell(ctx, tx, head, caller, change.Events)
	if err != nil {
		return nil, "", err
	}
	return clientMessage(row, change.At), token, err
}
