package oidc

import (
	"context"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// revoke takes a token back that a client has no use for any more, and what came from
// the same grant. A token that is good for nothing is no error.
//
// Source: RFC 7009 sections 2.1 and 2.2.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request, issuer string) error {
	values, err := form(r)
	if err != nil {
		return err
	}
	c, err := p.Clients.Authenticate(r.Context(), r, values, issuer)
	if err != nil {
		return err
	}
	token := secret.NewString(values.Get("token"))
	if token.IsZero() {
		return answer.Refuse(answer.InvalidRequest, "token is missing")
	}
	if name, generation := grant.GrantOfRefresh(token); name != "" {
		err = p.revokeRefresh(r.Context(), c, token, name, generation, issuer)
	} else {
		err = p.revokeAccess(r.Context(), c, token)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

// anothers is the answer to who revokes what is another client's.
func anothers() error {
	return answer.Refuse(answer.UnauthorizedClient, "the token was not issued to this client")
}

func (p *Provider) revokeRefresh(ctx context.Context, c store.Client, token secret.String, name string, generation uint64, issuer string) error {
	g, _, err := p.held(ctx, &exchange{issuer: issuer, client: c, at: p.now()}, name,
		func(g store.Grant) bool { return p.Secrets.IsRefresh(token, g.ID, g.Salt, generation) })
	switch {
	case fault.Is(err, commonv1.Reason_GRANT_REJECTED):
		return nil
	case err != nil:
		return err
	case g.Client != c.ID:
		return anothers()
	}
	return p.revokeGrant(ctx, g.User, g.ID)
}

func (p *Provider) revokeGrant(ctx context.Context, user, grantID string) error {
	_, err := p.Ender.End(ctx, nobody, ending.Of{
		User: user, Grants: store.GrantsOf{ID: grantID}, Reason: eventv1.Revocation_REVOCATION_CLIENT,
	})
	return err
}

func (p *Provider) revokeAccess(ctx context.Context, c store.Client, token secret.String) error {
	claims, err := p.Tokens.Verify(token)
	if f, ok := fault.As(err); ok && f.Kind == fault.Unauthenticated {
		return nil
	}
	switch {
	case err != nil:
		return err
	case claims.Client != c.ID:
		return anothers()
	case claims.Grant != "" && claims.Actor == nil: // the grant of an exchanged token is another client's
		return p.revokeGrant(ctx, claims.Subject, claims.Grant)
	}
	return p.revokeOwn(ctx, c, claims)
}

// revokeOwn records that a token of a client itself has ended, in the client's log.
func (p *Provider) revokeOwn(ctx context.Context, c store.Client, claims accesstoken.Claims) error {
	log := c.Organization
	if log == "" {
		log = id.Platform
	}
	_, err := p.Log.Commit(ctx, eventlog.Request{Log: log}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := p.Log.Append(ctx, tx, eventlog.Append{
			Log: log, Expected: eventlog.AnyHead, Actor: &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "sessions"},
			Events: []proto.Message{&eventv1.ClientTokenRevoked{Client: c.ID, Token: claims.ID, ExpiresAt: timestamppb.New(time.Unix(claims.Expires, 0))}},
		})
		return err
	})
	return err
}
