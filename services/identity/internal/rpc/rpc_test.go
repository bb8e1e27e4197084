package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// fixture is the service on a database of its own, with a clock that the test
// moves.
type fixture struct {
	db            *sqldb.DB
	log           *eventlog.Store
	organizations *rpc.Organizations
	tokens        *rpc.APITokens
	users         *rpc.Users
	memberships   *rpc.Memberships
	blind         blind.Key
	now           atomic.Int64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureOn(t, sqltest.New(t))
}

func newFixtureOn(t *testing.T, db *sqldb.DB) *fixture {
	t.Helper()
	f := &fixture{db: db}
	f.now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	clock := func() time.Time { return time.Unix(0, f.now.Load()).UTC() }
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: "eu-west", Vault: newVault(t), Clock: clock})
	f.organizations = &rpc.Organizations{DB: f.db, Log: f.log, Region: "eu-west", Regions: []string{"eu-west", "us-east"}, Clock: clock}
	f.tokens = &rpc.APITokens{DB: f.db, Log: f.log, PlatformRegion: "eu-west", Clock: clock}
	f.people(t, clock)
	return f
}

func (f *fixture) advance(d time.Duration) { f.now.Add(int64(d)) }

func admin(t *testing.T) context.Context {
	t.Helper()
	return principal.With(t.Context(), principal.Principal{Kind: principal.APIToken, ID: id.New(id.Token), Level: commonv1.Level_LEVEL_ADMIN})
}

func (f *fixture) organization(t *testing.T, ctx context.Context, slug string) string {
	t.Helper()
	answer, err := f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{Slug: slug, Name: slug, IdempotencyKey: "create " + slug})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetOrganization().GetId()
}

// verify replays a log and compares it with the identity rows.
func (f *fixture) verify(t *testing.T, log string) {
	t.Helper()
	if d := f.difference(t, log); d != nil {
		t.Errorf("log %s: %v", log, d)
	}
}

// difference is the first one between a log and the identity rows, or nil.
func (f *fixture) difference(t *testing.T, log string) *logv1.Difference {
	t.Helper()
	v := &eventlog.Verifier{Store: f.log, Folds: []eventlog.Fold{store.Fold{Log: f.log, Blind: f.blind}}}
	result, err := v.Verify(t.Context(), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.Difference
}

func TestCreateOrganization(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	request := &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Acme", HomeRegion: "us-east", IdempotencyKey: "1"}
	first, err := f.organizations.CreateOrganization(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.organizations.CreateOrganization(ctx, request)
	if err != nil || again.GetOrganization().GetId() != first.GetOrganization().GetId() || again.GetRevision() != first.GetRevision() {
		t.Errorf("repeated with the same key: %v, %v; want %v", again, err, first)
	}
	_, err = f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Other", IdempotencyKey: "2"})
	if !fault.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		t.Errorf("second organization with the slug: %v, want ALREADY_EXISTS", err)
	}
	_, err = f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{Slug: "globex", Name: "Globex", HomeRegion: "mars", IdempotencyKey: "3"})
	if !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
		t.Errorf("organization in an unknown region: %v, want INVALID_FIELD", err)
	}
	_, err = f.organizations.CreateOrganization(t.Context(), request)
	if !fault.Is(err, commonv1.Reason_TOKEN_MISSING) {
		t.Errorf("anonymous creation: %v, want TOKEN_MISSING", err)
	}
	heads, err := f.log.Heads(t.Context(), f.db.Pool(), "", 10)
	if err != nil || len(heads) != 1 || heads[0].Sequence != 1 || heads[0].HomeRegion != "us-east" {
		t.Errorf("logs: %+v, %v; want one of one event in us-east", heads, err)
	}
	f.verify(t, first.GetOrganization().GetId())
}

func TestOneSlugOneOrganization(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	var (
		wait  sync.WaitGroup
		wins  atomic.Int32
		taken atomic.Int32
	)
	for i := range 16 {
		wait.Go(func() {
			_, err := f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
				Slug: "acme", Name: "Acme", IdempotencyKey: fmt.Sprint(i),
			})
			switch {
			case err == nil:
				wins.Add(1)
			case fault.Is(err, commonv1.Reason_ALREADY_EXISTS):
				taken.Add(1)
			default:
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	wait.Wait()
	if wins.Load() != 1 || taken.Load() != 15 {
		t.Errorf("%d organizations made and %d refused, want 1 and 15", wins.Load(), taken.Load())
	}
}

func TestListOrganizationsPages(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	for _, slug := range []string{"cc", "aa", "bb", "ee", "dd"} {
		f.organization(t, ctx, slug)
	}
	var got []string
	for cursor := ""; ; {
		answer, err := f.organizations.ListOrganizations(ctx, &identityv1.ListOrganizationsRequest{PageSize: 2, Cursor: cursor})
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
	if strings.Join(got, " ") != "aa bb cc dd ee" {
		t.Errorf("listed %v", got)
	}
	_, err := f.organizations.ListOrganizations(ctx, &identityv1.ListOrganizationsRequest{Cursor: "forged"})
	if !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
		t.Errorf("forged cursor: %v, want INVALID_FIELD", err)
	}
}

func TestAPITokenLife(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	request := &identityv1.CreateApiTokenRequest{
		Organization: org, Name: "console", Level: commonv1.Level_LEVEL_READ, LifetimeSeconds: 3600, IdempotencyKey: "1",
	}
	made, err := f.tokens.CreateApiToken(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	text := secret.NewString(made.GetSecret())
	p, err := f.tokens.Verify(ctx, text)
	if err != nil || p.ID != made.GetToken().GetId() || p.Organization != org || p.Level != commonv1.Level_LEVEL_READ {
		t.Fatalf("Verify = %+v, %v", p, err)
	}
	repeated, err := f.tokens.CreateApiToken(ctx, request)
	if err != nil || repeated.GetSecret() != "" || repeated.GetToken().GetId() != made.GetToken().GetId() {
		t.Errorf("repeated creation: %v, %v; want the same token and no secret", repeated.GetToken(), err)
	}

	f.advance(time.Hour)
	if _, err := f.tokens.Verify(ctx, text); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("expired token: %v, want TOKEN_REJECTED", err)
	}
	f.advance(-time.Hour)
	revoke := &identityv1.RevokeApiTokenRequest{Organization: org, Token: made.GetToken().GetId(), IdempotencyKey: "2"}
	if _, err := f.tokens.RevokeApiToken(ctx, revoke); err != nil {
		t.Fatal(err)
	}
	if _, err := f.tokens.Verify(ctx, text); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("revoked token: %v, want TOKEN_REJECTED", err)
	}
	revoke.IdempotencyKey = "3"
	if _, err := f.tokens.RevokeApiToken(ctx, revoke); err != nil {
		t.Errorf("second revocation: %v", err)
	}
	head, err := f.log.Head(ctx, f.db.Pool(), org)
	if err != nil || head.Sequence != 3 {
		t.Errorf("head %d, %v; want 3: organization, token, one revocation", head.Sequence, err)
	}
	f.verify(t, org)
}

func TestPlatformTokenOpensThePlatformLog(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	text, err := f.tokens.Bootstrap(t.Context(), "first", 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.tokens.Verify(ctx, text)
	if err != nil || p.Organization != "" || p.Level != commonv1.Level_LEVEL_ADMIN {
		t.Errorf("Verify = %+v, %v; want an admin of the platform", p, err)
	}
	if _, err := f.tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
		Name: "second", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: "1",
	}); err != nil {
		t.Fatal(err)
	}
	f.verify(t, id.Platform)
}

func TestVerifyRefuses(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	text, err := f.tokens.Bootstrap(t.Context(), "first", 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := f.tokens.Bootstrap(t.Context(), "second", 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text string
		want commonv1.Reason
	}{
		"empty":         {"", commonv1.Reason_TOKEN_MALFORMED},
		"cut":           {text.Reveal()[:40], commonv1.Reason_TOKEN_MALFORMED},
		"bad checksum":  {text.Reveal()[:80] + "z", commonv1.Reason_TOKEN_MALFORMED},
		"mixed secrets": {other.Reveal()[:30] + text.Reveal()[30:], commonv1.Reason_TOKEN_MALFORMED},
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := f.tokens.Verify(ctx, secret.NewString(tc.text)); !fault.Is(err, tc.want) {
				t.Errorf("Verify = %+v, %v; want %v", p, err, tc.want)
			}
		})
	}
}

func TestTokenOfAnAbsentOrganization(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	_, err := f.tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
		Organization: id.New(id.Organization), Name: "x", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: "1",
	})
	if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("CreateApiToken: %v, want NOT_FOUND", err)
	}
}

func TestListAPITokens(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org, other := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex")
	for i, owner := range []string{org, org, org, other} {
		_, err := f.tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
			Organization: owner, Name: fmt.Sprintf("token %d", i), Level: commonv1.Level_LEVEL_READ, IdempotencyKey: fmt.Sprint(i),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for cursor := ""; ; {
		answer, err := f.tokens.ListApiTokens(ctx, &identityv1.ListApiTokensRequest{Organization: org, PageSize: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range answer.GetTokens() {
			names = append(names, token.GetName())
		}
		if cursor = answer.GetNextCursor(); cursor == "" {
			break
		}
	}
	if strings.Join(names, ", ") != "token 2, token 1, token 0" {
		t.Errorf("listed %v", names)
	}
}
