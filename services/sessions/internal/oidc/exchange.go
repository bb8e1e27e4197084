package oidc

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/tokenexchange"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// exchangeGrant is the grant_type of token exchange.
//
// Source: RFC 8693 section 2.1.
const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"

// exchangeToken gives a client a token for the next API, for the token that it was
// called with. It ends with what the subject's token ends with, and is never refreshed.
//
// Source: RFC 8693 section 2.
func (p *Provider) exchangeToken(ctx context.Context, x *exchange) (tokens, error) {
	settings := x.client.Settings
	request := tokenexchange.Request{
		Client: tokenexchange.Client{
			ID: x.client.ID, Organization: x.client.Organization, Scopes: settings.GetScopes(), Resources: settings.GetResources(),
		},
		SubjectType: x.form.Get("subject_token_type"), ActorType: x.form.Get("actor_token_type"), RequestedType: x.form.Get("requested_token_type"),
		Scopes: strings.Fields(x.form.Get("scope")), Targets: slices.Concat(x.form["resource"], x.form["audience"]), Proved: x.proof() != "", Provider: x.issuer,
	}
	acting := x.form.Get("actor_token") != ""
	if refused := request.Types(acting); refused != nil {
		return tokens{}, answer.Refuse(refused.Code, refused.Description)
	}
	subject, err := p.presented(x, "subject_token")
	if err != nil {
		return tokens{}, err
	}
	var actor *tokenexchange.Token
	made := subject.IssuedAt
	if acting {
		claims, err := p.presented(x, "actor_token")
		if err != nil {
			return tokens{}, err
		}
		said := exchangeable(claims)
		actor, made = &said, min(made, claims.IssuedAt)
	}
	given, refused := request.Decide(exchangeable(subject), actor)
	if refused != nil {
		return tokens{}, answer.Refuse(refused.Code, refused.Description)
	}
	if err := p.stand(ctx, subject, given, made); err != nil {
		return tokens{}, err
	}
	out, err := p.issueExchanged(ctx, x, subject, given)
	out.Issued = tokenexchange.AccessToken
	return out, err
}

// issueExchanged signs the token that another one is exchanged for: what it ends with is
// that one's.
func (p *Provider) issueExchanged(ctx context.Context, x *exchange, subject accesstoken.Claims, given tokenexchange.Given) (tokens, error) {
	rev := ""
	if id.Valid(id.User, subject.Subject) {
		var err error
		if rev, err = p.revisionOf(ctx, subject.Subject, subject.Organization); err != nil {
			return tokens{}, err
		}
	}
	x.until = given.Expires
	return p.issue(x, accesstoken.Claims{
		Subject: subject.Subject, Audience: given.Audience, Client: x.client.ID, Scope: strings.Join(given.Scopes, " "),
		Session: subject.Session, Grant: subject.Grant, Organization: subject.Organization, AuthenticatedAt: subject.AuthenticatedAt,
		Context: subject.Context, Methods: subject.Methods, Revision: rev, Actor: chain(given.Actors), Authorized: given.Authorized,
	})
}

// presented is what a token of a request says that this issuer made, and that is good.
//
// Source: RFC 8693 section 2.2.2.
func (p *Provider) presented(x *exchange, name string) (accesstoken.Claims, error) {
	token := secret.NewString(x.form.Get(name))
	if token.IsZero() {
		return accesstoken.Claims{}, answer.Refuse(answer.InvalidRequest, name+" is missing")
	}
	claims, err := p.Tokens.Verify(token)
	if f, ok := fault.As(err); ok && f.Kind == fault.Unauthenticated || err == nil && claims.Issuer != x.issuer {
		return accesstoken.Claims{}, answer.Refuse(answer.InvalidRequest, name+" is no access token of this issuer, has expired, or was revoked")
	}
	return claims, err
}

// exchangeable is what counts of a token.
func exchangeable(c accesstoken.Claims) tokenexchange.Token {
	t := tokenexchange.Token{
		Subject: c.Subject, Client: c.Client, Authorized: c.Authorized, Organization: c.Organization, Audience: c.Audience,
		Scopes: strings.Fields(c.Scope), Expires: time.Unix(c.Expires, 0), Bound: c.Confirmation != nil,
	}
	for a := c.Actor; a != nil; a = a.Actor {
		t.Actors = append(t.Actors, tokenexchange.Actor{Subject: a.Subject, Client: a.Client})
	}
	return t
}

// chain is who acts, as tokens say it: the one who acts now, and within it who did before.
//
// Source: RFC 8693 section 4.1.
func chain(actors []tokenexchange.Actor) (out *accesstoken.Actor) {
	for _, a := range slices.Backward(actors) {
		out = &accesstoken.Actor{Subject: a.Subject, Client: a.Client, Actor: out}
	}
	return out
}

// stand asks again whether all who are behind a token may still act: the subject, those
// who act for it, and the clients that they use. That tokens were taken back is known to
// this process some moments later; a token that is made until then would not be refused.
//
// Errors: GRANT_REJECTED; unavailable.
func (p *Provider) stand(ctx context.Context, subject accesstoken.Claims, given tokenexchange.Given, made int64) error {
	names := []string{subject.Subject, subject.Client, given.Authorized}
	for _, a := range given.Actors {
		names = append(names, a.Subject, a.Client)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		if err := p.stands(ctx, name, subject.Organization); err != nil {
			return err
		}
	}
	cut, err := store.CutOff(ctx, p.DB.Pool(), append(names, subject.Organization)...)
	if err == nil && made <= cut.Unix() {
		return over()
	}
	return err
}

// over is what is said of what was taken back.
func over() error {
	return fault.New(fault.Unauthenticated, commonv1.Reason_GRANT_REJECTED, "one of those who act may not act any more")
}

// orOver is an error, or else that it is over.
func orOver(err error) error {
	if err != nil {
		return err
	}
	return over()
}

// stands says whether a user, a service account or a client may act, in an organization
// if one is named.
func (p *Provider) stands(ctx context.Context, name, organization string) error {
	switch {
	case id.Valid(id.User, name):
		return p.People.Standing(ctx, name, organization)
	case id.Valid(id.ServiceAccount, name) && organization != "":
		return p.People.Account(ctx, organization, name)
	case id.Valid(id.Client, name), client.IsDocument(name):
		if blocked, err := p.blockedFor(ctx, name, organization); err != nil || blocked {
			return orOver(err)
		}
		c, err := p.client(ctx, name)
		if err == nil && (c.ID == "" || c.Disabled) {
			return over()
		}
		if err == nil && c.Organization != "" {
			_, err = p.People.Organization(ctx, c.Organization)
		}
		return err
	case id.Valid(id.Trust, name):
		_, err := p.trusted(ctx, name)
		return err
	default:
		return over()
	}
}
