package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// people are the groups and service accounts of a service, and organizations to
// put them into.
type people struct {
	*fixture

	groups   *rpc.Groups
	accounts *rpc.ServiceAccounts
	// ctx is an administrator's.
	ctx  context.Context
	keys atomic.Int64
}

func newPeople(t *testing.T) *people {
	t.Helper()
	return newPeopleOn(t, sqltest.New(t))
}

func newPeopleOn(t *testing.T, db *sqldb.DB) *people {
	t.Helper()
	f := newFixtureOn(t, db)
	clock := func() time.Time { return time.Unix(0, f.now.Load()).UTC() }
	return &people{
		fixture: f, ctx: admin(t),
		groups:   &rpc.Groups{DB: db, Log: f.log, Clock: clock},
		accounts: &rpc.ServiceAccounts{DB: db, Log: f.log, Clock: clock},
	}
}

// key is a new idempotency key.
func (p *people) key() string { return fmt.Sprint("key ", p.keys.Add(1)) }

// members makes users members of an organization, with their rows and events. The
// users themselves are not made: there are thousands.
func (p *people) members(t *testing.T, org string, n int) []string {
	t.Helper()
	users, events := make([]string, n), make([]proto.Message, n)
	for i := range users {
		users[i] = id.New(id.User)
		events[i] = &eventv1.MembershipCreated{
			Organization: org, User: users[i], Role: eventv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER, Source: eventv1.MembershipSource_MEMBERSHIP_SOURCE_API,
		}
	}
	_, err := p.log.Commit(t.Context(), eventlog.Request{Log: org}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO identity.memberships
			(organization_id, user_id, role, state, everywhere, source, source_ref, home_region, created_at)
			SELECT $1, u, 1, 1, false, 4, '', 'eu-west', now() FROM unnest($2::TEXT[]) AS u`, org, users)
		if err != nil {
			return err
		}
		caller, _ := principal.From(p.ctx)
		for chunk := range slices.Chunk(events, eventlog.MaxAppendEvents) {
			if _, err := p.log.Append(ctx, tx, eventlog.Append{Log: org, Expected: eventlog.AnyHead, Actor: caller.Actor(), Events: chunk}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return users
}

func (p *people) group(t *testing.T, org, name string) string {
	t.Helper()
	made, err := p.groups.CreateGroup(p.ctx, &identityv1.CreateGroupRequest{Organization: org, Name: name, IdempotencyKey: p.key()})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetGroup().GetId()
}

func (p *people) account(t *testing.T, org, name string) string {
	t.Helper()
	made, err := p.accounts.CreateServiceAccount(p.ctx, &identityv1.CreateServiceAccountRequest{
		Organization: org, Name: name, IdempotencyKey: p.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetServiceAccount().GetId()
}

// change changes the members of a group.
func (p *people) change(org, group string, add, remove []string) (*identityv1.ChangeGroupMembersResponse, error) {
	return p.groups.ChangeGroupMembers(p.ctx, &identityv1.ChangeGroupMembersRequest{
		Organization: org, Group: group, Add: add, Remove: remove, IdempotencyKey: p.key(),
	})
}

func (p *people) mustChange(t *testing.T, org, group string, add, remove []string) {
	t.Helper()
	if _, err := p.change(org, group, add, remove); err != nil {
		t.Fatal(err)
	}
}

// membersOf lists a group's members, a page at a time.
func (p *people) membersOf(t *testing.T, org, group string, size uint32) (out []string, pages int) {
	t.Helper()
	for cursor := ""; ; {
		answer, err := p.groups.ListGroupMembers(p.ctx, &identityv1.ListGroupMembersRequest{
			Organization: org, Group: group, PageSize: size, Cursor: cursor,
		})
		if err != nil {
			t.Fatal(err)
		}
		out, pages = append(out, answer.GetMembers()...), pages+1
		if cursor = answer.GetNextCursor(); cursor == "" {
			return out, pages
		}
	}
}

// events are those of an organization's log after a sequence.
func (p *people) events(t *testing.T, org string, after uint64) (out []proto.Message) {
	t.Helper()
	for {
		read, err := p.log.Read(t.Context(), p.db.Pool(), org, after+1, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(read) == 0 {
			return out
		}
		for _, r := range read {
			event, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, event)
		}
		after += uint64(len(read))
	}
}

func (p *people) head(t *testing.T, org string) uint64 {
	t.Helper()
	head, err := p.log.Head(t.Context(), p.db.Pool(), org)
	if err != nil {
		t.Fatal(err)
	}
	return head.Sequence
}

// fill says that an organization has a number of things of a kind.
func (p *people) fill(t *testing.T, org, kind string, number int) {
	t.Helper()
	_, err := p.db.Pool().Exec(t.Context(),
		`INSERT INTO identity.counts (organization_id, kind, number, home_region) VALUES ($1, $2, $3, 'eu-west')
		 ON CONFLICT (organization_id, kind) DO UPDATE SET number = $3`, org, kind, number)
	if err != nil {
		t.Fatal(err)
	}
}

// wantFault checks the reason and the field of a refusal.
func wantFault(t *testing.T, err error, reason commonv1.Reason, field string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Reason != reason || f.Meta["field"] != field {
		t.Errorf("%v; want %v of field %q", err, reason, field)
	}
}

// revoker revokes tokens that it was told of.
func revoker(tokens ...string) func(context.Context, pgx.Tx, string, string, time.Time) ([]proto.Message, error) {
	return func(context.Context, pgx.Tx, string, string, time.Time) (events []proto.Message, err error) {
		for _, token := range tokens {
			events = append(events, &eventv1.ApiTokenRevoked{Token: token})
		}
		return events, nil
	}
}

// another is the same service in another process.
func (p *people) another(t *testing.T) *people {
	t.Helper()
	log := eventlog.New(eventlog.Config{DB: p.db, Region: "us-east", Clock: p.groups.Clock})
	other := &people{fixture: p.fixture, ctx: admin(t)}
	other.groups = &rpc.Groups{DB: p.db, Log: log, Clock: p.groups.Clock}
	other.accounts = &rpc.ServiceAccounts{DB: p.db, Log: log, Clock: p.groups.Clock}
	return other
}

func token(t *testing.T, log string, sequence uint64) string {
	t.Helper()
	text, err := revision.Token(revision.Revision{Log: log, Sequence: sequence})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
