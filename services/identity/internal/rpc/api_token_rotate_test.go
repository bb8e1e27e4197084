package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

const checks = "meridian.authz.v1.CheckService"

// account makes a service account.
func (f *fixture) account(t *testing.T, ctx context.Context, org, name string) string {
	t.Helper()
	made, err := f.accounts().CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{Organization: org, Name: name, IdempotencyKey: "account " + org + name})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetServiceAccount().GetId()
}

func (f *fixture) accounts() *rpc.ServiceAccounts {
	return &rpc.ServiceAccounts{DB: f.db, Log: f.log, Clock: f.tokens.Clock, RevokeTokens: rpc.RevokeTokensOfAccount}
}

func (f *fixture) made(t *testing.T, ctx context.Context, req *identityv1.CreateApiTokenRequest) *identityv1.CreateApiTokenResponse {
	t.Helper()
	req.Name, req.Level, req.IdempotencyKey = "ci", commonv1.Level_LEVEL_WRITE, id.New(id.Token)
	answer, err := f.tokens.CreateApiToken(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (f *fixture) rotate(ctx context.Context, org, token, key string) (*identityv1.RotateApiTokenResponse, error) {
	return f.tokens.RotateApiToken(ctx, &identityv1.RotateApiTokenRequest{
		Organization: org, Token: token, OverlapSeconds: 3600, LifetimeSeconds: 86400, IdempotencyKey: key,
	})
}

func TestRotateApiToken(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	account := f.account(t, ctx, org, "ci")
	old := f.made(t, ctx, &identityv1.CreateApiTokenRequest{Organization: org, ServiceAccount: account, Scopes: []string{checks + "/Check", checks}})
	rotated, err := f.rotate(ctx, org, old.GetToken().GetId(), "1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.rotate(ctx, org, old.GetToken().GetId(), "1")
	if err != nil || again.GetSecret() != "" || again.GetToken().GetId() != rotated.GetToken().GetId() || again.GetRevision() != rotated.GetRevision() {
		t.Errorf("repeated with the same key: %v, %v; want the same token and no secret", again.GetToken(), err)
	}
	for name, text := range map[string]string{"old": old.GetSecret(), "new": rotated.GetSecret()} {
		p, err := f.tokens.Verify(ctx, secret.NewString(text))
		if err != nil || p.ServiceAccount != account || !slices.Equal(p.Scopes, []string{checks, checks + "/Check"}) || p.Level != commonv1.Level_LEVEL_WRITE || p.Organization != org {
			t.Errorf("the %s one: %+v, %v", name, p, err)
		}
	}
	made, replaced := rotated.GetToken(), rotated.GetReplaced()
	if made.GetReplaces() != replaced.GetId() || made.GetName() != "ci" || replaced.GetId() != old.GetToken().GetId() ||
		replaced.GetExpiresAt().AsTime().Sub(made.GetCreatedAt().AsTime()) != time.Hour {
		t.Errorf("RotateApiToken = %v", rotated)
	}
	// Two are live: no third, whichever is rotated.
	for i, token := range []string{replaced.GetId(), made.GetId()} {
		if _, err := f.rotate(ctx, org, token, fmt.Sprint("third ", i)); !fault.Is(err, commonv1.Reason_LIMIT_REACHED) {
			t.Errorf("a third token: %v, want LIMIT_REACHED", err)
		}
	}
	f.advance(time.Hour)
	if _, err := f.tokens.Verify(ctx, secret.NewString(old.GetSecret())); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("the old one after the overlap: %v, want TOKEN_REJECTED", err)
	}
	if _, err := f.rotate(ctx, org, replaced.GetId(), "ended"); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("rotating what has ended: %v, want NOT_FOUND", err)
	}
	third, err := f.rotate(ctx, org, made.GetId(), "2")
	if err != nil {
		t.Fatalf("rotating the new one once the old one has ended: %v", err)
	}
	// A token that was given up is no reason to wait.
	if _, err := f.tokens.RevokeApiToken(ctx, &identityv1.RevokeApiTokenRequest{Organization: org, Token: third.GetToken().GetId(), IdempotencyKey: "3"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.rotate(ctx, org, made.GetId(), "4"); err != nil {
		t.Errorf("rotating again after the successor was revoked: %v", err)
	}
	f.verify(t, org)
}

func TestRotatePlatformToken(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	text, err := f.tokens.Bootstrap(t.Context(), "first", 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.tokens.Verify(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := f.rotate(ctx, "", p.ID, "1")
	if err != nil {
		t.Fatal(err)
	}
	if q, err := f.tokens.Verify(ctx, secret.NewString(rotated.GetSecret())); err != nil || q.Organization != "" || q.Level != commonv1.Level_LEVEL_ADMIN {
		t.Errorf("Verify = %+v, %v; want an admin of the platform", q, err)
	}
	f.verify(t, id.Platform)
}

func TestRotateRefuses(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org, other := f.organization(t, ctx, "acme"), f.organization(t, ctx, "other")
	token := f.made(t, ctx, &identityv1.CreateApiTokenRequest{Organization: org}).GetToken().GetId()
	foreign := func(org, token string) error { _, err := f.rotate(ctx, org, token, org+token); return err }
	for name, err := range map[string]error{
		"another organization's": foreign(other, token), "the platform's": foreign("", token),
		"absent": foreign(org, id.New(id.Token)), "nobody's": foreign(id.New(id.Organization), token),
	} {
		if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			t.Errorf("%s: %v, want NOT_FOUND", name, err)
		}
	}
	caller := principal.Principal{
		Kind: principal.APIToken, ID: id.New(id.Token), Organization: org, Level: commonv1.Level_LEVEL_ADMIN,
		Scopes: []string{"meridian.identity.v1.ApiTokenService"},
	}
	scoped := principal.With(t.Context(), caller)
	if _, err := f.rotate(scoped, org, token, "scoped"); !fault.Is(err, commonv1.Reason_ACCESS_DENIED) {
		t.Errorf("a caller with scopes rotates a token without: %v, want ACCESS_DENIED", err)
	}
	_, err := f.tokens.CreateApiToken(scoped, &identityv1.CreateApiTokenRequest{Organization: org, Name: "x", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: "x"})
	if !fault.Is(err, commonv1.Reason_ACCESS_DENIED) {
		t.Errorf("a caller with scopes makes a token without: %v, want ACCESS_DENIED", err)
	}
	f.suspend(t, ctx, org, "suspend")
	if _, err := f.rotate(ctx, org, token, "suspended"); !fault.Is(err, commonv1.Reason_ORGANIZATION_STATE) {
		t.Errorf("in a suspended organization: %v, want ORGANIZATION_STATE", err)
	}
	f.verify(t, org)
}

// Many rotations of one token at once: one of them is made.
func TestRotateAtOnce(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	token := f.made(t, ctx, &identityv1.CreateApiTokenRequest{Organization: org}).GetToken().GetId()
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		made int
	)
	for i := range 8 {
		wait.Go(func() {
			_, err := f.rotate(ctx, org, token, fmt.Sprint(i))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !fault.Is(err, commonv1.Reason_LIMIT_REACHED) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if made != 1 {
		t.Errorf("%d rotations, want 1", made)
	}
	f.verify(t, org)
}

// Tokens of a service account are the organization's own account's, and end with it.
func TestTokensOfAServiceAccount(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org, other := f.organization(t, ctx, "acme"), f.organization(t, ctx, "other")
	account, theirs := f.account(t, ctx, org, "ci"), f.account(t, ctx, other, "ci")
	create := func(org, account string) error {
		_, err := f.tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
			Organization: org, ServiceAccount: account, Name: "x", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: org + account,
		})
		return err
	}
	foreign, absent := create(org, theirs), create(org, id.New(id.ServiceAccount))
	if !fault.Is(foreign, commonv1.Reason_NOT_FOUND) || absent == nil || foreign.Error() != absent.Error() {
		t.Errorf("another's account: %v; an absent one: %v", foreign, absent)
	}
	if err := create("", account); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("of the platform: %v, want NOT_FOUND", err)
	}
	first := f.made(t, ctx, &identityv1.CreateApiTokenRequest{Organization: org, ServiceAccount: account})
	second := f.made(t, ctx, &identityv1.CreateApiTokenRequest{Organization: org, ServiceAccount: account})
	own := f.made(t, ctx, &identityv1.CreateApiTokenRequest{Organization: org})
	works := func(what string, token *identityv1.CreateApiTokenResponse, want bool) {
		t.Helper()
		_, err := f.tokens.Verify(ctx, secret.NewString(token.GetSecret()))
		if want && err != nil || !want && !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
			t.Errorf("%s: %v, want it to work: %v", what, err, want)
		}
	}
	disable := func(key string, disabled bool) {
		t.Helper()
		_, err := f.accounts().UpdateServiceAccount(ctx, &identityv1.UpdateServiceAccountRequest{
			Organization: org, ServiceAccount: account, Disabled: &disabled, IdempotencyKey: key,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	works("the account's", first, true)
	disable("1", true)
	works("a disabled account's", first, false)
	works("the organization's own", own, true)
	disable("2", false)
	works("an enabled account's", first, true)
	_, err := f.accounts().DeleteServiceAccount(ctx, &identityv1.DeleteServiceAccountRequest{Organization: org, ServiceAccount: account, IdempotencyKey: "3"})
	if err != nil {
		t.Fatal(err)
	}
	works("a deleted account's", first, false)
	works("a deleted account's second", second, false)
	works("the organization's own", own, true)
	list, err := f.tokens.ListApiTokens(ctx, &identityv1.ListApiTokensRequest{Organization: org})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range list.GetTokens() {
		if (token.GetServiceAccount() == account) != (token.GetRevokedAt() != nil) {
			t.Errorf("%v: only the account's are revoked", token)
		}
	}
	f.verify(t, org)
	f.verify(t, other)
}
