package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// foreignHash is a hash that was made elsewhere.
const foreignHash = "$2b$04$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK"

const (
	created   = identityv1.ImportOutcome_IMPORT_OUTCOME_CREATED
	linked    = identityv1.ImportOutcome_IMPORT_OUTCOME_LINKED
	unchanged = identityv1.ImportOutcome_IMPORT_OUTCOME_UNCHANGED
	declined  = identityv1.ImportOutcome_IMPORT_OUTCOME_REFUSED
)

// migration is the service that imports.
func (f *fixture) migration(t testing.TB) *rpc.Migration {
	t.Helper()
	hasher, err := password.New(password.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &rpc.Migration{
		DB: f.db, Log: f.log, Region: f.users.Region, Regions: f.users.Regions, PlatformRegion: "eu-west",
		Blind: f.blind, Passwords: hasher, Clock: f.users.Clock,
	}
}

func person(externalID, email string, organizations ...string) *identityv1.ImportedUser {
	u := &identityv1.ImportedUser{ExternalId: externalID, Email: email, EmailVerified: true, Name: "Person " + externalID, Locale: "de-AT"}
	for _, o := range organizations {
		u.Memberships = append(u.Memberships, &identityv1.ImportedMembership{Organization: o})
	}
	return u
}

// bring imports users from a source, and returns the results.
func bring(t *testing.T, ctx context.Context, m *rpc.Migration, users ...*identityv1.ImportedUser) []*identityv1.ImportResult {
	t.Helper()
	answer, err := m.ImportUsers(ctx, &identityv1.ImportUsersRequest{Source: "console", Users: users, IdempotencyKey: key()})
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.GetResults()) != len(users) {
		t.Fatalf("%d results for %d users", len(answer.GetResults()), len(users))
	}
	return answer.GetResults()
}

func becameOf(results []*identityv1.ImportResult) (out []identityv1.ImportOutcome) {
	for _, r := range results {
		out = append(out, r.GetOutcome())
	}
	return out
}

// verifyAll replays every log.
func (f *fixture) verifyAll(t *testing.T) (logs int) {
	t.Helper()
	heads, err := f.log.Heads(t.Context(), f.db.Pool(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range heads {
		f.verify(t, h.Log)
	}
	return len(heads)
}

func TestImportUsers(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	acme, globex := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex")
	ada, bob := person("4711", "Ada@Example.com", globex, acme), person("bob@example.com", "bob@example.com")
	ada.Memberships[1].Role = identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN
	ada.PasswordHash = foreignHash
	request := &identityv1.ImportUsersRequest{Source: "console", Users: []*identityv1.ImportedUser{ada, bob}, IdempotencyKey: key()}
	answer, err := m.ImportUsers(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	results := answer.GetResults()
	if got := becameOf(results); !slices.Equal(got, []identityv1.ImportOutcome{created, created}) {
		t.Fatalf("%v", results)
	}
	named, err := revision.Parse(answer.GetRevision())
	if err != nil || len(named) != 4 {
		t.Errorf("the revision names %v, %v; want two users and two organizations", named, err)
	}

	first, err := f.users.FindUser(ctx, &identityv1.FindUserRequest{Email: "ada@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	u := first.GetUser()
	if u.GetId() != results[0].GetUser() || u.GetEmail() != "Ada@Example.com" || !u.GetEmailVerified() || u.GetName() != "Person 4711" || u.GetLocale() != "de-AT" {
		t.Errorf("user %v", u)
	}
	for organization, role := range map[string]eventv1.MembershipRole{acme: membership.Admin, globex: membership.Member} {
		row, err := store.FindMembership(ctx, f.db.Pool(), organization, u.GetId())
		if err != nil || row.Role != role || row.Source != eventv1.MembershipSource_MEMBERSHIP_SOURCE_MIGRATION ||
			row.SourceRef != "console" || row.Status != membership.Active || row.HomeRegion != "eu-west" {
			t.Errorf("membership %+v, %v", row, err)
		}
	}
	if rows := f.passwords(t, u.GetId()); len(rows) != 1 || rows[0].Hash != foreignHash {
		t.Errorf("passwords %+v", rows)
	}
	if rows := f.passwords(t, results[1].GetUser()); len(rows) != 0 {
		t.Errorf("passwords of a user who came without: %+v", rows)
	}
	f.wantSource(t, ctx, m, &identityv1.Source{Name: "console", Users: 2, Migrated: 1})
	logs := f.verifyAll(t)

	again, err := m.ImportUsers(ctx, &identityv1.ImportUsersRequest{Source: "console", Users: request.GetUsers(), IdempotencyKey: key()})
	if err != nil || !slices.Equal(becameOf(again.GetResults()), []identityv1.ImportOutcome{unchanged, unchanged}) || again.GetRevision() != "" ||
		again.GetResults()[0].GetUser() != u.GetId() {
		t.Errorf("repeated: %v, %v", again, err)
	}
	if now := f.verifyAll(t); now != logs {
		t.Errorf("%d logs, and after a repetition %d", logs, now)
	}
}

func (f *fixture) passwords(t *testing.T, user string) (out []store.Credential) {
	t.Helper()
	rows, err := store.ListCredentials(t.Context(), f.db.Pool(), user)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.Kind == credential.Password {
			out = append(out, row)
		}
	}
	return out
}

func TestImportRefusesOneUser(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	acme, closed := f.organization(t, ctx, "acme"), f.organization(t, ctx, "closed")
	if _, err := f.organizations.SuspendOrganization(ctx, &identityv1.SuspendOrganizationRequest{
		Organization: closed, Reason: "unpaid", IdempotencyKey: key(),
	}); err != nil {
		t.Fatal(err)
	}
	absent := id.New(id.Organization)
	f.user(t, ctx, "taken@example.com", "Taken")
	n := 0
	for name, tc := range map[string]struct {
		when          func(u *identityv1.ImportedUser)
		reason, field string
	}{
		"no address":           {func(u *identityv1.ImportedUser) { u.Email = "" }, "INVALID_FIELD", "email"},
		"no sound address":     {func(u *identityv1.ImportedUser) { u.Email = "a@b@example.com" }, "INVALID_FIELD", "email"},
		"long address":         {func(u *identityv1.ImportedUser) { u.Email = strings.Repeat("a", 300) + "@example.com" }, "INVALID_FIELD", "email"},
		"address taken":        {func(u *identityv1.ImportedUser) { u.Email = "taken@example.com" }, "ALREADY_EXISTS", "email"},
		"name of two lines":    {func(u *identityv1.ImportedUser) { u.Name = "a\nb" }, "INVALID_FIELD", "name"},
		"long name":            {func(u *identityv1.ImportedUser) { u.Name = strings.Repeat("a", 201) }, "INVALID_FIELD", "name"},
		"no locale":            {func(u *identityv1.ImportedUser) { u.Locale = "en_US" }, "INVALID_FIELD", "locale"},
		"long locale":          {func(u *identityv1.ImportedUser) { u.Locale = "en-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa" }, "INVALID_FIELD", "locale"},
		"hash in plain":        {func(u *identityv1.ImportedUser) { u.PasswordHash = "hunter2" }, "INVALID_FIELD", "password_hash"},
		"hash of too much":     {func(u *identityv1.ImportedUser) { u.PasswordHash = strings.Replace(foreignHash, "$04$", "$31$", 1) }, "INVALID_FIELD", "password_hash"},
		"no external id":       {func(u *identityv1.ImportedUser) { u.ExternalId = "" }, "INVALID_FIELD", "external_id"},
		"external id of words": {func(u *identityv1.ImportedUser) { u.ExternalId = "a b" }, "INVALID_FIELD", "external_id"},
		"long external id":     {func(u *identityv1.ImportedUser) { u.ExternalId = strings.Repeat("a", 129) }, "INVALID_FIELD", "external_id"},
		"absent organization":  {func(u *identityv1.ImportedUser) { u.Memberships[1].Organization = absent }, "NOT_FOUND", "memberships[1].organization"},
		"closed organization":  {func(u *identityv1.ImportedUser) { u.Memberships[1].Organization = closed }, "ORGANIZATION_STATE", "memberships[1].organization"},
		"no organization id":   {func(u *identityv1.ImportedUser) { u.Memberships[1].Organization = "acme" }, "INVALID_FIELD", "memberships[1].organization"},
		"organization twice":   {func(u *identityv1.ImportedUser) { u.Memberships[1].Organization = acme }, "INVALID_FIELD", "memberships[1].organization"},
		"no such role":         {func(u *identityv1.ImportedUser) { u.Memberships[0].Role = 7 }, "INVALID_FIELD", "memberships[0].role"},
		"too many memberships": {func(u *identityv1.ImportedUser) {
			u.Memberships = slices.Repeat(u.GetMemberships(), 26)
		}, "INVALID_FIELD", "memberships"},
	} {
		t.Run(name, func(t *testing.T) {
			n++
			good, bad := person(fmt.Sprint("good-", n), fmt.Sprintf("good-%d@example.com", n)), person(fmt.Sprint("bad-", n), fmt.Sprintf("bad-%d@example.com", n))
			bad.EmailVerified = false
			other := f.organization(t, ctx, fmt.Sprint("other-", n))
			bad.Memberships = []*identityv1.ImportedMembership{{Organization: acme}, {Organization: other}}
			tc.when(bad)
			results := bring(t, ctx, m, bad, good)
			if !slices.Equal(becameOf(results), []identityv1.ImportOutcome{declined, created}) {
				t.Fatalf("%v", results)
			}
			r := results[0]
			if r.GetReason() != tc.reason || r.GetField() != "users[0]."+tc.field || r.GetUser() != "" || r.GetDetail() == "" {
				t.Errorf("refused: %v, want %s of users[0].%s", r, tc.reason, tc.field)
			}
			for _, secret := range []string{"hunter2", "bad-", "a@b", "taken@"} {
				if strings.Contains(r.GetDetail(), secret) {
					t.Errorf("the refusal quotes: %v", r)
				}
			}
			mended := person(fmt.Sprint("bad-", n), fmt.Sprintf("bad-%d@example.com", n), acme, other)
			if got := bring(t, ctx, m, mended, good); !slices.Equal(becameOf(got), []identityv1.ImportOutcome{created, unchanged}) {
				t.Errorf("mended: %v; something had been written", got)
			}
		})
	}
	f.verifyAll(t)
}

func TestImportRefusesAll(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	for name, tc := range map[string]struct {
		when func(m *rpc.Migration, r *identityv1.ImportUsersRequest)
		ctx  context.Context
		want commonv1.Reason
	}{
		"nobody":         {ctx: t.Context(), want: commonv1.Reason_TOKEN_MISSING},
		"no key":         {when: func(m *rpc.Migration, _ *identityv1.ImportUsersRequest) { m.Blind = blind.Key{} }, want: commonv1.Reason_SERVICE_UNAVAILABLE},
		"unknown region": {when: func(_ *rpc.Migration, r *identityv1.ImportUsersRequest) { r.HomeRegion = "mars" }, want: commonv1.Reason_INVALID_FIELD},
		"another region": {when: func(_ *rpc.Migration, r *identityv1.ImportUsersRequest) { r.HomeRegion = "us-east" }, want: commonv1.Reason_KEY_ELSEWHERE},
	} {
		m, request := f.migration(t), &identityv1.ImportUsersRequest{
			Source: "console", Users: []*identityv1.ImportedUser{person("1", "ada@example.com")}, IdempotencyKey: key(),
		}
		if tc.when != nil {
			tc.when(m, request)
		}
		if tc.ctx == nil {
			tc.ctx = ctx
		}
		if answer, err := m.ImportUsers(tc.ctx, request); !fault.Is(err, tc.want) {
			t.Errorf("%s: %v, %v; want %v", name, answer, err, tc.want)
		}
	}
	if logs := f.verifyAll(t); logs != 0 {
		t.Errorf("%d logs were written", logs)
	}
}

func TestImportLinks(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	acme, globex := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex")
	with := person("1", "ada@example.com", acme)
	with.PasswordHash = foreignHash
	without := person("2", "bob@example.com", acme)
	first := bring(t, ctx, m, with, without)
	unproven := f.user(t, ctx, "eve@example.com", "Eve")

	other := strings.Replace(foreignHash, "$2b$", "$2y$", 1)
	second := []*identityv1.ImportedUser{person("a", "ADA@example.com", acme, globex), person("b", "bob@example.com"), person("c", "eve@example.com")}
	for _, u := range second {
		u.PasswordHash = other
	}
	bring2 := func() []*identityv1.ImportResult {
		t.Helper()
		answer, err := m.ImportUsers(ctx, &identityv1.ImportUsersRequest{Source: "shop", Users: second, IdempotencyKey: key()})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetResults()
	}
	second[1].EmailVerified = false
	results := bring2()
	if !slices.Equal(becameOf(results), []identityv1.ImportOutcome{linked, declined, declined}) {
		t.Fatalf("%v", results)
	}
	if results[0].GetUser() != first[0].GetUser() || results[1].GetReason() != "ALREADY_EXISTS" || results[2].GetReason() != "ALREADY_EXISTS" {
		t.Errorf("%v", results)
	}
	if rows := f.passwords(t, first[0].GetUser()); len(rows) != 1 || rows[0].Hash != foreignHash {
		t.Errorf("the password was replaced: %+v", rows)
	}
	if _, err := store.FindMembership(ctx, f.db.Pool(), globex, first[0].GetUser()); err != nil {
		t.Errorf("the missing membership: %v", err)
	}
	if rows := f.passwords(t, first[1].GetUser()); len(rows) != 0 {
		t.Errorf("somebody who did not prove the address gave bob a password: %+v", rows)
	}

	second[1].EmailVerified = true
	yes := true
	if _, err := f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: unproven, EmailVerified: &yes, IdempotencyKey: key()}); err != nil {
		t.Fatal(err)
	}
	results = bring2()
	if !slices.Equal(becameOf(results), []identityv1.ImportOutcome{unchanged, linked, linked}) || results[1].GetUser() != first[1].GetUser() || results[2].GetUser() != unproven {
		t.Fatalf("proven: %v", results)
	}
	if rows := f.passwords(t, first[1].GetUser()); len(rows) != 1 || rows[0].Hash != other {
		t.Errorf("bob got %+v", rows)
	}
	f.wantSource(t, ctx, m, &identityv1.Source{Name: "shop", Users: 3, Migrated: 3})
	f.wantSource(t, ctx, m, &identityv1.Source{Name: "console", Users: 2, Migrated: 2})
	f.verifyAll(t)
}

func TestImportOfASuspendedUser(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	acme := f.organization(t, ctx, "acme")
	ada := bring(t, ctx, m, person("1", "ada@example.com"))[0].GetUser()
	if _, err := f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()}); err != nil {
		t.Fatal(err)
	}
	if got := bring(t, ctx, m, person("2", "ada@example.com", acme)); got[0].GetOutcome() != linked {
		t.Fatalf("%v", got)
	}
	if row, err := store.FindMembership(ctx, f.db.Pool(), acme, ada); err != nil || row.Status != membership.Suspended || !row.Everywhere {
		t.Errorf("%+v, %v; want it suspended with the user", row, err)
	}
	f.verify(t, acme)
}

func TestImportIntoTooManyOrganizations(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	ada := bring(t, ctx, m, person("1", "ada@example.com"))[0].GetUser()
	if _, err := f.db.Pool().Exec(ctx, `UPDATE identity.users SET memberships = $2 WHERE user_id = $1`, ada, membership.MaxOfUser-1); err != nil {
		t.Fatal(err)
	}
	acme, globex := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex")
	got := bring(t, ctx, m, person("2", "ada@example.com", acme, globex))
	if got[0].GetOutcome() != declined || got[0].GetReason() != "LIMIT_REACHED" || got[0].GetField() != "users[0].memberships[1].organization" {
		t.Errorf("one too many: %v", got)
	}
	if got := bring(t, ctx, m, person("2", "ada@example.com", acme)); got[0].GetOutcome() != linked {
		t.Errorf("the last that may be: %v", got)
	}
}

func TestNobodyIsImportedAgainAfterErasure(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	ada := bring(t, ctx, m, person("ada@example.com", "ada@example.com"))[0].GetUser()
	if _, err := f.erase(ctx, ada, false); err != nil {
		t.Fatal(err)
	}
	got := bring(t, ctx, m, person("ada@example.com", "ada@example.com"), person("2", "ada@example.com"))
	if got[0].GetOutcome() != declined || got[0].GetReason() != "USER_ERASED" || got[1].GetOutcome() != created {
		t.Errorf("%v", got)
	}
	rows, err := store.ListLinks(ctx, f.db.Pool(), ada)
	if err != nil || len(rows) != 1 || rows[0].ExternalID != "" {
		t.Errorf("links of an erased user: %+v, %v", rows, err)
	}
	f.verifyAll(t)
}
