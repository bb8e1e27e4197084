package oidc

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// retention is how long a grant without refresh tokens is kept: longer than its code
// and its access tokens live, so that a code that comes twice ends them.
const retention = 15 * time.Minute

// finish gives the client its grant and sends it the code.
func (p *Provider) finish(w http.ResponseWriter, r *http.Request, v *visit, s interaction.Situation, o interaction.Outcome) error {
	if v.name != "" {
		// Of two who finish the request one does.
		if _, err := store.TakeRequest(r.Context(), p.DB, v.row.Hash); err != nil {
			return err
		}
	}
	g := p.granted(v, s, o)
	agreed := s.Agreed[o.Organization]
	if s.AgreedNow && v.client.Settings.GetConsentRequired() {
		agreed.Scopes, agreed.Resources = union(agreed.Scopes, g.Scopes), union(agreed.Resources, g.Resources)
	}
	if err := p.give(r.Context(), &g, s.Agreed[o.Organization], agreed); err != nil {
		if fault.Is(err, commonv1.Reason_NOT_FOUND) {
			return p.helpful(w, r, &authorize.Error{Code: interaction.LoginRequired, Description: "the session has ended", Redirect: v.pending.Request.Redirect})
		}
		return err
	}
	code := p.Secrets.Code(g.ID, g.Salt)
	return p.respond(w, r, v.pending.Request.Redirect, url.Values{"code": {code.Reveal()}, "iss": {v.issuer}})
}

// granted is what the client is given.
func (p *Provider) granted(v *visit, s interaction.Situation, o interaction.Outcome) store.Grant {
	settings, request, now := v.client.Settings, v.pending.Request, p.now()
	offline := slices.Contains(request.Scopes, "offline_access")
	refreshable := may(v.client.State, sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN)
	g := store.Grant{
		State: grant.State{
			ID: id.New(id.Grant), Status: grant.Issued, Session: s.Session.ID, User: s.Session.User, Client: v.client.ID, IssuedAt: now,
			ExpiresAt: now.Add(retention), RedirectURI: request.Redirect.URI, Challenge: request.Challenge, Key: request.Key,
			Refreshable: refreshable, RotatedAt: now,
			Idle: seconds(settings.GetRefreshIdleSeconds()), Grace: seconds(settings.GetRefreshGraceSeconds()),
		},
		Organization: o.Organization, Issuer: v.issuer, Scopes: request.Scopes, Resources: request.Resources,
		Nonce: request.Nonce, ACR: s.Session.ACR, AMR: s.Session.AMR, AuthenticatedAt: s.Session.AuthenticatedAt,
		Standalone: refreshable && offline &&
			sessionsv1.RefreshLifetime(settings.GetRefreshLifetime()) == sessionsv1.RefreshLifetime_REFRESH_LIFETIME_STANDALONE,
	}
	_, _ = rand.Read(g.Salt[:]) // never fails, by its contract
	if refreshable {
		g.ExpiresAt = now.Add(seconds(settings.GetRefreshAbsoluteSeconds()))
		if !g.Standalone && s.Session.ExpiresAt.Before(g.ExpiresAt) {
			g.ExpiresAt = s.Session.ExpiresAt
		}
	}
	return g
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }

// give records a grant and, where the user agrees to more than before, that.
//
// Errors: NOT_FOUND when the session has ended meanwhile.
func (p *Provider) give(ctx context.Context, g *store.Grant, before, agreed interaction.Agreement) error {
	_, err := p.Log.Commit(ctx, eventlog.Request{Log: g.User}, func(ctx context.Context, tx pgx.Tx) error {
		head, err := p.Log.Lock(ctx, tx, g.User)
		if err != nil {
			return err
		}
		s, err := store.FindSession(ctx, tx, g.Session)
		if err != nil {
			return err
		}
		g.HomeRegion = head.HomeRegion
		events := []proto.Message{&eventv1.GrantGiven{
			Grant: g.ID, Session: g.Session, User: g.User, Client: g.Client, Organization: g.Organization,
			Scopes: g.Scopes, Resources: g.Resources, ExpiresAt: timestamppb.New(g.ExpiresAt),
		}}
		if err := store.InsertGrant(ctx, tx, *g); err != nil {
			return err
		}
		if err := store.PutParty(ctx, tx, *g, s.ExpiresAt); err != nil {
			return err
		}
		if len(agreed.Scopes) > len(before.Scopes) || len(agreed.Resources) > len(before.Resources) {
			events = append(events, &eventv1.ConsentGiven{
				User: g.User, Client: g.Client, Organization: g.Organization, Scopes: agreed.Scopes, Resources: agreed.Resources,
			})
			err := store.PutConsent(ctx, tx, store.Consent{
				User: g.User, Client: g.Client, Organization: g.Organization, Scopes: agreed.Scopes, Resources: agreed.Resources,
				HomeRegion: head.HomeRegion, GivenAt: p.now(),
			})
			if err != nil {
				return err
			}
		}
		_, err = p.Log.Append(ctx, tx, eventlog.Append{Log: g.User, Expected: head.Sequence, Actor: himself(g.User), Events: events})
		return err
	})
	return err
}

// himself is a user as the log records who acts on the pages.
func himself(user string) *logv1.Actor {
	return &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_USER, Id: user, Via: "sessions"}
}

// union is what is in either, ordered.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
