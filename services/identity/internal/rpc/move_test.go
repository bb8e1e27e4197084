package rpc_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// homes are the home regions of everything that is an organization's: its log,
// its row, and its tokens.
func (f *fixture) homes(t *testing.T, org string) (homes []string) {
	t.Helper()
	err := f.db.Pool().QueryRow(t.Context(), `SELECT array(
		SELECT home_region FROM log.logs WHERE log_id = $1
		UNION SELECT home_region FROM identity.organizations WHERE organization_id = $1
		UNION SELECT home_region FROM identity.api_tokens WHERE organization_id = $1)`, org).Scan(&homes)
	if err != nil {
		t.Fatal(err)
	}
	return homes
}

// token makes a token of an organization.
func (f *fixture) token(t *testing.T, ctx context.Context, org, key string) {
	t.Helper()
	_, err := f.tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
		Organization: org, Name: key, Level: commonv1.Level_LEVEL_READ, IdempotencyKey: key,
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMoveHome(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org, other := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex")
	f.token(t, ctx, org, "before")
	f.token(t, ctx, other, "other")
	f.member(t, ctx, org, f.user(t, ctx, "ada@example.com", "Ada"), 0)
	request := &identityv1.MoveHomeRequest{Organization: org, HomeRegion: "us-east", IdempotencyKey: "move"}
	moved, err := f.organizations.MoveHome(ctx, request)
	if err != nil || moved.GetOrganization().GetHomeRegion() != "us-east" || moved.GetOrganization().GetSlug() != "acme" {
		t.Fatalf("MoveHome = %v, %v", moved, err)
	}
	again, err := f.organizations.MoveHome(ctx, request)
	if err != nil || again.GetRevision() != moved.GetRevision() {
		t.Errorf("repeated with the same key: %v, %v; want %v", again, err, moved)
	}
	f.token(t, ctx, org, "after")
	if homes := f.homes(t, org); len(homes) != 1 || homes[0] != "us-east" {
		t.Errorf("after the move its rows are at home in %v", homes)
	}
	if homes := f.homes(t, other); len(homes) != 1 || homes[0] != "eu-west" {
		t.Errorf("another organization's rows are at home in %v", homes)
	}
	got, err := f.organizations.GetOrganization(ctx, &identityv1.GetOrganizationRequest{Organization: org})
	if err != nil || got.GetOrganization().GetHomeRegion() != "us-east" {
		t.Errorf("GetOrganization = %v, %v", got, err)
	}
	request.IdempotencyKey = "already there"
	there, err := f.organizations.MoveHome(ctx, request)
	if err != nil || there.GetOrganization().GetHomeRegion() != "us-east" || there.GetRevision() == moved.GetRevision() {
		t.Errorf("where it is already: %v, %v; want the log's head", there, err)
	}
	if head, err := f.log.Head(ctx, f.db.Pool(), org); err != nil || head.Sequence != 5 {
		t.Errorf("head %d, %v; want 5: organization, token, member, move, token", head.Sequence, err)
	}
	f.verify(t, org)
	f.verify(t, other)
}

func TestMoveHomeRefuses(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	for name, tc := range map[string]struct {
		ctx    context.Context
		org    string
		region string
		want   commonv1.Reason
	}{
		"anonymous":            {t.Context(), org, "us-east", commonv1.Reason_TOKEN_MISSING},
		"no such organization": {ctx, id.New(id.Organization), "us-east", commonv1.Reason_NOT_FOUND},
		"no such region":       {ctx, org, "mars", commonv1.Reason_INVALID_FIELD},
	} {
		t.Run(name, func(t *testing.T) {
			request := &identityv1.MoveHomeRequest{Organization: tc.org, HomeRegion: tc.region, IdempotencyKey: name}
			answer, err := f.organizations.MoveHome(tc.ctx, request)
			if !fault.Is(err, tc.want) {
				t.Errorf("MoveHome = %v, %v; want %v", answer, err, tc.want)
			}
		})
	}
	if homes := f.homes(t, org); len(homes) != 1 || homes[0] != "eu-west" {
		t.Errorf("a refused move left %v", homes)
	}
	f.verify(t, org)
}

// Tokens are made while the organization moves to and fro: each row is where the
// log was at home when it was written, or was moved along later.
func TestMoveHomeDuringWrites(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for i := range 5 {
				f.token(t, ctx, org, fmt.Sprint("token ", worker, " ", i))
			}
		})
	}
	regions := []string{"us-east", "eu-west", "us-east"}
	for i, region := range regions {
		_, err := f.organizations.MoveHome(ctx, &identityv1.MoveHomeRequest{
			Organization: org, HomeRegion: region, IdempotencyKey: fmt.Sprint("move ", i),
		})
		if err != nil {
			t.Error(err)
		}
	}
	wait.Wait()
	if homes := f.homes(t, org); len(homes) != 1 || homes[0] != "us-east" {
		t.Errorf("its rows are at home in %v, want us-east", homes)
	}
	if head, err := f.log.Head(ctx, f.db.Pool(), org); err != nil || head.Sequence != 24 {
		t.Errorf("head %d, %v; want 24: organization, 20 tokens, 3 moves", head.Sequence, err)
	}
	f.verify(t, org)
}
