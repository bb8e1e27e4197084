package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// asked answers yes, and remembers until when it was asked. That answers are as of now
// is e2e/consistency's to show.
type asked struct {
	identityv1connect.MembershipServiceClient
	authzv1connect.CheckServiceClient
	identityv1connect.ServiceAccountServiceClient

	deadlines []time.Time
	// subjects and callers are whom was asked about, and for whom.
	subjects []string
	callers  []principal.Principal
	// model is what the model says: nil, that it may.
	model    error
	disabled bool
	absent   bool
	role     identityv1.MembershipRole
}

func (a *asked) remember(ctx context.Context) {
	until, _ := ctx.Deadline()
	a.deadlines = append(a.deadlines, until)
	caller, _ := principal.From(ctx)
	a.callers = append(a.callers, caller)
}

func (a *asked) GetMember(ctx context.Context, _ *identityv1.GetMemberRequest) (*identityv1.GetMemberResponse, error) {
	a.remember(ctx)
	return &identityv1.GetMemberResponse{Membership: &identityv1.Membership{State: identityv1.MembershipState_MEMBERSHIP_STATE_ACTIVE, Role: a.role}}, nil
}

func (a *asked) GetServiceAccount(ctx context.Context, _ *identityv1.GetServiceAccountRequest) (*identityv1.GetServiceAccountResponse, error) {
	a.remember(ctx)
	if a.absent {
		return nil, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such service account")
	}
	return &identityv1.GetServiceAccountResponse{ServiceAccount: &identityv1.ServiceAccount{Disabled: a.disabled}}, nil
}

func (a *asked) Check(ctx context.Context, r *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	a.remember(ctx)
	a.subjects = append(a.subjects, r.GetSubject())
	if a.model != nil {
		return nil, a.model
	}
	return &authzv1.CheckResponse{Decision: authzv1.Decision_DECISION_ALLOW}, nil
}

func TestWhatAUserMayDoIsAskedForAShortTime(t *testing.T) {
	a := new(asked)
	before := time.Now()
	allowed, err := (&delegation{checks: a, members: a, accounts: a}).Allowed(t.Context(), "usr_1", "org_1", "can_manage_groups")
	if err != nil || !allowed {
		t.Fatalf("%v, %v", allowed, err)
	}
	if len(a.deadlines) != 2 || !a.deadlines[0].Equal(a.deadlines[1]) || a.deadlines[0].Before(before) || a.deadlines[0].After(time.Now().Add(delegationDeadline)) {
		t.Errorf("deadlines %v: want one for both calls", a.deadlines)
	}
}

// A service account may what its model says, and nothing where the model is silent or it
// is not enabled; of a user who calls with an access token it is asked in the name of
// this process, and of one for whom a product calls in the name of the product's token.
func TestWhoMayWhat(t *testing.T) {
	user, account := id.New(id.User), id.New(id.ServiceAccount)
	unknown := fault.New(fault.Precondition, commonv1.Reason_RELATION_UNKNOWN, "no such permission")
	admin := identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN
	token := principal.Principal{Kind: principal.APIToken, ID: "tok_1", Level: commonv1.Level_LEVEL_ADMIN}
	behalf := token
	behalf.OnBehalfOf = user
	for name, tc := range map[string]struct {
		asked   asked
		subject string
		caller  principal.Principal
		allowed bool
		// checked is whom the check was about, and as whom it is asked.
		checked string
		as      principal.Principal
	}{
		"a user":                                     {asked{}, user, principal.Principal{Kind: principal.User, ID: user}, true, "user:" + user, principal.Principal{}},
		"a user of whom a model says nothing":        {asked{model: unknown}, user, principal.Principal{Kind: principal.User, ID: user}, false, "user:" + user, principal.Principal{}},
		"an administrator, of whom it says nothing":  {asked{model: unknown, role: admin}, user, principal.Principal{Kind: principal.User, ID: user}, true, "user:" + user, principal.Principal{}},
		"a user for whom a product calls":            {asked{}, user, behalf, true, "user:" + user, token},
		"a service account":                          {asked{}, account, principal.Principal{Kind: principal.ServiceAccount, ID: account}, true, "service_account:" + account, principal.Principal{}},
		"an account of which the model says nothing": {asked{model: unknown}, account, principal.Principal{Kind: principal.ServiceAccount, ID: account}, false, "service_account:" + account, principal.Principal{}},
		"an account that is disabled":                {asked{disabled: true}, account, principal.Principal{Kind: principal.ServiceAccount, ID: account}, false, "", principal.Principal{}},
		"an account of another organization":         {asked{absent: true}, account, principal.Principal{Kind: principal.ServiceAccount, ID: account}, false, "", principal.Principal{}},
	} {
		t.Run(name, func(t *testing.T) {
			a := tc.asked
			ctx := principal.With(t.Context(), tc.caller)
			allowed, err := (&delegation{checks: &a, members: &a, accounts: &a}).Allowed(ctx, tc.subject, "org_1", "can_manage_groups")
			if err != nil || allowed != tc.allowed {
				t.Errorf("%t, %v", allowed, err)
			}
			if got := strings.Join(a.subjects, " "); got != tc.checked {
				t.Errorf("checked %q, want %q", got, tc.checked)
			}
			for _, caller := range a.callers {
				if caller.ID != tc.as.ID || caller.OnBehalfOf != "" {
					t.Errorf("asked as %+v", caller)
				}
			}
		})
	}
}
