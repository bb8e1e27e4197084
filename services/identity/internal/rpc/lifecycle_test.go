package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (f *fixture) suspend(t *testing.T, ctx context.Context, org, key string) {
	t.Helper()
	_, err := f.organizations.SuspendOrganization(ctx, &identityv1.SuspendOrganizationRequest{Organization: org, Reason: "unpaid", IdempotencyKey: key})
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) resume(ctx context.Context, org, key string) (*identityv1.ResumeOrganizationResponse, error) {
	return f.organizations.ResumeOrganization(ctx, &identityv1.ResumeOrganizationRequest{Organization: org, IdempotencyKey: key})
}

func (f *fixture) delete(t *testing.T, ctx context.Context, org, key string, grace *uint32) *identityv1.Organization {
	t.Helper()
	answer, err := f.organizations.DeleteOrganization(ctx, &identityv1.DeleteOrganizationRequest{Organization: org, GraceDays: grace, IdempotencyKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetOrganization()
}

func TestOrganizationLifecycle(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	made, err := f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
		Slug: "acme", Name: "  Acme  ", Mode: identityv1.OrganizationMode_ORGANIZATION_MODE_ISOLATED, IdempotencyKey: "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	org := made.GetOrganization().GetId()
	updated, err := f.organizations.UpdateOrganization(ctx, &identityv1.UpdateOrganizationRequest{
		Organization: org, Name: new("Acme Ltd"), IdempotencyKey: "2",
		Settings: &identityv1.OrganizationSettings{PasswordMinLength: 16, RequireSecondFactor: true, SignInMethods: []string{"passkey", "email"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.suspend(t, ctx, org, "3")
	f.suspend(t, ctx, org, "4")
	got, err := f.organizations.GetOrganization(ctx, &identityv1.GetOrganizationRequest{Organization: org})
	if err != nil {
		t.Fatal(err)
	}
	want := &identityv1.Organization{
		Id: org, Slug: "acme", Name: "Acme Ltd", HomeRegion: "eu-west", CreatedAt: made.GetOrganization().GetCreatedAt(),
		Mode: identityv1.OrganizationMode_ORGANIZATION_MODE_ISOLATED, State: identityv1.OrganizationState_ORGANIZATION_STATE_SUSPENDED,
		Settings: &identityv1.OrganizationSettings{PasswordMinLength: 16, RequireSecondFactor: true, SignInMethods: []string{"email", "passkey"}},
	}
	if made.GetOrganization().GetName() != "Acme" || !proto.Equal(got.GetOrganization(), want) {
		t.Errorf("made %v,\nread %v,\nwant %v", made, got.GetOrganization(), want)
	}
	if updated.GetRevision() == "" || updated.GetOrganization().GetState() != identityv1.OrganizationState_ORGANIZATION_STATE_ACTIVE {
		t.Errorf("UpdateOrganization = %v", updated)
	}

	doomed := f.delete(t, ctx, org, "5", nil)
	if at := doomed.GetDeleteAt().AsTime(); !at.Truncate(time.Second).Equal(time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("deleted at %v, want in 30 days", at)
	}
	f.advance(29 * 24 * time.Hour)
	back, err := f.resume(ctx, org, "6")
	if err != nil || back.GetOrganization().GetState() != identityv1.OrganizationState_ORGANIZATION_STATE_ACTIVE || back.GetOrganization().GetDeleteAt() != nil {
		t.Errorf("ResumeOrganization = %v, %v", back, err)
	}
	f.delete(t, ctx, org, "7", new(uint32))
	if _, err := f.resume(ctx, org, "8"); !fault.Is(err, commonv1.Reason_ORGANIZATION_STATE) {
		t.Errorf("resumed when it is to be deleted now: %v, want ORGANIZATION_STATE", err)
	}
	head, err := f.log.Head(ctx, f.db.Pool(), org)
	if err != nil || head.Sequence != 7 {
		t.Errorf("head %d, %v; want 7: made, renamed, set, suspended, scheduled, cancelled, scheduled", head.Sequence, err)
	}
	f.verify(t, org)
}

// A clock that is behind the log does not resume what is being deleted.
func TestResumeGoesByTheLog(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	f.delete(t, ctx, org, "delete", new(uint32(1)))
	f.advance(24 * time.Hour)
	if _, err := f.organizations.MoveHome(ctx, &identityv1.MoveHomeRequest{Organization: org, HomeRegion: "us-east", IdempotencyKey: "move"}); err != nil {
		t.Fatal(err)
	}
	f.advance(-2 * time.Hour)
	if _, err := f.resume(ctx, org, "resume"); !fault.Is(err, commonv1.Reason_ORGANIZATION_STATE) {
		t.Errorf("ResumeOrganization: %v, want ORGANIZATION_STATE", err)
	}
}

func TestLifecycleRefuses(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	nobody := id.New(id.Organization)
	calls := map[string]func(ctx context.Context, org string) error{
		"update": func(ctx context.Context, org string) error {
			_, err := f.organizations.UpdateOrganization(ctx, &identityv1.UpdateOrganizationRequest{Organization: org, Name: new("x"), IdempotencyKey: "update"})
			return err
		},
		"suspend": func(ctx context.Context, org string) error {
			_, err := f.organizations.SuspendOrganization(ctx, &identityv1.SuspendOrganizationRequest{Organization: org, IdempotencyKey: "suspend"})
			return err
		},
		"resume": func(ctx context.Context, org string) error { _, err := f.resume(ctx, org, "resume"); return err },
		"delete": func(ctx context.Context, org string) error {
			_, err := f.organizations.DeleteOrganization(ctx, &identityv1.DeleteOrganizationRequest{Organization: org, IdempotencyKey: "delete"})
			return err
		},
	}
	for name, call := range calls {
		if err := call(ctx, nobody); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			t.Errorf("%s of nobody: %v, want NOT_FOUND", name, err)
		}
		if err := call(t.Context(), nobody); !fault.Is(err, commonv1.Reason_TOKEN_MISSING) {
			t.Errorf("anonymous %s: %v, want TOKEN_MISSING", name, err)
		}
	}
}

func TestTokenOfASuspendedOrganization(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	request := &identityv1.CreateApiTokenRequest{Organization: org, Name: "console", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: "1"}
	made, err := f.tokens.CreateApiToken(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	states := func(want string) {
		t.Helper()
		p, err := f.tokens.Verify(ctx, secret.NewString(made.GetSecret()))
		if err != nil || p.Closed != want || fault.Is(p.Usable(), commonv1.Reason_ORGANIZATION_STATE) != (want != "") {
			t.Errorf("Verify = %+v, %v; want state %q", p, err, want)
		}
		remote, err := f.tokens.VerifyApiToken(ctx, &identityv1.VerifyApiTokenRequest{Secret: made.GetSecret()})
		got := strings.ToLower(strings.TrimPrefix(remote.GetOrganizationState().String(), "ORGANIZATION_STATE_"))
		if err != nil || got != want && (want != "" || got != "active") {
			t.Errorf("VerifyApiToken = %v, %v; want state %q", remote, err, want)
		}
	}
	states("")
	f.suspend(t, ctx, org, "2")
	states("suspended")
	request.IdempotencyKey = "3"
	if _, err := f.tokens.CreateApiToken(ctx, request); !fault.Is(err, commonv1.Reason_ORGANIZATION_STATE) {
		t.Errorf("CreateApiToken: %v, want ORGANIZATION_STATE", err)
	}
	f.delete(t, ctx, org, "4", nil)
	states("deleting")
	if _, err := f.resume(ctx, org, "5"); err != nil {
		t.Fatal(err)
	}
	states("")
	f.verify(t, org)
}

// An organization is suspended while tokens are made in it: whichever is first, the
// log and the rows agree, and no token is made after the suspension.
func TestSuspensionDuringCreations(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			_, err := f.tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
				Organization: org, Name: "token", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: fmt.Sprint("token ", i),
			})
			if err != nil && !fault.Is(err, commonv1.Reason_ORGANIZATION_STATE) {
				t.Error(err)
			}
		})
	}
	wait.Go(func() {
		_, err := f.organizations.SuspendOrganization(ctx, &identityv1.SuspendOrganizationRequest{Organization: org, IdempotencyKey: "suspend"})
		if err != nil {
			t.Error(err)
		}
	})
	wait.Wait()
	head, err := f.log.Head(ctx, f.db.Pool(), org)
	if err != nil {
		t.Fatal(err)
	}
	events, err := f.log.Read(ctx, f.db.Pool(), org, head.Sequence, 1)
	if err != nil || len(events) != 1 || !strings.HasSuffix(events[0].Envelope.GetType(), ".OrganizationSuspended") {
		t.Errorf("the last event is %v, %v; want the suspension", events, err)
	}
	f.verify(t, org)
}

func TestListOrganizationsOfAState(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	orgs := map[string]string{}
	for _, slug := range []string{"acme", "acme-eu", "acme2", "acmf", "b", "ac"} {
		slug = strings.Replace(slug, "b", "bb", 1)
		orgs[slug] = f.organization(t, ctx, slug)
	}
	f.suspend(t, ctx, orgs["acme-eu"], "s")
	f.delete(t, ctx, orgs["acmf"], "d", nil)
	if _, err := f.db.Pool().Exec(ctx, `UPDATE identity.organizations SET state = 4 WHERE slug = 'acme2'`); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		search string
		state  identityv1.OrganizationState
		want   string
	}{
		"all but the deleted":        {"", 0, "ac acme acme-eu acmf bb"},
		"of a beginning":             {"acme", 0, "acme acme-eu"},
		"of a beginning with a dash": {"acme-", 0, "acme-eu"},
		"of nothing":                 {"zz", 0, ""},
		"deleted":                    {"", identityv1.OrganizationState_ORGANIZATION_STATE_DELETED, "acme2"},
		"suspended":                  {"ac", identityv1.OrganizationState_ORGANIZATION_STATE_SUSPENDED, "acme-eu"},
		"deleting":                   {"", identityv1.OrganizationState_ORGANIZATION_STATE_DELETING, "acmf"},
		"active":                     {"acm", identityv1.OrganizationState_ORGANIZATION_STATE_ACTIVE, "acme"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for cursor := ""; ; {
				answer, err := f.organizations.ListOrganizations(ctx, &identityv1.ListOrganizationsRequest{
					PageSize: 2, Cursor: cursor, Search: tc.search, State: tc.state,
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range answer.GetOrganizations() {
					got = append(got, o.GetSlug())
				}
				if cursor = answer.GetNextCursor(); cursor == "" {
					break
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("listed %v, want %s", got, tc.want)
			}
		})
	}
	page, err := f.organizations.ListOrganizations(ctx, &identityv1.ListOrganizationsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.organizations.ListOrganizations(ctx, &identityv1.ListOrganizationsRequest{Search: "ac", Cursor: page.GetNextCursor()})
	if !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
		t.Errorf("the cursor of another search: %v, want INVALID_FIELD", err)
	}
}

// Lists read a range of an index, whatever is searched for.
func TestListsOfOrganizationsUseAnIndex(t *testing.T) {
	f := newFixture(t)
	for query, index := range map[string]string{
		`SELECT slug FROM identity.organizations WHERE state <> 4 AND decode(slug, 'escape') >= 'a' AND decode(slug, 'escape') < 'b'
		 ORDER BY decode(slug, 'escape') LIMIT 50`: "organizations_listed",
		`SELECT slug FROM identity.organizations WHERE state = 2 AND decode(slug, 'escape') >= 'a' AND decode(slug, 'escape') < 'b'
		 ORDER BY decode(slug, 'escape') LIMIT 50`: "organizations_state",
		`SELECT organization_id FROM identity.organizations WHERE home_region = 'eu-west' AND state = 3 AND delete_at <= now()
		 ORDER BY delete_at LIMIT 50`: "organizations_delete_at",
	} {
		var plan string
		// In a table of a few rows the planner would sort what it finds.
		err := f.db.Read(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL enable_bitmapscan = off"); err != nil {
				return err
			}
			rows, err := tx.Query(ctx, "EXPLAIN "+query)
			if err != nil {
				return err
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			plan = strings.Join(lines, "\n")
			return err
		})
		if err != nil || !strings.Contains(plan, index) || strings.Contains(plan, "Sort") {
			t.Errorf("%s is not answered in order by %s: %v\n%s", query, index, err, plan)
		}
	}
}
