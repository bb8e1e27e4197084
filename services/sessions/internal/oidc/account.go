package oidc

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/enrolment"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// accountItems is how many sessions and applications the account page shows.
const accountItems = 100

// account shows a person what is signed in, and what was given away.
func (p *Provider) account(w http.ResponseWriter, r *http.Request, _ string) error {
	s, user, err := p.somebody(r)
	if err != nil {
		return err
	}
	if user == nil {
		return redirect(w, "/sign-in")
	}
	view := pages.Account{Name: user.GetName(), Email: user.GetEmail(), Frame: pages.Frame{Locales: []string{user.GetLocale()}}}
	if view.Sessions, err = p.sessionItems(r.Context(), s); err != nil {
		return err
	}
	if view.Grants, err = p.grantItems(r.Context(), s.User); err != nil {
		return err
	}
	if view.Credentials, err = p.credentialItems(r.Context(), s.User); err != nil {
		return err
	}
	forgetCookie(w, r, returnCookie)
	return p.Pages.Write(w, r, http.StatusOK, view)
}

// somebody is who is signed in in this browser, and may be; nil: nobody.
func (p *Provider) somebody(r *http.Request) (store.Session, *identityv1.User, error) {
	s, err := p.session(r.Context(), r)
	if err != nil || s.ID == "" {
		return s, nil, err
	}
	user, err := p.People.User(r.Context(), s.User)
	if _, told := asAnswer(err); told {
		return store.Session{}, nil, nil
	}
	return s, user, err
}

func (p *Provider) sessionItems(ctx context.Context, own store.Session) ([]pages.Item, error) {
	rows, err := store.ListSessions(ctx, p.DB.Pool(), own.User, "", p.Clock(), accountItems)
	if err != nil {
		return nil, err
	}
	var out []pages.Item
	for _, row := range rows {
		if row.Live(p.Lives, p.Clock()) {
			out = append(out, pages.Item{ID: row.ID, Name: orDash(row.Device), Detail: row.IP, At: row.LastSeenAt, Current: row.ID == own.ID})
		}
	}
	return out, nil
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// grantItems are the applications that were given something, each once for what it was
// given.
func (p *Provider) grantItems(ctx context.Context, user string) ([]pages.Item, error) {
	rows, err := store.ListGrants(ctx, p.DB.Pool(), user, "", p.Clock(), accountItems)
	if err != nil {
		return nil, err
	}
	var out []pages.Item
	names := map[string]string{}
	for _, row := range rows {
		if _, known := names[row.Client]; !known {
			if names[row.Client], err = p.nameOf(ctx, row.Client); err != nil {
				return nil, err
			}
		}
		out = append(out, pages.Item{ID: row.ID, Name: names[row.Client], Detail: strings.Join(row.Scopes, " "), At: row.IssuedAt})
	}
	return out, nil
}

func (p *Provider) credentialItems(ctx context.Context, user string) ([]pages.Item, error) {
	held, err := p.People.Credentials.ListCredentials(ctx, &identityv1.ListCredentialsRequest{User: user})
	if err != nil {
		return nil, err
	}
	var out []pages.Item
	for _, c := range held.GetCredentials() {
		kind := strings.ToLower(strings.TrimPrefix(c.GetKind().String(), "CREDENTIAL_KIND_"))
		out = append(out, pages.Item{ID: c.GetId(), Name: c.GetName(), Kind: kind, At: c.GetCreatedAt().AsTime()})
	}
	return out, nil
}

// revokeItem ends one of a person's own: a session, what an application was given, or,
// soon after signing in, a credential. What is somebody else's is not found.
func (p *Provider) revokeItem(w http.ResponseWriter, r *http.Request, _ string) error {
	if err := ours(r); err != nil {
		return err
	}
	if _, err := form(r); err != nil {
		return fault.New(fault.Invalid, commonv1.Reason_INVALID_FIELD, "the form cannot be read")
	}
	s, user, err := p.somebody(r)
	if err != nil {
		return err
	}
	if user == nil {
		return redirect(w, "/sign-in")
	}
	switch item := r.PostForm.Get("id"); {
	case id.Valid(id.Session, item):
		err = p.endOwn(r.Context(), ending.Of{User: s.User, Session: item, Reason: eventv1.Revocation_REVOCATION_REVOKED})
	case id.Valid(id.Grant, item):
		err = p.endOwn(r.Context(), ending.Of{User: s.User, Grants: store.GrantsOf{ID: item}, Withdraw: true, Reason: eventv1.Revocation_REVOCATION_REVOKED})
	case id.Valid(id.Credential, item):
		return p.removeCredential(w, r, s, user, item)
	}
	if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return err
	}
	return redirect(w, "/account")
}

func (p *Provider) endOwn(ctx context.Context, of ending.Of) error {
	_, err := p.Ender.End(ctx, pagesCaller(of.User), of)
	return err
}

// removeCredential removes one of a person's own, and comes back to the account page.
func (p *Provider) removeCredential(w http.ResponseWriter, r *http.Request, s store.Session, user *identityv1.User, credential string) error {
	held, err := p.enrolled(r.Context(), user)
	if err != nil {
		return err
	}
	if step := enrolment.Remove(s.State, held, p.now()); step != enrolment.Allowed {
		return p.comeBack(w, "/account", step)
	}
	_, err = p.People.Credentials.DeleteCredential(r.Context(), &identityv1.DeleteCredentialRequest{
		User: s.User, Credential: credential, IdempotencyKey: rand.Text(),
	})
	if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return err
	}
	return redirect(w, "/account")
}
