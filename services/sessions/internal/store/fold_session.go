package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
)

// sessionFold rebuilds a user's sessions. What has expired may have been swept, and is
// not compared.
type sessionFold struct {
	user     string
	sessions map[string]*session.State
}

func newSessionFold(user string) *sessionFold {
	return &sessionFold{user: user, sessions: map[string]*session.State{}}
}

func (f *sessionFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.SessionStarted:
		s := &session.State{}
		s.Apply(e)
		f.sessions[s.ID] = s
	case *eventv1.SessionStrengthened:
		if s := f.sessions[e.GetSession()]; s != nil {
			s.Apply(e)
		}
	case *eventv1.SessionRevoked:
		delete(f.sessions, e.GetSession())
	default:
		return false
	}
	return true
}

func (f *sessionFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	want := map[string]string{}
	for id, s := range f.sessions {
		want[id] = describeSession(s.ID, s.ACR, words(s.AMR), s.AuthenticatedAt, s.ExpiresAt)
	}
	return compareLive(ctx, q, "session", want,
		`SELECT session_id, acr, amr, authenticated_at, expires_at, now() FROM sessions.sessions WHERE user_id = $1`, f.user,
		func(id string) time.Time { return f.sessions[id].ExpiresAt },
		func(row pgx.CollectableRow) (id, text string, expires, now time.Time, err error) {
			var acr, amr string
			var at time.Time
			err = row.Scan(&id, &acr, &amr, &at, &expires, &now)
			return id, describeSession(id, acr, amr, at, expires), expires, now, err
		})
}

func describeSession(id, acr, amr string, at, expires time.Time) string {
	return fmt.Sprint(id, acr, amr, at.UTC(), expires.UTC())
}

// compareLive says how rows differ from what was folded, leaving out what has expired on
// either side.
func compareLive(
	ctx context.Context, q sqldb.Querier, what string, want map[string]string, query, owner string, expiry func(id string) time.Time,
	scan func(pgx.CollectableRow) (id, text string, expires, now time.Time, err error),
) (string, error) {
	rows, err := q.Query(ctx, query, owner)
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	have, now := map[string]string{}, time.Time{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		id, text, expires, at, err := scan(row)
		if now = at; expires.After(at) {
			have[id] = text
		}
		return struct{}{}, err
	})
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	if now.IsZero() {
		if err := q.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
			return "", sqldb.Unavailable(err)
		}
	}
	for id := range want {
		if !expiry(id).After(now) {
			delete(want, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if have[id] != want[id] {
			return fmt.Sprintf("%s %s: the row says %q, the log %q", what, id, have[id], want[id]), nil
		}
	}
	for _, id := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[id]; !ok {
			return fmt.Sprintf("%s %s: the log does not know it", what, id), nil
		}
	}
	return "", nil
}

// grantFold rebuilds what clients were given by a user, as far as events tell it.
type grantFold struct {
	user   string
	grants map[string]*eventv1.GrantGiven
	ended  map[string]bool
}

func newGrantFold(user string) *grantFold {
	return &grantFold{user: user, grants: map[string]*eventv1.GrantGiven{}, ended: map[string]bool{}}
}

func (f *grantFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.GrantGiven:
		f.grants[e.GetGrant()] = e
	case *eventv1.GrantRevoked:
		f.ended[e.GetGrant()] = true
	default:
		return false
	}
	return true
}

func (f *grantFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	want := map[string]string{}
	for id, e := range f.grants {
		want[id] = describeGrant(e.GetSession(), e.GetClient(), e.GetOrganization(), words(e.GetScopes()), words(e.GetResources()), f.ended[id], e.GetExpiresAt().AsTime())
	}
	return compareLive(ctx, q, "grant", want,
		`SELECT grant_id, session_id, client_id, organization_id, scopes, resources, status = 3, expires_at, now() FROM sessions.grants WHERE user_id = $1`, f.user,
		func(id string) time.Time { return f.grants[id].GetExpiresAt().AsTime() },
		func(row pgx.CollectableRow) (id, text string, expires, now time.Time, err error) {
			var session, client, organization, scopes, resources string
			var ended bool
			err = row.Scan(&id, &session, &client, &organization, &scopes, &resources, &ended, &expires, &now)
			return id, describeGrant(session, client, organization, scopes, resources, ended, expires), expires, now, err
		})
}

func describeGrant(session, client, organization, scopes, resources string, ended bool, expires time.Time) string {
	return fmt.Sprintf("%s %s %s %q %q %v %v", session, client, organization, scopes, resources, ended, expires.UTC())
}

// consentFold rebuilds what a user agreed to.
type consentFold struct {
	user   string
	agreed map[[2]string]string // scopes and resources, by client and organization
}

func newConsentFold(user string) *consentFold {
	return &consentFold{user: user, agreed: map[[2]string]string{}}
}

func (f *consentFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.ConsentGiven:
		f.agreed[[2]string{e.GetClient(), e.GetOrganization()}] = describeConsent(words(e.GetScopes()), words(e.GetResources()))
	case *eventv1.ConsentWithdrawn:
		delete(f.agreed, [2]string{e.GetClient(), e.GetOrganization()})
	default:
		return false
	}
	return true
}

func (f *consentFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := q.Query(ctx, `SELECT client_id, organization_id, scopes, resources FROM sessions.consents WHERE user_id = $1`, f.user)
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	have := map[[2]string]string{}
	var client, organization, scopes, resources string
	_, err = pgx.ForEachRow(rows, []any{&client, &organization, &scopes, &resources}, func() error {
		have[[2]string{client, organization}] = describeConsent(scopes, resources)
		return nil
	})
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	if maps.Equal(have, f.agreed) {
		return "", nil
	}
	return strings.TrimSpace(fmt.Sprintf("consents: the rows say %v, the log %v", have, f.agreed)), nil
}

func describeConsent(scopes, resources string) string { return fmt.Sprintf("%q %q", scopes, resources) }
