package invitation_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/bearer"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
)

var (
	now     = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	invited = id.New(id.Invitation)
	earlier = id.New(id.Invitation)
	org     = id.New(id.Organization)
	zoe     = id.New(id.User)
)

func created(name string, until time.Time) *eventv1.InvitationCreated {
	return &eventv1.InvitationCreated{
		Invitation: name, Organization: org, Role: eventv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER, ExpiresAt: timestamppb.New(until),
	}
}

// state is what some events make.
func state(events ...proto.Message) (s invitation.State) {
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

func check(t *testing.T, events []proto.Message, err error, then []proto.Message, want commonv1.Reason) {
	t.Helper()
	if want != 0 && !fault.Is(err, want) || want == 0 && err != nil || err != nil && events != nil {
		t.Fatalf("%v, %v; want %v", events, err, want)
	}
	if len(events) != len(then) {
		t.Fatalf("%v, want %v", events, then)
	}
	for i := range then {
		if !proto.Equal(events[i], then[i]) {
			t.Errorf("event %d is %v, want %v", i, events[i], then[i])
		}
	}
}

func TestCreate(t *testing.T) {
	week := created(invited, now.Add(invitation.DefaultLifetime))
	command := invitation.Create{ID: invited, Organization: org, At: now}
	type events = []proto.Message
	for name, tc := range map[string]struct {
		change func(c *invitation.Create)
		around invitation.Circumstances
		then   events
		want   commonv1.Reason
	}{
		"somebody": {nil, invitation.Circumstances{}, events{week}, 0},
		"for a day": {
			func(c *invitation.Create) { c.Lifetime = 24 * time.Hour },
			invitation.Circumstances{},
			events{created(invited, now.Add(24*time.Hour))},
			0,
		},
		"for too long":      {func(c *invitation.Create) { c.Lifetime = invitation.MaxLifetime + 1 }, invitation.Circumstances{}, nil, commonv1.Reason_INVALID_FIELD},
		"for less than now": {func(c *invitation.Create) { c.Lifetime = -1 }, invitation.Circumstances{}, nil, commonv1.Reason_INVALID_FIELD},
		"a member":          {nil, invitation.Circumstances{Member: true}, nil, commonv1.Reason_ALREADY_EXISTS},
		"again": {
			nil,
			invitation.Circumstances{Earlier: state(created(earlier, now.Add(1)))},
			nil, commonv1.Reason_ALREADY_EXISTS,
		},
		"after the first expired": {
			nil,
			invitation.Circumstances{Earlier: state(created(earlier, now))},
			events{&eventv1.InvitationRevoked{Invitation: earlier}, week},
			0,
		},
		"the last that may wait": {nil, invitation.Circumstances{Pending: invitation.MostPending - 1}, events{week}, 0},
		"one too many":           {nil, invitation.Circumstances{Pending: invitation.MostPending}, nil, commonv1.Reason_LIMIT_REACHED},
	} {
		t.Run(name, func(t *testing.T) {
			c := command
			if tc.change != nil {
				tc.change(&c)
			}
			events, err := c.Decide(tc.around)
			check(t, events, err, tc.then, tc.want)
		})
	}
}

func TestLife(t *testing.T) {
	waits := created(invited, now.Add(time.Hour))
	expired := created(invited, now)
	revoked, accepted := &eventv1.InvitationRevoked{Invitation: invited}, &eventv1.InvitationAccepted{Invitation: invited, User: zoe}
	resent := &eventv1.InvitationResent{Invitation: invited, ExpiresAt: timestamppb.New(now.Add(invitation.DefaultLifetime))}
	often := []proto.Message{waits}
	for range invitation.MaxLetters - 1 {
		often = append(often, resent)
	}
	type events = []proto.Message
	long := now.Add(-invitation.BetweenLetters)
	for name, tc := range map[string]struct {
		given events
		when  interface {
			Decide(s invitation.State) ([]proto.Message, error)
		}
		then events
		want commonv1.Reason
	}{
		"accept":                  {events{waits}, invitation.Accept{User: zoe, At: now}, events{accepted}, 0},
		"accept at the end":       {events{expired}, invitation.Accept{User: zoe, At: now}, nil, commonv1.Reason_INVITATION_REJECTED},
		"accept twice":            {events{waits, accepted}, invitation.Accept{User: zoe, At: now}, nil, commonv1.Reason_INVITATION_REJECTED},
		"accept the revoked":      {events{waits, revoked}, invitation.Accept{User: zoe, At: now}, nil, commonv1.Reason_INVITATION_REJECTED},
		"accept nothing":          {nil, invitation.Accept{User: zoe, At: now}, nil, commonv1.Reason_INVITATION_REJECTED},
		"accept after another":    {events{expired, resent}, invitation.Accept{User: zoe, At: now}, events{accepted}, 0},
		"revoke":                  {events{waits}, invitation.Revoke{}, events{revoked}, 0},
		"revoke twice":            {events{waits, revoked}, invitation.Revoke{}, nil, 0},
		"revoke the expired":      {events{expired}, invitation.Revoke{}, events{revoked}, 0},
		"revoke the accepted":     {events{waits, accepted}, invitation.Revoke{}, nil, commonv1.Reason_INVITATION_STATE},
		"revoke nothing":          {nil, invitation.Revoke{}, nil, commonv1.Reason_NOT_FOUND},
		"resend":                  {events{waits}, invitation.Resend{At: now, LastLetter: long}, events{resent}, 0},
		"resend the expired":      {events{expired}, invitation.Resend{At: now, LastLetter: long}, events{resent}, 0},
		"resend at once":          {events{waits}, invitation.Resend{At: now, LastLetter: long.Add(1)}, nil, commonv1.Reason_RATE_LIMITED},
		"resend, the clock back":  {events{waits}, invitation.Resend{At: now, LastLetter: now.Add(time.Hour)}, nil, commonv1.Reason_RATE_LIMITED},
		"resend the accepted":     {events{waits, accepted}, invitation.Resend{At: now, LastLetter: long}, nil, commonv1.Reason_INVITATION_STATE},
		"resend the revoked":      {events{waits, revoked}, invitation.Resend{At: now, LastLetter: long}, nil, commonv1.Reason_INVITATION_STATE},
		"resend once too often":   {often, invitation.Resend{At: now, LastLetter: long}, nil, commonv1.Reason_LIMIT_REACHED},
		"resend nothing":          {nil, invitation.Resend{At: now}, nil, commonv1.Reason_NOT_FOUND},
		"another's events change": {events{waits, &eventv1.InvitationRevoked{Invitation: earlier}}, invitation.Accept{User: zoe, At: now}, events{accepted}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := tc.when.Decide(state(tc.given...))
			check(t, events, err, tc.then, tc.want)
			if f, ok := fault.As(err); ok && f.Reason == commonv1.Reason_RATE_LIMITED && f.RetryAfter > invitation.BetweenLetters {
				t.Errorf("retry after %s", f.RetryAfter)
			}
		})
	}
}

func TestSecret(t *testing.T) {
	text, stored := invitation.NewSecret(invited, bearer.Random{1})
	name, hash, err := invitation.ParseSecret(text)
	if err != nil || name != invited || !hash.Equal(stored[:]) {
		t.Fatalf("%s, %v", name, err)
	}
	other, _ := invitation.NewSecret(invited, bearer.Random{2})
	if _, hash, _ := invitation.ParseSecret(other); hash.Equal(stored[:]) {
		t.Error("another secret opens it")
	}
	for _, s := range []string{"", "miv_", text.Reveal()[1:], text.Reveal() + "0", "mat" + text.Reveal()[3:], text.Reveal()[:50] + "!" + text.Reveal()[51:]} {
		if _, _, err := invitation.ParseSecret(secret.NewString(s)); !fault.Is(err, commonv1.Reason_INVITATION_REJECTED) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
