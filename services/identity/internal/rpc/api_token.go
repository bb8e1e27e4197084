package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
	"github.com/meridian-iam/meridian/services/identity/internal/usage"
)

// APITokens serves ApiTokenService.
type APITokens struct {
	identityv1connect.UnimplementedApiTokenServiceHandler

	DB  *sqldb.DB
	Log *eventlog.Store
	// PlatformRegion is the home of the platform's log.
	PlatformRegion string
	// Usage notes which tokens are used; nil: nobody does.
	Usage *usage.Recorder
	Clock func() time.Time
}

var _ identityv1connect.ApiTokenServiceHandler = (*APITokens)(nil)

// CreateApiToken implements ApiTokenService.
func (s *APITokens) CreateApiToken(
	ctx context.Context, req *identityv1.CreateApiTokenRequest,
) (*identityv1.CreateApiTokenResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	command := apitoken.Create{
		ID: id.New(id.Token), Name: req.GetName(), Organization: req.GetOrganization(), Level: req.GetLevel(),
		ServiceAccount: req.GetServiceAccount(), Scopes: req.GetScopes(),
		Lifetime: time.Duration(req.GetLifetimeSeconds()) * time.Second, At: s.Clock(), Caller: caller.Level, CallerScopes: caller.Scopes,
	}
	out := &identityv1.CreateApiTokenResponse{}
	var text secret.String
	replayed, err := s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(), Log: logOf(req.GetOrganization()),
		Procedure: identityv1connect.ApiTokenServiceCreateApiTokenProcedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) (err error) {
		text, err = s.create(ctx, tx, command, caller.Actor(), out)
		return err
	})
	if err != nil {
		return nil, err
	}
	// A repeated call gets no secret: what an attempt before may have left in
	// text was rolled back.
	if !replayed {
		out.Secret = text.Reveal()
	}
	return out, nil
}

// Bootstrap makes the platform's first token, for the operator at the command
// line. It opens the platform's log when there is none.
func (s *APITokens) Bootstrap(ctx context.Context, name string, lifetime time.Duration) (secret.String, error) {
	command := apitoken.Create{
		ID: id.New(id.Token), Name: name, Level: commonv1.Level_LEVEL_ADMIN, Lifetime: lifetime,
		At: s.Clock(), Caller: commonv1.Level_LEVEL_ADMIN,
	}
	operator := principal.Principal{Kind: principal.Operator, ID: "bootstrap", Level: commonv1.Level_LEVEL_ADMIN}
	var text secret.String
	_, err := s.Log.Commit(ctx, eventlog.Request{Log: id.Platform}, func(ctx context.Context, tx pgx.Tx) (err error) {
		text, err = s.create(ctx, tx, command, operator.Actor(), &identityv1.CreateApiTokenResponse{})
		return err
	})
	return text, err
}

func (s *APITokens) create(
	ctx context.Context, tx pgx.Tx, command apitoken.Create, actor *logv1.Actor, out *identityv1.CreateApiTokenResponse,
) (secret.String, error) {
	var state apitoken.State
	events, err := command.Decide(state)
	if err != nil {
		return secret.String{}, err
	}
	for _, e := range events {
		state.Apply(e)
	}
	row, text := s.newRow(state, s.PlatformRegion)
	if state.Organization != "" {
		owner, err := store.FindOrganization(ctx, tx, state.Organization)
		if err != nil {
			return secret.String{}, err
		}
		if err := owner.Open(); err != nil {
			return secret.String{}, err
		}
		row.HomeRegion = owner.HomeRegion
	}
	if err := s.insert(ctx, tx, row); err != nil {
		return secret.String{}, err
	}
	rev, err := s.append(ctx, tx, state.Organization, eventlog.Append{Actor: actor, Events: events})
	if err != nil {
		return secret.String{}, err
	}
	out.Token = tokenMessage(row)
	out.Revision, err = revision.Token(rev)
	return text, err
}

// logOf is the log of an organization or, for "", the platform's.
func logOf(organization string) string {
	if organization == "" {
		return id.Platform
	}
	return organization
}

// append puts events into the log of an organization or, for "", into the
// platform's, which it opens when there is none.
func (s *APITokens) append(ctx context.Context, tx pgx.Tx, organization string, a eventlog.Append) (revision.Revision, error) {
	a.Log, a.Expected = organization, eventlog.AnyHead
	if organization == "" {
		a.Log, a.HomeRegion = id.Platform, s.PlatformRegion
		_, err := s.Log.Head(ctx, tx, id.Platform)
		switch {
		case fault.Is(err, commonv1.Reason_NOT_FOUND):
			a.Expected = 0
		case err != nil:
			return revision.Revision{}, err
		}
	}
	return s.Log.Append(ctx, tx, a)
}

// ListApiTokens implements ApiTokenService.
func (s *APITokens) ListApiTokens(
	ctx context.Context, req *identityv1.ListApiTokensRequest,
) (*identityv1.ListApiTokensResponse, error) {
	query := "tokens of " + req.GetOrganization()
	before, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if req.GetOrganization() != "" {
		if _, err := store.FindOrganization(ctx, s.DB.Pool(), req.GetOrganization()); err != nil {
			return nil, err
		}
	}
	size := page.Size(req.GetPageSize(), standardPage)
	rows, err := store.ListAPITokens(ctx, s.DB.Pool(), req.GetOrganization(), before, size)
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListApiTokensResponse{}
	for _, row := range rows {
		out.Tokens = append(out.Tokens, tokenMessage(row))
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, rows[size-1].ID)
	}
	return out, nil
}

// RevokeApiToken implements ApiTokenService.
func (s *APITokens) RevokeApiToken(
	ctx context.Context, req *identityv1.RevokeApiTokenRequest,
) (*identityv1.RevokeApiTokenResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	out := &identityv1.RevokeApiTokenResponse{}
	_, err = s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(), Log: logOf(req.GetOrganization()),
		Procedure: identityv1connect.ApiTokenServiceRevokeApiTokenProcedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error {
		return s.revoke(ctx, tx, req, caller, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *APITokens) revoke(
	ctx context.Context, tx pgx.Tx, req *identityv1.RevokeApiTokenRequest, caller principal.Principal, out *identityv1.RevokeApiTokenResponse,
) error {
	row, err := store.FindAPIToken(ctx, tx, req.GetToken())
	if err != nil {
		return err
	}
	events, err := apitoken.Revoke{ID: req.GetToken(), Organization: req.GetOrganization()}.Decide(row.State)
	if err != nil {
		return err
	}
	log := logOf(req.GetOrganization())
	var rev revision.Revision
	if len(events) == 0 {
		head, err := s.Log.Head(ctx, tx, log)
		if err != nil {
			return err
		}
		rev = revision.Revision{Log: log, Sequence: head.Sequence}
	} else {
		if err := store.RevokeAPIToken(ctx, tx, row.ID, s.Clock()); err != nil {
			return err
		}
		rev, err = s.append(ctx, tx, req.GetOrganization(), eventlog.Append{Actor: caller.Actor(), Events: events})
		if err != nil {
			return err
		}
	}
	out.Revision, err = revision.Token(rev)
	return err
}

// VerifyApiToken implements ApiTokenService.
func (s *APITokens) VerifyApiToken(
	ctx context.Context, req *identityv1.VerifyApiTokenRequest,
) (*identityv1.VerifyApiTokenResponse, error) {
	row, owner, err := s.verify(ctx, secret.NewString(req.GetSecret()))
	if err != nil {
		return nil, err
	}
	out := &identityv1.VerifyApiTokenResponse{Token: tokenMessage(row)}
	if row.Organization != "" {
		out.OrganizationState = identityv1.OrganizationState(owner.Status) // numbered alike
	}
	return out, nil
}

// Verify implements principal.Verifier, straight from the table.
func (s *APITokens) Verify(ctx context.Context, bearer secret.String) (principal.Principal, error) {
	row, owner, err := s.verify(ctx, bearer)
	if err != nil {
		return principal.Principal{}, err
	}
	p := principal.Principal{
		Kind: principal.APIToken, ID: row.ID, Organization: row.Organization, Level: row.Level, Expires: row.ExpiresAt,
		Scopes: row.Scopes, ServiceAccount: row.ServiceAccount,
	}
	if owner.Status != organization.Active {
		p.Closed = owner.Status.String()
	}
	return p, nil
}

func (s *APITokens) verify(ctx context.Context, bearer secret.String) (store.APIToken, store.TokenOwner, error) {
	token, hash, err := apitoken.ParseSecret(bearer)
	if err != nil {
		return store.APIToken{}, store.TokenOwner{}, err
	}
	row, owner, err := store.FindTokenAndOwner(ctx, s.DB.Pool(), token)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return store.APIToken{}, store.TokenOwner{}, rejected()
	case err != nil:
		return store.APIToken{}, store.TokenOwner{}, err
	case !hash.Equal(row.Hash), !row.Usable(s.Clock()), owner.Disabled:
		return store.APIToken{}, store.TokenOwner{}, rejected()
	}
	s.Usage.Note(row.ID, row.LastUsedAt)
	return row, owner, nil
}

func rejected() *fault.Fault {
	return fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "the bearer token is unknown, expired or revoked")
}

func tokenMessage(t store.APIToken) *identityv1.ApiToken {
	out := &identityv1.ApiToken{
		Id: t.ID, Name: t.Name, Organization: t.Organization, Level: t.Level,
		CreatedAt: timestamppb.New(t.CreatedAt), ExpiresAt: timestamppb.New(t.ExpiresAt),
		ServiceAccount: t.ServiceAccount, Scopes: t.Scopes, Replaces: t.Replaces,
	}
	if t.LastUsedAt != nil {
		out.LastUsedAt = timestamppb.New(*t.LastUsedAt)
	}
	if t.RevokedAt != nil {
		out.RevokedAt = timestamppb.New(*t.RevokedAt)
	}
	return out
}
