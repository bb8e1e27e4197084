// Package ending ends sessions and grants: their rows, the events that say so, and whom
// of the clients is to be told, in one commit.
package ending

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// epoch is before all sessions.
var epoch = time.Unix(0, 0)

// atOnce is how many sessions are read at once.
const atOnce = 2 * session.Limit

// Of is what to end of a user.
type Of struct {
	User string
	// Session ends a session, and the grants that end with it; All ends all sessions and
	// all grants.
	Session string
	All     bool
	// Except ends all sessions but one, with the grants that end with them.
	Except string
	// Beyond ends all sessions but so many of the newest, with their grants; 0: none.
	Beyond int
	// Grants ends grants alone; the zero value: none.
	Grants store.GrantsOf
	// Withdraw: with them goes what the user agreed to for their clients and organizations.
	Withdraw bool
	Reason   eventv1.Revocation
}

// Ended says how much was ended.
type Ended struct {
	Sessions, Grants uint32
	Revision         revision.Revision
}

// Ender ends what it is told to, for reasons of its own.
type Ender struct{ Log *eventlog.Store }

// actor is who ends what nobody asked to be ended.
func actor() principal.Principal { return principal.Principal{Kind: principal.Service, ID: "sessions"} }

// End ends what nobody is told of, in a commit of its own.
//
// Errors: those of the database.
func (e *Ender) End(ctx context.Context, by principal.Principal, of Of) (Ended, error) {
	if by.Kind == 0 {
		by = actor()
	}
	var out Ended
	_, err := e.Log.Commit(ctx, eventlog.Request{Log: of.User}, func(ctx context.Context, tx pgx.Tx) (err error) {
		out, err = In(ctx, tx, e.Log, by, of)
		return err
	})
	return out, err
}

// In ends it in a transaction. Where there is nothing to end, nothing is recorded.
//
// Errors: NOT_FOUND for a user whom there is not.
func In(ctx context.Context, tx pgx.Tx, log *eventlog.Store, by principal.Principal, of Of) (Ended, error) {
	head, err := log.Lock(ctx, tx, of.User)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return Ended{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such user")
	}
	if err != nil {
		return Ended{}, err
	}
	out := Ended{Revision: revision.Revision{Log: of.User, Sequence: head.Sequence}}
	sessions, err := sessionsOf(ctx, tx, of)
	if err != nil {
		return out, err
	}
	var events []proto.Message
	for _, s := range sessions {
		events = append(events, session.Revoke{Reason: of.Reason}.Decide(s.State)...)
		if err := store.DeleteSession(ctx, tx, s.ID); err != nil {
			return out, err
		}
		if err := store.InsertLogouts(ctx, tx, of.User, s.ID, head.HomeRegion, log.Now()); err != nil {
			return out, err
		}
		out.Sessions++
	}
	grants, err := grantsOf(ctx, tx, of, sessions)
	if err != nil {
		return out, err
	}
	for _, g := range grants {
		g.Status = grant.Issued // as it was, or Redeemed: it was live
		ended, err := grant.Revoke{Reason: of.Reason}.Decide(g.State)
		if err != nil {
			return out, err
		}
		events = append(events, ended...)
		out.Grants++
		if of.Withdraw {
			withdrawn, err := store.DeleteConsent(ctx, tx, of.User, g.Client, g.Organization)
			if err != nil {
				return out, err
			}
			if withdrawn {
				events = append(events, &eventv1.ConsentWithdrawn{User: of.User, Client: g.Client, Organization: g.Organization})
			}
		}
	}
	if len(events) == 0 {
		return out, nil
	}
	out.Revision, err = commit.AppendAll(ctx, tx, log, head, by, events)
	return out, err
}

func sessionsOf(ctx context.Context, tx pgx.Tx, of Of) ([]store.Session, error) {
	if of.All || of.Beyond > 0 || of.Except != "" {
		sessions, err := all(ctx, tx, of.User)
		sessions = slices.DeleteFunc(sessions, func(s store.Session) bool { return s.ID == of.Except })
		return sessions[min(of.Beyond, len(sessions)):], err
	}
	if of.Session == "" {
		return nil, nil
	}
	s, err := store.FindSession(ctx, tx, of.Session)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) || err == nil && s.User != of.User {
		return nil, nil
	}
	return []store.Session{s}, err
}

// all are the sessions of a user, the newest first.
func all(ctx context.Context, tx pgx.Tx, user string) (sessions []store.Session, err error) {
	for before := ""; ; {
		some, err := store.ListSessions(ctx, tx, user, before, epoch, atOnce)
		sessions = append(sessions, some...)
		if err != nil || len(some) < atOnce {
			return sessions, err
		}
		before = some[len(some)-1].ID
	}
}

// grantsOf marks what is to end, and returns it in order.
func grantsOf(ctx context.Context, tx pgx.Tx, of Of, ended []store.Session) (grants []store.Grant, err error) {
	var which []store.GrantsOf
	switch {
	case of.All:
		which = []store.GrantsOf{{}}
	case of.Session != "":
		which = []store.GrantsOf{{Session: of.Session, Dependent: true}}
	case of.Beyond > 0 || of.Except != "":
		for _, s := range ended {
			which = append(which, store.GrantsOf{Session: s.ID, Dependent: true})
		}
	case of.Grants != (store.GrantsOf{}):
		which = []store.GrantsOf{of.Grants}
	}
	for _, w := range which {
		some, err := store.RevokeGrants(ctx, tx, of.User, w)
		if err != nil {
			return nil, err
		}
		grants = append(grants, some...)
	}
	slices.SortFunc(grants, func(a, b store.Grant) int { return strings.Compare(a.ID, b.ID) })
	return grants, nil
}
