package rpc

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
	"github.com/meridian-iam/meridian/services/sessions/internal/issuerkeys"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// trustsPage is how many trusts a page has when the request does not say.
const trustsPage = 50

// Trusts serves TrustService, beside the clients of the same organizations.
type Trusts struct {
	Clients *Clients
}

var _ sessionsv1connect.TrustServiceHandler = (*Trusts)(nil)

// CreateTrust implements TrustService.
func (s *Trusts) CreateTrust(ctx context.Context, req *sessionsv1.CreateTrustRequest) (*sessionsv1.CreateTrustResponse, error) {
	settings, err := s.settings(ctx, req.GetOrganization(), req.GetSettings())
	if err != nil {
		return nil, err
	}
	command := trust.Create{ID: id.New(id.Trust), Organization: req.GetOrganization(), Settings: settings}
	out := &sessionsv1.CreateTrustResponse{}
	_, err = commit.Once(ctx, s.Clients.Log, req.GetOrganization(), sessionsv1connect.TrustServiceCreateTrustProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, err := s.Clients.lock(ctx, tx, req.GetOrganization())
			if err != nil {
				return err
			}
			if command.Others, err = store.CountTrusts(ctx, tx, req.GetOrganization()); err != nil {
				return err
			}
			events, err := command.Decide()
			if err != nil {
				return err
			}
			row := store.Trust{}
			if out.Revision, err = s.record(ctx, tx, head, caller, &row, events); err != nil {
				return err
			}
			out.Trust, err = trustMessage(row)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateTrust implements TrustService.
func (s *Trusts) UpdateTrust(ctx context.Context, req *sessionsv1.UpdateTrustRequest) (*sessionsv1.UpdateTrustResponse, error) {
	settings, err := s.settings(ctx, req.GetOrganization(), req.GetSettings())
	if err != nil {
		return nil, err
	}
	command := trust.Update{Settings: settings}
	out := &sessionsv1.UpdateTrustResponse{}
	_, err = commit.Once(ctx, s.Clients.Log, req.GetOrganization(), sessionsv1connect.TrustServiceUpdateTrustProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			row, rev, err := s.change(ctx, tx, req, caller, command.Decide)
			if err != nil {
				return err
			}
			out.Revision = rev
			out.Trust, err = trustMessage(row)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteTrust implements TrustService.
func (s *Trusts) DeleteTrust(ctx context.Context, req *sessionsv1.DeleteTrustRequest) (*sessionsv1.DeleteTrustResponse, error) {
	out := &sessionsv1.DeleteTrustResponse{}
	_, err := commit.Once(ctx, s.Clients.Log, req.GetOrganization(), sessionsv1connect.TrustServiceDeleteTrustProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			_, out.Revision, err = s.change(ctx, tx, req, caller, trust.Delete{}.Decide)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// aboutTrust is a request about a trust.
type aboutTrust interface {
	GetOrganization() string
	GetTrust() string
}

// change changes a trust as a command decides.
func (s *Trusts) change(
	ctx context.Context, tx pgx.Tx, req aboutTrust, caller principal.Principal,
	decide func(trust.State) ([]proto.Message, error),
) (store.Trust, string, error) {
	head, err := s.Clients.lock(ctx, tx, req.GetOrganization())
	if err != nil {
		return store.Trust{}, "", err
	}
	row, err := store.FindTrustOf(ctx, tx, req.GetOrganization(), req.GetTrust())
	if err != nil {
		return row, "", err
	}
	events, err := decide(row.State)
	if err != nil {
		return row, "", err
	}
	rev, err := s.record(ctx, tx, head, caller, &row, events)
	return row, rev, err
}

// GetTrust implements TrustService.
func (s *Trusts) GetTrust(ctx context.Context, req *sessionsv1.GetTrustRequest) (*sessionsv1.GetTrustResponse, error) {
	if err := commit.Fresh(ctx, s.Clients.Log, s.Clients.DB.Pool(), req); err != nil {
		return nil, err
	}
	row, err := store.FindTrustOf(ctx, s.Clients.DB.Pool(), req.GetOrganization(), req.GetTrust())
	if err != nil {
		return nil, err
	}
	message, err := trustMessage(row)
	if err != nil {
		return nil, err
	}
	return &sessionsv1.GetTrustResponse{Trust: message}, nil
}

// ListTrusts implements TrustService.
func (s *Trusts) ListTrusts(ctx context.Context, req *sessionsv1.ListTrustsRequest) (*sessionsv1.ListTrustsResponse, error) {
	query := "trusts of " + req.GetOrganization()
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Clients.Log, s.Clients.DB.Pool(), req); err != nil {
		return nil, err
	}
	if err := s.Clients.there(ctx, req.GetOrganization()); err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), trustsPage)
	rows, err := store.ListTrusts(ctx, s.Clients.DB.Pool(), req.GetOrganization(), after, size)
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.ListTrustsResponse{}
	for _, row := range rows {
		message, err := trustMessage(row)
		if err != nil {
			return nil, err
		}
		out.Trusts = append(out.Trusts, message)
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, rows[size-1].ID)
	}
	return out, nil
}

// settings are those of a request, if a trust of the organization may have them. What
// can be seen here is looked at before identity is asked.
//
// Errors: INVALID_FIELD; those of open and account.
func (s *Trusts) settings(ctx context.Context, organization string, given *sessionsv1.TrustSettings) (*eventv1.TrustSettings, error) {
	if given == nil {
		return nil, fault.Field("settings", "required", "are missing")
	}
	settings := &eventv1.TrustSettings{}
	if err := rewrite(given, settings); err != nil {
		return nil, err
	}
	settings, err := trust.Complete(settings)
	if err != nil {
		return nil, err
	}
	if _, err := issuerkeys.Inline("settings.jwks", settings); err != nil && settings.GetJwks() != "" {
		return nil, err
	}
	if err := s.Clients.open(ctx, organization); err != nil {
		return nil, err
	}
	return settings, s.Clients.account(ctx, organization, settings.GetServiceAccount())
}

// record changes a trust's row and appends the events to its organization's log, which
// is locked. It returns the revision token.
func (s *Trusts) record(
	ctx context.Context, tx pgx.Tx, head eventlog.Head, caller principal.Principal, row *store.Trust, events []proto.Message,
) (string, error) {
	if err := store.ChangeTrust(ctx, tx, row, events, head.HomeRegion, s.Clients.now()); err != nil {
		return "", err
	}
	if len(events) == 0 {
		return revision.Token(revision.Revision{Log: head.Log, Sequence: head.Sequence})
	}
	rev, err := s.Clients.Log.Append(ctx, tx, eventlog.Append{
		Log: head.Log, Expected: head.Sequence, HomeRegion: head.HomeRegion, Actor: caller.Actor(), Events: events,
	})
	if err != nil {
		return "", err
	}
	return revision.Token(rev)
}

// trustMessage is a trust as the contract has it.
func trustMessage(row store.Trust) (*sessionsv1.Trust, error) {
	settings := &sessionsv1.TrustSettings{}
	if err := rewrite(row.Settings, settings); err != nil {
		return nil, fmt.Errorf("trust %s: %w", row.ID, err)
	}
	return &sessionsv1.Trust{
		Id: row.ID, Organization: row.Organization, Settings: settings, CreatedAt: timestamppb.New(row.CreatedAt),
	}, nil
}

type trustsAtHome struct {
	*Trusts

	peers *home.Peers[sessionsv1connect.TrustServiceClient]
}

// TrustsAtHome serves TrustService with writes executed at home.
func TrustsAtHome(s *Trusts, ways *home.Router) sessionsv1connect.TrustServiceHandler {
	return &trustsAtHome{s, home.Clients(ways, sessionsv1connect.NewTrustServiceClient)}
}

// CreateTrust implements TrustService.
func (s *trustsAtHome) CreateTrust(ctx context.Context, req *sessionsv1.CreateTrustRequest) (*sessionsv1.CreateTrustResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, sessionsv1connect.TrustServiceClient.CreateTrust, s.Trusts.CreateTrust)
}

// UpdateTrust implements TrustService.
func (s *trustsAtHome) UpdateTrust(ctx context.Context, req *sessionsv1.UpdateTrustRequest) (*sessionsv1.UpdateTrustResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, sessionsv1connect.TrustServiceClient.UpdateTrust, s.Trusts.UpdateTrust)
}

// DeleteTrust implements TrustService.
func (s *trustsAtHome) DeleteTrust(ctx context.Context, req *sessionsv1.DeleteTrustRequest) (*sessionsv1.DeleteTrustResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, sessionsv1connect.TrustServiceClient.DeleteTrust, s.Trusts.DeleteTrust)
}
