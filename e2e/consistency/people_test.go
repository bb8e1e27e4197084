package consistency_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Who was made through one process is found through another; and a token of identity
// works in authz: from it on a member is allowed, and from the next one on, which
// removed the member, denied. The bus is stopped and continued meanwhile.
func TestIdentityIsReadInAuthz(t *testing.T) {
	s := start(t)
	calm := s.disturb(t)
	defer calm()
	var late atomic.Int64
	each(t, 16, *people, func(ctx context.Context, i int) error {
		email := fmt.Sprintf("person%d@example.com", i)
		made, err := s.near.Users.CreateUser(ctx, &identityv1.CreateUserRequest{Email: email, IdempotencyKey: "create-" + email})
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		user := made.GetUser().GetId()
		found, err := s.far.Users.FindUser(ctx, &identityv1.FindUserRequest{Email: email, AtLeast: made.GetRevision()})
		if err != nil || found.GetUser().GetId() != user {
			return fmt.Errorf("find: %v, %w", found, err)
		}
		added, err := s.near.Memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: s.organization, User: user, IdempotencyKey: "add-" + email})
		if err != nil {
			return fmt.Errorf("add: %w", err)
		}
		if err := s.wantMember(ctx, user, added.GetRevision(), true); err != nil {
			return err
		}
		removed, err := s.near.Memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: s.organization, User: user, IdempotencyKey: "remove-" + email})
		if err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		// The control: without a token the far process may still be behind.
		if allowed, err := s.check(ctx, "user:"+user, "member", "organization:"+s.organization, whatever()); err == nil && allowed {
			late.Add(1)
		}
		return s.wantMember(ctx, user, removed.GetRevision(), false)
	})
	if late.Load() == 0 {
		t.Error("the far process was never behind: the tokens prove nothing")
	}
	t.Logf("%d of %d removals were not there yet without a token", late.Load(), *people)
}

func (s *system) wantMember(ctx context.Context, user, token string, want bool) error {
	answer, err := s.far.Checks.Check(ctx, &authzv1.CheckRequest{
		Organization: s.organization, Subject: "user:" + user, Permission: "member", Resource: "organization:" + s.organization, Freshness: atLeast(token),
	})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if got := answer.GetDecision() == authzv1.Decision_DECISION_ALLOW; got != want {
		return fmt.Errorf("at its revision %s is a member: %v, want %v", user, got, want)
	}
	return nil
}
