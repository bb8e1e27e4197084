package oidc

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// Pending implements door.Flow.
func (p *Provider) Pending(r *http.Request) (door.Pending, error) {
	issuer, _ := p.issuer(r)
	if r.URL.Query().Get("request") == "" && r.PostFormValue("request") == "" {
		return p.pendingReturn(r)
	}
	v, err := p.pendingOf(r, issuer)
	if err != nil {
		return door.Pending{}, err
	}
	request := v.pending.Request
	out := door.Pending{
		ID: v.name, Client: shown(v.client), Organization: v.client.Organization, Email: request.LoginHint, Locales: request.Locales,
		Create: request.Prompt.Create, FormTargets: v.frame().FormTargets, Theme: v.theme,
	}
	_, o, err := p.next(r, v)
	if (o.Step == interaction.StepUp || o.Step == interaction.ProveAddress) && err == nil {
		s, err := p.session(r.Context(), r)
		if err != nil {
			return door.Pending{}, err
		}
		out.StepUp, out.AMR, out.ACR, out.Organization = s.User, s.AMR, o.ACR, o.Organization
		if o.Step == interaction.ProveAddress {
			out.ACR, out.ProveAddress = "", true
		}
	}
	if out.Organization != "" {
		if organization, err := p.People.Organization(r.Context(), out.Organization); err == nil {
			out.OrganizationName = organization.GetName()
		}
	}
	return out, nil
}

// SignedIn implements door.Flow: whoever signed in has a session from here on, and goes
// on with the request.
func (p *Provider) SignedIn(
	w http.ResponseWriter, r *http.Request, pending door.Pending, result *identityv1.FinishAuthenticationResponse,
) (next string, err error) {
	before, err := p.session(r.Context(), r)
	if err != nil {
		return "", err
	}
	proof := session.Proof{
		User: result.GetUser(), ACR: result.GetAcr(), AMR: result.GetAmr(), At: result.GetAuthenticatedAt().AsTime(),
	}
	if before.ID != "" && before.User != proof.User {
		if err := p.signOut(w, r, before); err != nil {
			return "", err
		}
	}
	own, err := p.signIn(w, r, before, proof)
	if err != nil {
		return "", err
	}
	if result.GetPasswordSet() && !result.GetCreated() {
		if err := p.endOthers(r.Context(), proof.User, own); err != nil {
			return "", err
		}
	}
	if pending.ID == "" {
		return p.returned(w, r), nil
	}
	return requestURL("/continue", pending.ID), nil
}

// NoStepUp implements door.Flow: the client is told that the user cannot prove more.
func (p *Provider) NoStepUp(_ http.ResponseWriter, r *http.Request, pending door.Pending) (next string, err error) {
	if pending.ID == "" {
		return unmetPath, nil
	}
	issuer, _ := p.issuer(r)
	v, err := p.pendingOf(r, issuer)
	if err != nil {
		return "", err
	}
	v.pending.NoStepUp = true
	if v.row.Content, err = encode(v.pending); err != nil {
		return "", err
	}
	if err := store.UpdateRequest(r.Context(), p.DB, v.row); err != nil {
		return "", err
	}
	return requestURL("/continue", pending.ID), nil
}

// signIn gives the browser a session: its own, strengthened, where the same user proved
// more, and else a new one, for which the oldest of too many end. The cookie changes in
// any case, so a session that somebody planted is worth nothing.
//
// Source: OWASP Session Management Cheat Sheet, "Renew the Session ID After Any
// Privilege Level Change".
func (p *Provider) signIn(w http.ResponseWriter, r *http.Request, before store.Session, proof session.Proof) (own string, err error) {
	text, hash := randomText()
	row := store.Session{Hash: hash, Device: browserName(r), IP: address(r)}
	_, err = p.Log.Commit(r.Context(), eventlog.Request{Log: proof.User}, func(ctx context.Context, tx pgx.Tx) error {
		head, err := p.Log.Lock(ctx, tx, proof.User)
		if err != nil {
			return err
		}
		events, err := p.begin(ctx, tx, before, proof, &row)
		if err != nil {
			return err
		}
		for _, e := range events {
			row.Apply(e)
		}
		row.LastSeenAt, row.HomeRegion = p.now(), head.HomeRegion
		if row.ID == before.ID {
			err = store.UpdateSession(ctx, tx, row)
		} else {
			err = store.InsertSession(ctx, tx, row)
		}
		if err != nil {
			return err
		}
		_, err = p.Log.Append(ctx, tx, eventlog.Append{Log: proof.User, Expected: head.Sequence, Actor: himself(proof.User), Events: events})
		return err
	})
	if err != nil {
		return "", err
	}
	setCookie(w, sessionCookie, row.ID+"."+text, p.Lives.Absolute)
	many, err := store.HasSessionsBeyond(r.Context(), p.DB.Pool(), proof.User, session.Limit)
	if err != nil || !many {
		return row.ID, err
	}
	_, err = p.Ender.End(r.Context(), pagesCaller(proof.User), ending.Of{
		User: proof.User, Beyond: session.Limit, Reason: eventv1.Revocation_REVOCATION_LIMIT,
	})
	return row.ID, err
}

// endOthers ends what somebody is signed in to elsewhere, after a change of the password:
// whoever else has the one before is out.
//
// Source: OWASP Forgot Password Cheat Sheet.
func (p *Provider) endOthers(ctx context.Context, user, own string) error {
	_, err := p.Ender.End(ctx, pagesCaller(user), ending.Of{User: user, Except: own, Reason: eventv1.Revocation_REVOCATION_PASSWORD})
	return err
}

// begin are the events of who signed in.
func (p *Provider) begin(ctx context.Context, tx pgx.Tx, before store.Session, proof session.Proof, row *store.Session) ([]proto.Message, error) {
	row.State = session.State{}
	if before.User == proof.User && before.ID != "" {
		now, err := store.FindSession(ctx, tx, before.ID)
		if err == nil {
			row.State = now.State
			return session.Strengthen{Proof: proof}.Decide(row.State)
		}
		if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			return nil, err
		}
	}
	return session.Start{ID: id.New(id.Session), Proof: proof, Lives: p.Lives}.Decide()
}

// goOn goes on with a request after somebody signed in.
func (p *Provider) goOn(w http.ResponseWriter, r *http.Request, issuer string) error {
	v, err := p.pendingOf(r, issuer)
	if err != nil {
		return err
	}
	return p.advance(w, r, v)
}
