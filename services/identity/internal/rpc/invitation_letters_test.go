package rpc_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// An organization does not send letter after letter to one address by revoking its
// invitation and making another.
func TestInvitationLettersAreThrottled(t *testing.T) {
	d := newDoor(t)
	h := &hosts{people: &people{fixture: d.fixture, ctx: admin(t)}}
	h.invitations = &rpc.Invitations{
		DB: d.db, Log: d.log, Clock: d.users.Clock, Users: d.users, Memberships: d.memberships, Post: d.auth.Post,
	}
	org, other := d.organization(t, h.ctx, "acme"), d.organization(t, h.ctx, "globex")
	again := func(org, email string) error {
		made, err := h.invitations.CreateInvitation(adminOf(t, org), &identityv1.CreateInvitationRequest{Organization: org, Email: email, IdempotencyKey: key()})
		if err != nil {
			return err
		}
		_, err = h.invitations.RevokeInvitation(adminOf(t, org), &identityv1.RevokeInvitationRequest{
			Organization: org, Invitation: made.GetInvitation().GetId(), IdempotencyKey: key(),
		})
		return err
	}
	sent := 0
	for range 20 {
		err := again(org, "Victim@example.com")
		if err == nil {
			sent++
		} else if f, _ := fault.As(err); !fault.Is(err, commonv1.Reason_RATE_LIMITED) || f.RetryAfter <= 0 {
			t.Fatalf("refused with %v", err)
		}
	}
	if sent > 6 || d.letters() != sent {
		t.Errorf("%d invitations, %d letters", sent, d.letters())
	}
	must(t, again(org, "somebody@example.com"))
	must(t, again(other, "victim@example.com"))
	d.advance(time.Hour)
	must(t, again(org, "victim@example.com"))
}
