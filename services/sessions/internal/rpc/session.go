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
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// standardPage is how many there are on a page that names no size.
const standardPage = 50

// Sessions serves SessionService.
type Sessions struct {
	// Clients knows whose clients are.
	Clients *Clients

	DB    *sqldb.DB
	Log   *eventlog.Store
	Lives session.Lives
	Clock func() time.Time
}

var _ sessionsv1connect.SessionServiceHandler = (*Sessions)(nil)

// exists says whether there is a user.
//
// Errors: NOT_FOUND.
func (s *Sessions) exists(ctx context.Context, user string) error {
	_, err := s.Log.Head(ctx, s.DB.Pool(), user)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such user")
	}
	return err
}

// ofUser is a request for what a user has, newest first.
type ofUser interface {
	GetUser() string
	GetCursor() string
	GetPageSize() uint32
	GetAtLeast() string
}

// list reads a page of what a user has, from before an id, and the cursor of the next.
//
// Errors: NOT_FOUND, those of page.After and commit.Fresh.
func list[Row any](
	ctx context.Context, s *Sessions, what string, req ofUser, read func(before string, size int) ([]Row, error), id func(Row) string,
) (rows []Row, next string, err error) {
	query := what + " of " + req.GetUser()
	before, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, "", err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, "", err
	}
	if err := s.exists(ctx, req.GetUser()); err != nil {
		return nil, "", err
	}
	size := page.Size(req.GetPageSize(), standardPage)
	if rows, err = read(before, size); err != nil || len(rows) < size {
		return rows, "", err
	}
	return rows, page.Cursor(query, id(rows[size-1])), nil
}

// ListSessions implements SessionService.
func (s *Sessions) ListSessions(ctx context.Context, req *sessionsv1.ListSessionsRequest) (*sessionsv1.ListSessionsResponse, error) {
	now := s.Clock()
	rows, next, err := list(ctx, s, "sessions", req, func(before string, size int) ([]store.Session, error) {
		return store.ListSessions(ctx, s.DB.Pool(), req.GetUser(), before, now, size)
	}, func(row store.Session) string { return row.ID })
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.ListSessionsResponse{NextCursor: next}
	for _, row := range rows {
		if row.Live(s.Lives, now) {
			out.Sessions = append(out.Sessions, sessionMessage(row))
		}
	}
	return out, nil
}

// RevokeSession implements SessionService.
func (s *Sessions) RevokeSession(ctx context.Context, req *sessionsv1.RevokeSessionRequest) (*sessionsv1.RevokeSessionResponse, error) {
	out := &sessionsv1.RevokeSessionResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetUser(), sessionsv1connect.SessionServiceRevokeSessionProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			ended, err := ending.In(ctx, tx, s.Log, caller, ending.Of{
				User: req.GetUser(), Session: req.GetSession(), Reason: eventv1.Revocation_REVOCATION_REVOKED,
			})
			if err != nil {
				return err
			}
			out.Revision, err = revision.Token(ended.Revision)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RevokeSessions implements SessionService.
func (s *Sessions) RevokeSessions(ctx context.Context, req *sessionsv1.RevokeSessionsRequest) (*sessionsv1.RevokeSessionsResponse, error) {
	out := &sessionsv1.RevokeSessionsResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetUser(), sessionsv1connect.SessionServiceRevokeSessionsProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			ended, err := ending.In(ctx, tx, s.Log, caller, ending.Of{
				User: req.GetUser(), All: true, Reason: eventv1.Revocation_REVOCATION_REVOKED,
			})
			if err != nil {
				return err
			}
			out.Sessions, out.Grants = ended.Sessions, ended.Grants
			out.Revision, err = revision.Token(ended.Revision)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ListGrants implements SessionService.
func (s *Sessions) ListGrants(ctx context.Context, req *sessionsv1.ListGrantsRequest) (*sessionsv1.ListGrantsResponse, error) {
	rows, next, err := list(ctx, s, "grants", req, func(before string, size int) ([]store.Grant, error) {
		return store.ListGrants(ctx, s.DB.Pool(), req.GetUser(), before, s.Clock(), size)
	}, func(row store.Grant) string { return row.ID })
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.ListGrantsResponse{NextCursor: next}
	for _, row := range rows {
		out.Grants = append(out.Grants, grantMessage(row))
	}
	return out, nil
}

// RevokeGrant implements SessionService.
func (s *Sessions) RevokeGrant(ctx context.Context, req *sessionsv1.RevokeGrantRequest) (*sessionsv1.RevokeGrantResponse, error) {
	out := &sessionsv1.RevokeGrantResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetUser(), sessionsv1connect.SessionServiceRevokeGrantProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			ended, err := ending.In(ctx, tx, s.Log, caller, ending.Of{
				User: req.GetUser(), Grants: store.GrantsOf{ID: req.GetGrant()}, Withdraw: true, Reason: eventv1.Revocation_REVOCATION_REVOKED,
			})
			if err != nil {
				return err
			}
			out.Revision, err = revision.Token(ended.Revision)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RevokeTokens implements SessionService.
func (s *Sessions) RevokeTokens(ctx context.Context, req *sessionsv1.RevokeTokensRequest) (*sessionsv1.RevokeTokensResponse, error) {
	organization, named := req.GetOrganization(), req.GetClient()
	event := &eventv1.TokensRevoked{Organization: organization}
	if named != "" {
		event = &eventv1.TokensRevoked{Client: named}
	}
	if organization+named == "" {
		return nil, fault.Field("organization", "required", "name an organization or a client")
	}
	out := &sessionsv1.RevokeTokensResponse{}
	_, err := commit.Once(ctx, s.Log, ownerLog(organization), sessionsv1connect.SessionServiceRevokeTokensProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, err := s.Clients.lock(ctx, tx, organization)
			if err != nil {
				return err
			}
			// A client that nobody registered has no row: what it was given ends all the same.
			if named != "" && (organization != "" || !client.IsDocument(named)) {
				if _, err := store.FindClientOf(ctx, tx, organization, named); err != nil {
					return err
				}
			}
			subject := event.GetOrganization() + event.GetClient() // one is empty
			if err := store.PutCutoff(ctx, tx, subject, head.HomeRegion, s.Clock().UTC().Truncate(time.Microsecond)); err != nil {
				return err
			}
			out.Revision, err = s.Clients.tell(ctx, tx, head, caller, []proto.Message{event})
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ListLogouts implements SessionService.
func (s *Sessions) ListLogouts(ctx context.Context, req *sessionsv1.ListLogoutsRequest) (*sessionsv1.ListLogoutsResponse, error) {
	rows, next, err := list(ctx, s, "logouts", req, func(before string, size int) ([]store.Logout, error) {
		return store.ListLogouts(ctx, s.DB.Pool(), req.GetUser(), before, size)
	}, func(row store.Logout) string { return row.ID })
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.ListLogoutsResponse{NextCursor: next}
	for _, row := range rows {
		out.Logouts = append(out.Logouts, logoutMessage(row))
	}
	return out, nil
}

func sessionMessage(s store.Session) *sessionsv1.Session {
	return &sessionsv1.Session{
		Id: s.ID, User: s.User, StartedAt: timestamppb.New(s.StartedAt), AuthenticatedAt: timestamppb.New(s.AuthenticatedAt),
		Acr: s.ACR, Amr: s.AMR, LastSeenAt: timestamppb.New(s.LastSeenAt), ExpiresAt: timestamppb.New(s.ExpiresAt), Device: s.Device, Ip: s.IP,
	}
}

func grantMessage(g store.Grant) *sessionsv1.Grant {
	out := &sessionsv1.Grant{
		Id: g.ID, Session: g.Session, User: g.User, Client: g.Client, Organization: g.Organization, Scopes: g.Scopes,
		GivenAt: timestamppb.New(g.IssuedAt), ExpiresAt: timestamppb.New(g.ExpiresAt),
	}
	if g.Generation > 1 {
		out.RefreshedAt = timestamppb.New(g.RotatedAt)
	}
	return out
}

func logoutMessage(l store.Logout) *sessionsv1.Logout {
	out := &sessionsv1.Logout{
		Id: l.ID, User: l.User, Session: l.Session, Client: l.Client, Issuer: l.Issuer, State: sessionsv1.LogoutState(l.Status),
		Attempts: l.Attempts, LastStatus: uint32(l.Last.Status), LastError: string(l.Last.Missing), CreatedAt: timestamppb.New(l.CreatedAt),
	}
	if l.Status == logout.Waiting {
		out.NextAt = timestamppb.New(l.NextAt)
	}
	return out
}

// sessionsAtHome serves SessionService with writes executed where the user is at home.
type sessionsAtHome struct {
	*Sessions

	peers *home.Peers[sessionsv1connect.SessionServiceClient]
}

// SessionsAtHome serves SessionService with writes executed at home.
func SessionsAtHome(s *Sessions, ways *home.Router) sessionsv1connect.SessionServiceHandler {
	return &sessionsAtHome{s, home.Clients(ways, sessionsv1connect.NewSessionServiceClient)}
}

// RevokeSession implements SessionService.
func (s *sessionsAtHome) RevokeSession(ctx context.Context, req *sessionsv1.RevokeSessionRequest) (*sessionsv1.RevokeSessionResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, sessionsv1connect.SessionServiceClient.RevokeSession, s.Sessions.RevokeSession)
}

// RevokeSessions implements SessionService.
func (s *sessionsAtHome) RevokeSessions(ctx context.Context, req *sessionsv1.RevokeSessionsRequest) (*sessionsv1.RevokeSessionsResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, sessionsv1connect.SessionServiceClient.RevokeSessions, s.Sessions.RevokeSessions)
}

// RevokeTokens implements SessionService.
func (s *sessionsAtHome) RevokeTokens(ctx context.Context, req *sessionsv1.RevokeTokensRequest) (*sessionsv1.RevokeTokensResponse, error) {
	return home.Send(ctx, s.peers, ownerLog(req.GetOrganization()), req, sessionsv1connect.SessionServiceClient.RevokeTokens, s.Sessions.RevokeTokens)
}

// RevokeGrant implements SessionService.
func (s *sessionsAtHome) RevokeGrant(ctx context.Context, req *sessionsv1.RevokeGrantRequest) (*sessionsv1.RevokeGrantResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, sessionsv1connect.SessionServiceClient.RevokeGrant, s.Sessions.RevokeGrant)
}
