package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/link"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// errOvertaken is what a write finds that looked for a link or an address in vain:
// somebody else made it meanwhile.
var errOvertaken = errors.New("overtaken")

// overtaken marks the errors of unique indexes.
func overtaken(err error) error {
	if fault.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		return fmt.Errorf("%w: %w", errOvertaken, err)
	}
	return err
}

// arrival is the transaction that imports one user.
type arrival struct {
	*Migration

	tx     pgx.Tx
	caller principal.Principal
	n      *newcomer
	at     time.Time
	// heads are of the logs that are locked.
	heads map[string]eventlog.Head
	// person is the user, as the rows have it; events are for the user's log.
	person store.User
	events []proto.Message
}

// commit runs work in a transaction in which the logs of the newcomer's organizations
// and more are locked.
//
// Errors: NOT_FOUND (field memberships[i].organization), those of work.
func (s *Migration) commit(
	ctx context.Context, caller principal.Principal, n *newcomer, more []string, work func(ctx context.Context, a *arrival) error,
) error {
	_, err := s.Log.Commit(ctx, eventlog.Request{Log: n.lane()}, func(ctx context.Context, tx pgx.Tx) error {
		n.revisions = nil
		a := &arrival{
			Migration: s, tx: tx, caller: caller, n: n, at: s.Clock().UTC().Truncate(time.Microsecond), heads: map[string]eventlog.Head{},
		}
		if err := a.lock(ctx, append(n.organizations(), more...)); err != nil {
			return err
		}
		return work(ctx, a)
	})
	if err != nil {
		n.revisions = nil
	}
	return err
}

func (a *arrival) lock(ctx context.Context, logs []string) error {
	if len(logs) == 0 {
		return nil
	}
	heads, err := a.Log.LockAll(ctx, a.tx, logs...)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		f, _ := fault.As(err)
		for _, m := range a.n.memberships {
			if m.organization == f.Meta["log"] {
				return m.at(principal.OrganizationNotFound())
			}
		}
		return user.NotFound()
	}
	for _, h := range heads {
		a.heads[h.Log] = h
	}
	return err
}

// create makes a user, with link, password and memberships.
//
// Errors: errOvertaken, INVALID_FIELD, and those of memberships. None writes anything.
func (s *Migration) create(ctx context.Context, caller principal.Principal, n *newcomer) error {
	n.user = n.id
	return s.commit(ctx, caller, n, nil, func(ctx context.Context, a *arrival) error {
		a.person = store.User{CreatedAt: a.at}
		events, err := user.Create{
			ID: n.id, HomeRegion: s.Region, Regions: s.Regions, Email: n.email, EmailVerified: n.verified,
			Name: n.name, Locale: n.locale, Source: "migration",
		}.Decide(a.person.State)
		if err != nil {
			return err
		}
		for _, e := range events {
			a.person.Apply(e)
		}
		a.events, a.person.Memberships = events, len(n.memberships)
		if err := store.InsertUser(ctx, a.tx, a.person, n.emailIndex); err != nil {
			return overtaken(err)
		}
		if err := a.join(ctx, nil, link.Join{}, n.hash != ""); err != nil {
			return err
		}
		if n.hash != "" {
			if err := a.setPassword(ctx, nil); err != nil {
				return err
			}
		}
		joined, err := a.enroll(ctx, n.memberships, 0)
		if err != nil {
			return err
		}
		return a.appendAll(ctx, append(joined, record{log: n.id, events: a.events}))
	})
}

// adopt links the user who was found, gives the user the password when there is none,
// and the memberships that are missing.
//
// Errors: errOvertaken, those of link.Join, and of memberships. None writes anything.
func (s *Migration) adopt(ctx context.Context, caller principal.Principal, n *newcomer) error {
	n.user, n.adopted = n.found, n.found
	return s.commit(ctx, caller, n, []string{n.found}, func(ctx context.Context, a *arrival) (err error) {
		if a.person, err = store.FindUser(ctx, a.tx, n.found); err != nil {
			return err
		}
		if !a.person.Has(n.email) { // the address changed hands meanwhile
			return errOvertaken
		}
		if err := a.accept(ctx); err != nil {
			return err
		}
		missing, err := a.missing(ctx)
		if err != nil {
			return err
		}
		joined, err := a.enroll(ctx, missing, a.person.Memberships)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			if _, err := store.CountMembership(ctx, a.tx, n.found, len(missing)); err != nil {
				return err
			}
		}
		return a.appendAll(ctx, append(joined, record{log: n.found, events: a.events}))
	})
}

// accept links the user who was found, and gives the user the password when there is
// none.
func (a *arrival) accept(ctx context.Context) error {
	links, err := store.ListLinks(ctx, a.tx, a.person.ID)
	if err != nil {
		return err
	}
	rows, err := store.ListCredentials(ctx, a.tx, a.person.ID)
	if err != nil {
		return err
	}
	credentials := store.CredentialSet(rows)
	_, has := credentials.Single(credential.Password)
	take := !has && a.n.hash != ""
	command := link.Join{Found: true, Claimed: a.n.verified, Proven: a.person.EmailVerified}
	if err := a.join(ctx, links, command, has || take); err != nil || !take {
		return err
	}
	if err := store.MarkMigrated(ctx, a.tx, a.person.ID, a.at); err != nil {
		return err
	}
	return a.setPassword(ctx, credentials)
}

// join writes the link beside those that the user has.
func (a *arrival) join(ctx context.Context, links []store.Link, command link.Join, migrated bool) error {
	var s link.State
	for _, l := range links {
		s.Links = append(s.Links, l.Link)
	}
	command.User, command.Source, command.ExternalID = a.person.ID, a.n.source, a.n.externalID
	events, err := command.Decide(s)
	if err != nil {
		return err
	}
	a.events = append(a.events, events...)
	row := store.Link{
		Link:  link.Link{Source: a.n.source, ExternalID: a.n.externalID},
		Blind: a.n.external, User: a.person.ID, Nth: len(links) + 1, HomeRegion: a.person.HomeRegion, CreatedAt: a.at,
	}
	if migrated {
		row.MigratedAt = &a.at
	}
	return overtaken(store.InsertLink(ctx, a.tx, row))
}

// setPassword keeps the hash that came along, for a user who has none.
func (a *arrival) setPassword(ctx context.Context, credentials credential.Set) error {
	command := credential.SetPassword{
		User: a.person.ID, ID: id.New(id.Credential), Algorithm: algorithm(a.n.hash), Origin: "import",
	}
	events, err := command.Decide(credentials)
	if err != nil {
		return err
	}
	a.events = append(a.events, events...)
	return store.InsertCredential(ctx, a.tx, store.Credential{
		State: credential.State{ID: command.ID, Kind: credential.Password},
		User:  a.person.ID, HomeRegion: a.person.HomeRegion, CreatedAt: a.at, Hash: a.n.hash,
	})
}

// missing are the newcomer's memberships that the user has not.
func (a *arrival) missing(ctx context.Context) (out []belonging, err error) {
	for _, m := range a.n.memberships {
		switch _, err := store.FindMembership(ctx, a.tx, m.organization, a.person.ID); {
		case fault.Is(err, commonv1.Reason_NOT_FOUND):
			out = append(out, m)
		case err != nil:
			return nil, err
		}
	}
	return out, nil
}

// record is events for a log.
type record struct {
	log    string
	events []proto.Message
}

// enroll makes the user a member of organizations, whose logs are locked, and returns
// what is to be recorded in them. others is in how many the user is.
//
// Errors: NOT_FOUND, ORGANIZATION_STATE, LIMIT_REACHED, INVALID_FIELD (realm).
func (a *arrival) enroll(ctx context.Context, memberships []belonging, others int) (joined []record, err error) {
	for i, m := range memberships {
		organization, err := store.FindOrganization(ctx, a.tx, m.organization)
		if err == nil {
			err = organization.Open()
		}
		if err != nil {
			return nil, m.at(err)
		}
		row := store.Membership{HomeRegion: a.heads[m.organization].HomeRegion, CreatedAt: a.at}
		events, err := membership.Add{
			Organization: m.organization, Realm: realmOf(organization), User: a.person.ID, Role: m.role,
			Source: eventv1.MembershipSource_MEMBERSHIP_SOURCE_MIGRATION, SourceRef: a.n.source,
			Person: a.person.State, Others: others + i,
		}.Decide(row.State)
		if err != nil {
			return nil, m.at(err)
		}
		for _, e := range events {
			row.Apply(e)
		}
		if err := store.InsertMembership(ctx, a.tx, row, a.person); err != nil {
			return nil, m.at(err)
		}
		joined = append(joined, record{m.organization, events})
	}
	return joined, nil
}

func (a *arrival) appendAll(ctx context.Context, records []record) error {
	for _, r := range records {
		if err := a.append(ctx, r.log, r.events); err != nil {
			return err
		}
	}
	return nil
}

// append appends to a log that is locked, or that is the new user's.
func (a *arrival) append(ctx context.Context, log string, events []proto.Message) error {
	rev, err := a.Log.Append(ctx, a.tx, eventlog.Append{
		Log: log, Expected: a.heads[log].Sequence, HomeRegion: a.person.HomeRegion, Actor: a.caller.Actor(), Events: events,
	})
	a.n.revisions = append(a.n.revisions, rev)
	return err
}
