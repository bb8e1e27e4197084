package consistency_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
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

// What was given to a user, and what was taken, holds at once for calls on the user's
// behalf, through a process that has not seen it yet: nobody has to send a token along.
func TestCallsOnBehalfAreAsOfNow(t *testing.T) {
	s := start(t)
	calm := s.disturb(t)
	defer calm()
	var late atomic.Int64
	each(t, 8, *behalf, func(ctx context.Context, i int) error {
		email := fmt.Sprintf("agent%d@example.com", i)
		made, err := s.near.Users.CreateUser(ctx, &identityv1.CreateUserRequest{Email: email, IdempotencyKey: "create-" + email})
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		user := made.GetUser().GetId()
		if _, err := s.near.Memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: s.organization, User: user, IdempotencyKey: "add-" + email}); err != nil {
			return fmt.Errorf("add: %w", err)
		}
		organization := "organization:" + s.organization
		if _, err := s.write(ctx, "give-"+email, update(touch, organization, "can_view_members", "user:"+user)); err != nil {
			return fmt.Errorf("give: %w", err)
		}
		if err := s.looks(ctx, user); err != nil {
			return fmt.Errorf("on behalf of who may: %w", err)
		}
		if _, err := s.write(ctx, "take-"+email, update(remove, organization, "can_view_members", "user:"+user)); err != nil {
			return fmt.Errorf("take: %w", err)
		}
		// The control: the far process may still be behind.
		if allowed, err := s.check(ctx, "user:"+user, "can_view_members", organization, whatever()); err == nil && allowed {
			late.Add(1)
		}
		if err := s.looks(ctx, user); !denied(err) {
			return fmt.Errorf("on behalf of who may not any more: %v, want ACCESS_DENIED", err) //nolint:errorlint // it may be nil
		}
		return nil
	})
	if late.Load() == 0 {
		t.Error("the far process was never behind: that it was not asked as it was proves nothing")
	}
	t.Logf("%d of %d were not taken there yet", late.Load(), *behalf)
}

// looks lists groups through the far process on behalf of a user.
func (s *system) looks(ctx context.Context, user string) error {
	_, err := s.far.Groups.ListGroups(meridian.OnBehalfOf(ctx, user), &identityv1.ListGroupsRequest{Organization: s.organization})
	return err
}

func denied(err error) bool {
	refusal, ok := meridian.AsError(err)
	return ok && refusal.Reason == commonv1.Reason_ACCESS_DENIED
}
