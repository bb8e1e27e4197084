package rpc_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (f *fixture) erase(ctx context.Context, user string, force bool) (*identityv1.EraseUserResponse, error) {
	return f.users.EraseUser(ctx, &identityv1.EraseUserRequest{User: user, Force: force, IdempotencyKey: key()})
}

// nowhere fails the test when a row of any table has a text, plain or as bytes.
func (f *fixture) nowhere(t *testing.T, texts ...string) {
	t.Helper()
	rows, err := f.db.Pool().Query(t.Context(), `SELECT table_schema, table_name FROM information_schema.tables
		WHERE table_schema IN ('log', 'identity', 'authz') AND table_type = 'BASE TABLE'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var schema, name string
		err := row.Scan(&schema, &name)
		return pgx.Identifier{schema, name}.Sanitize(), err
	})
	if err != nil || len(tables) < 10 {
		t.Fatalf("tables: %v, %v", tables, err)
	}
	for _, table := range tables {
		rows, err := f.db.Pool().Query(t.Context(), `SELECT lower(t::TEXT) FROM `+table+` AS t`)
		if err != nil {
			t.Fatal(err)
		}
		contents, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			for _, form := range []string{strings.ToLower(text), hex.EncodeToString([]byte(text)), hex.EncodeToString([]byte(strings.ToLower(text)))} {
				if strings.Contains(strings.Join(contents, "\n"), form) {
					t.Errorf("%s has %q", table, text)
				}
			}
		}
	}
}

func TestEraseUser(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "canarymail@example.com", "Canaryname Lovelace")
	bob := f.user(t, ctx, "bob@example.com", "Bob")
	var orgs []string
	for i := range 5 {
		orgs = append(orgs, f.organization(t, ctx, fmt.Sprint("org-", i)))
		f.member(t, ctx, orgs[i], ada, administrator)
		f.member(t, ctx, orgs[i], bob, administrator)
	}
	newName := "Canaryname King"
	if _, err := f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: ada, Name: &newName, IdempotencyKey: key()}); err != nil {
		t.Fatal(err)
	}
	erased, err := f.erase(ctx, ada, false)
	if err != nil {
		t.Fatal(err)
	}
	f.nowhere(t, "canarymail", "canaryname")
	proof := erased.GetProof()
	head, err := f.log.Head(ctx, f.db.Pool(), ada)
	if err != nil || proof.GetUser() != ada || proof.GetSequence() != head.Sequence || string(proof.GetHash()) != string(head.Hash[:]) ||
		!proof.GetErasedAt().AsTime().Equal(head.Time) || len(proof.GetKeyDigest()) != 32 {
		t.Errorf("proof %v; head %+v, %v", proof, head, err)
	}
	events, err := f.log.Read(ctx, f.db.Pool(), ada, head.Sequence, 1)
	if err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	if last, err := events[0].Message(); err != nil || !proto.Equal(last, &eventv1.UserErased{User: ada, KeyDigest: proof.GetKeyDigest()}) {
		t.Errorf("the last event is %v, %v", last, err)
	}
	for _, org := range orgs {
		parsed, err := revision.Parse(erased.GetOrganizationRevisions()[org])
		if err != nil || len(parsed) != 1 || parsed[0].Log != org {
			t.Errorf("revision of %s: %v, %v", org, parsed, err)
		}
		f.verify(t, org)
	}
	again, err := f.erase(ctx, ada, false)
	if err != nil || !proto.Equal(again.GetProof(), proof) {
		t.Errorf("erased again: %v, %v; want %v", again, err, proof)
	}
	got, err := f.users.GetUser(ctx, &identityv1.GetUserRequest{User: ada})
	want := &identityv1.User{Id: ada, State: identityv1.UserState_USER_STATE_ERASED, HomeRegion: "eu-west", CreatedAt: got.GetUser().GetCreatedAt()}
	if err != nil || !proto.Equal(got.GetUser(), want) {
		t.Errorf("GetUser = %v, %v; want %v", got, err, want)
	}
	if users := f.listUsers(t, ctx, &identityv1.ListUsersRequest{}); fmt.Sprint(ids(users)) != fmt.Sprint([]string{bob}) {
		t.Errorf("all but the erased: %v", users)
	}
	if users := f.listUsers(t, ctx, &identityv1.ListUsersRequest{State: identityv1.UserState_USER_STATE_ERASED}); fmt.Sprint(ids(users)) != fmt.Sprint([]string{ada}) {
		t.Errorf("the erased: %v", users)
	}
	f.user(t, ctx, "canarymail@example.com", "Another") // the address is free
	f.verify(t, ada)
	f.verify(t, bob)
}

func TestErasedUsersRefuse(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada, org, name := f.user(t, ctx, "ada@example.com", "Ada"), f.organization(t, ctx, "acme"), "Eve"
	if _, err := f.erase(ctx, ada, false); err != nil {
		t.Fatal(err)
	}
	for call, err := range map[string]error{
		"update":  second(f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: ada, Name: &name, IdempotencyKey: key()})),
		"email":   second(f.users.ChangeEmail(ctx, &identityv1.ChangeEmailRequest{User: ada, Email: "eve@example.com", IdempotencyKey: key()})),
		"suspend": second(f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()})),
		"resume":  second(f.users.ResumeUser(ctx, &identityv1.ResumeUserRequest{User: ada, IdempotencyKey: key()})),
		"export":  second(f.users.ExportUser(ctx, &identityv1.ExportUserRequest{User: ada})),
		"add":     second(f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})),
	} {
		if !fault.Is(err, commonv1.Reason_USER_ERASED) {
			t.Errorf("%s: %v, want USER_ERASED", call, err)
		}
	}
	absent := id.New(id.User)
	for call, err := range map[string]error{
		"erase":  second(f.erase(ctx, absent, true)),
		"export": second(f.users.ExportUser(ctx, &identityv1.ExportUserRequest{User: absent})),
		"list":   second(f.users.ListUserMemberships(ctx, &identityv1.ListUserMembershipsRequest{User: absent})),
	} {
		if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			t.Errorf("%s of nobody: %v", call, err)
		}
	}
	f.verify(t, ada)
	f.verify(t, org)
}

func second[T any](_ T, err error) error { return err }

// A repeated call has no personal data of its own to give: an erasure reaches it.
func TestRepeatedCallsForget(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	request := &identityv1.CreateUserRequest{Email: "ada@example.com", Name: "Ada", IdempotencyKey: "1"}
	made, err := f.users.CreateUser(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	ada, org := made.GetUser().GetId(), f.organization(t, ctx, "acme")
	add := &identityv1.AddMemberRequest{Organization: org, User: ada, IdempotencyKey: "2"}
	if added, err := f.memberships.AddMember(ctx, add); err != nil || added.GetMembership().GetName() != "Ada" {
		t.Fatal(added, err)
	}
	if _, err := f.erase(ctx, ada, false); err != nil {
		t.Fatal(err)
	}
	again, err := f.users.CreateUser(ctx, request)
	if u := again.GetUser(); err != nil || u.GetId() != ada || u.GetEmail() != "" || u.GetState() != identityv1.UserState_USER_STATE_ERASED ||
		again.GetRevision() != made.GetRevision() {
		t.Errorf("repeated creation: %v, %v", again, err)
	}
	added, err := f.memberships.AddMember(ctx, add)
	if m := added.GetMembership(); err != nil || m.GetUser() != ada || m.GetEmail() != "" || m.GetName() != "" {
		t.Errorf("repeated addition: %v, %v", added, err)
	}
}

func TestEraseLastAdministrator(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada, bob := f.user(t, ctx, "ada@example.com", "Ada"), f.user(t, ctx, "bob@example.com", "Bob")
	first, last := f.organization(t, ctx, "first"), f.organization(t, ctx, "last")
	f.member(t, ctx, first, ada, administrator)
	f.member(t, ctx, first, bob, administrator)
	f.member(t, ctx, last, ada, administrator)
	f.member(t, ctx, last, bob, plain)
	_, err := f.erase(ctx, ada, false)
	if got, _ := fault.As(err); !fault.Is(err, commonv1.Reason_LAST_ADMINISTRATOR) || got.Meta["organization"] != last {
		t.Fatalf("the last administrator: %v", err)
	}
	if m := f.get(t, ctx, first, ada); m.GetName() != "Ada" {
		t.Errorf("the refused erasure left %v", m)
	}
	f.verify(t, ada)
	if _, err := f.erase(ctx, ada, true); err != nil {
		t.Fatalf("forced: %v", err)
	}
	for _, log := range []string{ada, bob, first, last} {
		f.verify(t, log)
	}
}

// Organizations add a user while the user is erased: at the end no membership is
// left, and no word of the name.
func TestErasureRacesWithMemberships(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "ada@example.com", "Canaryname")
	var orgs []string
	for i := range 4 {
		orgs = append(orgs, f.organization(t, ctx, fmt.Sprint("org-", i)))
	}
	var wait sync.WaitGroup
	for _, org := range orgs {
		wait.Go(func() {
			for range 4 {
				_, err := f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})
				if err != nil && !fault.Is(err, commonv1.Reason_USER_ERASED) {
					t.Error(err)
				}
				_, err = f.memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})
				if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
					t.Error(err)
				}
			}
		})
	}
	wait.Go(func() {
		name := "Canaryname Too"
		_, err := f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: ada, Name: &name, IdempotencyKey: key()})
		if err != nil && !fault.Is(err, commonv1.Reason_USER_ERASED) {
			t.Error(err)
		}
		if _, err := f.erase(ctx, ada, false); err != nil {
			t.Error(err)
		}
	})
	wait.Wait()
	f.nowhere(t, "canaryname")
	for _, log := range append(orgs, ada) {
		f.verify(t, log)
	}
}

// An erasure from another region needs no key; there the log verifies as here.
func TestEraseFromAbroad(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	abroad := f.abroad(t)
	ada := f.user(t, ctx, "ada@example.com", "Ada")
	if _, err := abroad.users.ExportUser(ctx, &identityv1.ExportUserRequest{User: ada}); !fault.Is(err, commonv1.Reason_KEY_ELSEWHERE) {
		t.Errorf("exported from abroad: %v", err)
	}
	if erased, err := abroad.erase(ctx, ada, false); err != nil || len(erased.GetProof().GetKeyDigest()) != 32 {
		t.Fatalf("erased from abroad: %v, %v", erased, err)
	}
	f.verify(t, ada)
	abroad.verify(t, ada)
}

func TestExportUser(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada, org := f.user(t, ctx, "ada@example.com", "Ada"), f.organization(t, ctx, "acme")
	f.member(t, ctx, org, ada, administrator)
	if _, err := f.users.ChangeEmail(ctx, &identityv1.ChangeEmailRequest{User: ada, Email: "ada@example.org", IdempotencyKey: key()}); err != nil {
		t.Fatal(err)
	}
	out, err := f.users.ExportUser(ctx, &identityv1.ExportUserRequest{User: ada})
	if err != nil {
		t.Fatal(err)
	}
	want := &identityv1.UserMembership{Organization: org, Slug: "acme", Name: "acme", Role: "admin", State: "active"}
	if out.GetUser().GetEmail() != "ada@example.org" || len(out.GetMemberships()) != 1 || !proto.Equal(out.GetMemberships()[0], want) || out.GetTruncated() {
		t.Errorf("exported %v", out)
	}
	var events []map[string]any
	for _, text := range out.GetEvents() {
		var event map[string]any
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
	if len(events) != 2 || events[0]["sequence"] != 1.0 || events[1]["type"] != "meridian.identity.event.v1.UserEmailChanged" ||
		fmt.Sprint(events[0]["data"].(map[string]any)["email"], events[1]["data"].(map[string]any)["email"]) != "ada@example.comada@example.org" {
		t.Errorf("events %v", events)
	}
}

// An export has the newest events of a long log.
func TestExportIsBounded(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "ada@example.com", "Ada")
	const events = 1_200
	err := f.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for range events / 200 {
			changes := make([]proto.Message, 200)
			for i := range changes {
				changes[i] = &eventv1.UserProfileChanged{User: ada, Name: "Ada", Locale: "en"}
			}
			if err := f.appendTo(ctx, tx, ada, changes...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.users.ExportUser(ctx, &identityv1.ExportUserRequest{User: ada})
	if err != nil || len(out.GetEvents()) != 1_000 || !out.GetTruncated() {
		t.Fatalf("%d events, truncated %t, %v", len(out.GetEvents()), out.GetTruncated(), err)
	}
	if last := out.GetEvents()[999]; !strings.Contains(last, fmt.Sprintf(`"sequence":%d`, events+1)) {
		t.Errorf("the last event is %s", last)
	}
}
