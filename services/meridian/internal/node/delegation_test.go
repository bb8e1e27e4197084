package node

import (
	"context"
	"testing"
	"time"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// asked answers yes, and remembers until when it was asked. That answers are as of now
// is e2e/consistency's to show.
type asked struct {
	identityv1connect.MembershipServiceClient
	authzv1connect.CheckServiceClient

	deadlines []time.Time
}

func (a *asked) remember(ctx context.Context) {
	until, _ := ctx.Deadline()
	a.deadlines = append(a.deadlines, until)
}

func (a *asked) GetMember(ctx context.Context, _ *identityv1.GetMemberRequest) (*identityv1.GetMemberResponse, error) {
	a.remember(ctx)
	return &identityv1.GetMemberResponse{Membership: &identityv1.Membership{State: identityv1.MembershipState_MEMBERSHIP_STATE_ACTIVE}}, nil
}

func (a *asked) Check(ctx context.Context, _ *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	a.remember(ctx)
	return &authzv1.CheckResponse{Decision: authzv1.Decision_DECISION_ALLOW}, nil
}

func TestWhatAUserMayDoIsAskedForAShortTime(t *testing.T) {
	a := new(asked)
	before := time.Now()
	allowed, err := (&delegation{checks: a, members: a}).Allowed(t.Context(), "usr_1", "org_1", "can_manage_groups")
	if err != nil || !allowed {
		t.Fatalf("%v, %v", allowed, err)
	}
	if len(a.deadlines) != 2 || !a.deadlines[0].Equal(a.deadlines[1]) || a.deadlines[0].Before(before) || a.deadlines[0].After(time.Now().Add(delegationDeadline)) {
		t.Errorf("deadlines %v: want one for both calls", a.deadlines)
	}
}
