package oidc

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// introspection is what is said of a token that can be used; of any other it is said
// that it is not active, and nothing else.
//
// Source: RFC 7662 section 2.2.
type introspection struct {
	Active       bool                      `json:"active"`
	Scope        string                    `json:"scope,omitempty"`
	Client       string                    `json:"client_id,omitempty"`
	Type         string                    `json:"token_type,omitempty"`
	Expiry       int64                     `json:"exp,omitempty"`
	IssuedAt     int64                     `json:"iat,omitempty"`
	Subject      string                    `json:"sub,omitempty"`
	Audience     []string                  `json:"aud,omitempty"`
	Issuer       string                    `json:"iss,omitempty"`
	ID           string                    `json:"jti,omitempty"`
	Session      string                    `json:"sid,omitempty"`
	Organization string                    `json:"org,omitempty"`
	AuthTime     int64                     `json:"auth_time,omitempty"`
	ACR          string                    `json:"acr,omitempty"`
	Confirmation *accesstoken.Confirmation `json:"cnf,omitempty"`
	Actor        *accesstoken.Actor        `json:"act,omitempty"`
}

// introspect says what a token is good for, to a client that may know it: its own, or
// one for an API that is the client's too; to a client of an organization, of tokens of
// that one. It writes nothing.
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request, issuer string) error {
	values, err := form(r)
	if err != nil {
		return err
	}
	c, err := p.Clients.Authenticate(r.Context(), r, values, issuer)
	if err != nil {
		return err
	}
	if public(c) {
		return &answer.Error{Status: http.StatusUnauthorized, Code: answer.InvalidClient, Description: "a client that cannot prove itself may not introspect"}
	}
	token := secret.NewString(values.Get("token"))
	if token.IsZero() {
		return answer.Refuse(answer.InvalidRequest, "token is missing")
	}
	said, err := p.said(r.Context(), c, token, issuer)
	if err != nil {
		return err
	}
	return answer.JSON(w, http.StatusOK, said)
}

// said is what a client is told of a token.
func (p *Provider) said(ctx context.Context, c store.Client, token secret.String, issuer string) (introspection, error) {
	if name, generation := grant.GrantOfRefresh(token); name != "" {
		return p.saidOfRefresh(ctx, c, token, name, generation, issuer)
	}
	claims, err := p.Tokens.Verify(token)
	if f, ok := fault.As(err); ok && f.Kind == fault.Unauthenticated {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	own := claims.Client == c.ID || slices.ContainsFunc(claims.Audience, func(aud string) bool { return answersFor(c, aud) })
	others := c.Organization != "" && claims.Organization != c.Organization && claims.Client != c.ID
	if !own || others || claims.Issuer != issuer {
		return introspection{}, nil
	}
	kind := "Bearer"
	if claims.Confirmation != nil && claims.Confirmation.Thumbprint != "" {
		kind = "DPoP"
	}
	return introspection{
		Active: true, Scope: claims.Scope, Client: claims.Client, Type: kind, Expiry: claims.Expires, IssuedAt: claims.IssuedAt, Subject: claims.Subject,
		Audience: claims.Audience, Issuer: claims.Issuer, ID: claims.ID, Session: claims.Session, Organization: claims.Organization,
		AuthTime: claims.AuthenticatedAt, ACR: claims.Context, Confirmation: claims.Confirmation, Actor: claims.Actor,
	}, nil
}

// answersFor says whether a client is an API. One that nobody registered may call those
// that are offered to all such clients, and is none.
func answersFor(c store.Client, api string) bool {
	return !client.IsDocument(c.ID) && slices.Contains(c.Settings.GetResources(), api)
}

// saidOfRefresh is what a client is told of its own refresh token, if it is the current
// one.
func (p *Provider) saidOfRefresh(
	ctx context.Context, c store.Client, token secret.String, name string, generation uint64, issuer string,
) (introspection, error) {
	x := &exchange{issuer: issuer, client: c, at: p.now()}
	g, ended, err := p.held(ctx, x, name, func(g store.Grant) bool { return p.Secrets.IsRefresh(token, g.ID, g.Salt, generation) })
	if fault.Is(err, commonv1.Reason_GRANT_REJECTED) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	refresh := grant.Refresh{Client: c.ID, Generation: generation, Key: g.Key, SessionEnded: ended, At: x.at}
	if _, _, refused := refresh.Decide(g.State); refused != nil || generation != g.Generation {
		return introspection{}, nil //nolint:nilerr // that is the answer
	}
	return introspection{
		Active: true, Scope: strings.Join(g.Scopes, " "), Client: g.Client, Type: "refresh_token", Expiry: g.Expires().Unix(), IssuedAt: g.RotatedAt.Unix(),
		Subject: g.User, Issuer: g.Issuer, Session: g.Session, Organization: g.Organization,
	}, nil
}
