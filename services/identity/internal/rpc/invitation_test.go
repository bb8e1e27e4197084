package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// hosts invite people.
type hosts struct {
	*people

	invitations *rpc.Invitations
}

func newHosts(t *testing.T) *hosts {
	t.Helper()
	p := newPeople(t)
	return &hosts{people: p, invitations: &rpc.Invitations{
		DB: p.db, Log: p.log, Clock: p.users.Clock, Users: p.users, Memberships: p.memberships,
	}}
}

func (h *hosts) invite(t *testing.T, org, email string, groups ...string) (name, secret string) {
	t.Helper()
	made, err := h.invitations.CreateInvitation(h.ctx, &identityv1.CreateInvitationRequest{
		Organization: org, Email: email, Groups: groups, WithoutLetter: true, IdempotencyKey: h.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetInvitation().GetId(), made.GetSecret()
}

func (h *hosts) accept(secret, user string) (*identityv1.AcceptInvitationResponse, error) {
	req := &identityv1.AcceptInvitationRequest{Secret: secret, IdempotencyKey: h.key()}
	if user == "" {
		req.Who = &identityv1.AcceptInvitationRequest_NewUser{NewUser: &identityv1.NewUser{Name: "Zoe"}}
	} else {
		req.Who = &identityv1.AcceptInvitationRequest_User{User: user}
	}
	return h.invitations.AcceptInvitation(h.ctx, req)
}

func (h *hosts) state(t *testing.T, org, name string) *identityv1.Invitation {
	t.Helper()
	found, err := h.invitations.GetInvitation(h.ctx, &identityv1.GetInvitationRequest{Organization: org, Invitation: name})
	if err != nil {
		t.Fatal(err)
	}
	return found.GetInvitation()
}

const (
	pending  = identityv1.InvitationState_INVITATION_STATE_PENDING
	accepted = identityv1.InvitationState_INVITATION_STATE_ACCEPTED
	revoked  = identityv1.InvitationState_INVITATION_STATE_REVOKED
	expired  = identityv1.InvitationState_INVITATION_STATE_EXPIRED
)

// Somebody new accepts: a user with the address, a membership with its source, and
// the groups that there still are.
func TestInvitationOfSomebodyNew(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	ops, gone := h.group(t, org, "ops"), h.group(t, org, "gone")
	name, secret := h.invite(t, org, "Zoe@Example.com", ops, gone)
	if i := h.state(t, org, name); i.GetState() != pending || i.GetEmail() != "Zoe@Example.com" {
		t.Errorf("made: %v", i)
	}
	if _, err := h.groups.DeleteGroup(h.ctx, &identityv1.DeleteGroupRequest{Organization: org, Group: gone, IdempotencyKey: h.key()}); err != nil {
		t.Fatal(err)
	}
	answer, err := h.accept(secret, "")
	if err != nil {
		t.Fatal(err)
	}
	m := answer.GetMembership()
	if m.GetSource() != identityv1.MembershipSource_MEMBERSHIP_SOURCE_INVITATION || m.GetSourceRef() != name || m.GetEmail() != "Zoe@Example.com" || m.GetName() != "Zoe" {
		t.Errorf("membership: %v", m)
	}
	revisions, err := revision.Parse(answer.GetRevision())
	if _, ok := revision.Find(revisions, m.GetUser()); err != nil || !ok || len(revisions) != 2 {
		t.Errorf("revision names %v, %v", revisions, err)
	}
	if members, _ := h.membersOf(t, org, ops, 10); len(members) != 1 || members[0] != m.GetUser() {
		t.Errorf("in the group: %v", members)
	}
	if i := h.state(t, org, name); i.GetState() != accepted || i.GetEmail() != "" || i.GetUser() != m.GetUser() {
		t.Errorf("after: %v", i)
	}
	if _, err := h.accept(secret, ""); !fault.Is(err, commonv1.Reason_INVITATION_REJECTED) {
		t.Errorf("accepted again: %v", err)
	}
	h.verify(t, org)
	h.verify(t, m.GetUser())
}

func TestInvitationOfAUser(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	zoe := h.user(t, h.ctx, "zoe@example.com", "Zoe")
	name, secret := h.invite(t, org, "zoe@example.com")
	_, err := h.accept(secret, "")
	wantFault(t, err, commonv1.Reason_ALREADY_EXISTS, "email") // she must sign in
	if _, err := h.accept(secret, id.New(id.User)); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("accepted by nobody: %v", err)
	}
	if i := h.state(t, org, name); i.GetState() != pending {
		t.Errorf("after refusals: %v", i)
	}
	if _, err := h.accept(secret, zoe); err != nil {
		t.Fatal(err)
	}
	_, err = h.invitations.CreateInvitation(h.ctx, &identityv1.CreateInvitationRequest{
		Organization: org, Email: "ZOE@example.com", WithoutLetter: true, IdempotencyKey: h.key(),
	})
	wantFault(t, err, commonv1.Reason_ALREADY_EXISTS, "email")
	h.verify(t, org)
	h.verify(t, zoe)
}

func TestInvitationIsRefused(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	zoe := h.user(t, h.ctx, "zoe@example.com", "Zoe")
	if _, err := h.users.SuspendUser(h.ctx, &identityv1.SuspendUserRequest{User: zoe, IdempotencyKey: h.key()}); err != nil {
		t.Fatal(err)
	}
	_, secret := h.invite(t, org, "zoe@example.com")
	if _, err := h.accept(secret, zoe); !fault.Is(err, commonv1.Reason_USER_SUSPENDED) {
		t.Errorf("suspended: %v", err)
	}
	_, late := h.invite(t, org, "late@example.com")
	h.advance(8 * 24 * time.Hour)
	before := h.head(t, org)
	for what, secret := range map[string]string{"late": late, "malformed": "miv_x", "another": late[:len(late)-9] + "x" + late[len(late)-8:]} {
		if _, err := h.accept(secret, ""); !fault.Is(err, commonv1.Reason_INVITATION_REJECTED) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if h.head(t, org) != before {
		t.Error("a refusal was recorded")
	}
	own := adminOf(t, org)
	_, err := h.invitations.CreateInvitation(own, &identityv1.CreateInvitationRequest{
		Organization: org, Email: "x@example.com", WithoutLetter: true, IdempotencyKey: h.key(),
	})
	wantFault(t, err, commonv1.Reason_ACCESS_DENIED, "without_letter")
	_, err = h.invitations.CreateInvitation(own, &identityv1.CreateInvitationRequest{Organization: org, Email: "x@example.com", IdempotencyKey: h.key()})
	if !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
		t.Errorf("without mail: %v", err)
	}
	_, err = h.invitations.CreateInvitation(h.ctx, &identityv1.CreateInvitationRequest{
		Organization: org, Email: "x@example.com", Groups: []string{id.New(id.Group)}, WithoutLetter: true, IdempotencyKey: h.key(),
	})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "groups")
}

// Another letter has another secret, and the one before opens nothing.
func TestResendInvitation(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	name, first := h.invite(t, org, "zoe@example.com")
	resend := func() (*identityv1.ResendInvitationResponse, error) {
		return h.invitations.ResendInvitation(h.ctx, &identityv1.ResendInvitationRequest{
			Organization: org, Invitation: name, WithoutLetter: true, IdempotencyKey: h.key(),
		})
	}
	if _, err := resend(); !fault.Is(err, commonv1.Reason_RATE_LIMITED) {
		t.Errorf("at once: %v", err)
	}
	h.advance(8 * 24 * time.Hour)
	if i := h.state(t, org, name); i.GetState() != expired {
		t.Errorf("after a week: %v", i)
	}
	again, err := resend()
	if err != nil || again.GetInvitation().GetState() != pending || again.GetSecret() == "" || again.GetSecret() == first {
		t.Fatalf("%v, %v", again, err)
	}
	if _, err := h.accept(first, ""); !fault.Is(err, commonv1.Reason_INVITATION_REJECTED) {
		t.Errorf("the first secret: %v", err)
	}
	if _, err := h.accept(again.GetSecret(), ""); err != nil {
		t.Errorf("the second secret: %v", err)
	}
	h.verify(t, org)
}

// An address can be invited anew once its invitation has expired or was revoked.
func TestInviteAgain(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	first, _ := h.invite(t, org, "zoe@example.com")
	_, err := h.invitations.CreateInvitation(h.ctx, &identityv1.CreateInvitationRequest{
		Organization: org, Email: "zoe@EXAMPLE.com", WithoutLetter: true, IdempotencyKey: h.key(),
	})
	wantFault(t, err, commonv1.Reason_ALREADY_EXISTS, "email")
	h.advance(8 * 24 * time.Hour)
	second, _ := h.invite(t, org, "zoe@example.com")
	for range 2 {
		if _, err := h.invitations.RevokeInvitation(h.ctx, &identityv1.RevokeInvitationRequest{Organization: org, Invitation: second, IdempotencyKey: h.key()}); err != nil {
			t.Fatal(err)
		}
	}
	third, _ := h.invite(t, org, "zoe@example.com")
	for name, want := range map[string]identityv1.InvitationState{first: revoked, second: revoked, third: pending} {
		if i := h.state(t, org, name); i.GetState() != want || (i.GetEmail() == "") != (want == revoked) {
			t.Errorf("%v, want %v", i, want)
		}
	}
	h.list(t, org, map[identityv1.InvitationState]int{0: 3, pending: 1, revoked: 2, expired: 0, accepted: 0})
	h.verify(t, org)
}

func (h *hosts) list(t *testing.T, org string, want map[identityv1.InvitationState]int) {
	t.Helper()
	for state, n := range want {
		var got []*identityv1.Invitation
		for cursor := ""; ; {
			answer, err := h.invitations.ListInvitations(h.ctx, &identityv1.ListInvitationsRequest{Organization: org, State: state, PageSize: 1, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, answer.GetInvitations()...)
			if cursor = answer.GetNextCursor(); cursor == "" {
				break
			}
		}
		if len(got) != n {
			t.Errorf("%v: %d listed, want %d", state, len(got), n)
		}
	}
}

// One invitation makes one member, however many accept it at once.
func TestInvitationIsAcceptedOnce(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	_, secret := h.invite(t, org, "zoe@example.com")
	users := []string{"", "", ""}
	for i := range 5 {
		users = append(users, h.user(t, h.ctx, fmt.Sprintf("friend%d@example.com", i), "Friend"))
	}
	var wins atomic.Int32
	var wait sync.WaitGroup
	for _, user := range users {
		wait.Go(func() {
			_, err := h.accept(secret, user)
			switch {
			case err == nil:
				wins.Add(1)
			case !fault.Is(err, commonv1.Reason_INVITATION_REJECTED):
				t.Errorf("refused with %v", err)
			}
		})
	}
	wait.Wait()
	members, err := h.memberships.ListMembers(h.ctx, &identityv1.ListMembersRequest{Organization: org})
	if err != nil || wins.Load() != 1 || len(members.GetMemberships()) != 1 {
		t.Errorf("%d accepted it, members %v, %v", wins.Load(), members, err)
	}
	h.verify(t, org)
}

// A repeated call gets the first outcome, without the secret.
func TestInvitationIsRepeated(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	create := &identityv1.CreateInvitationRequest{Organization: org, Email: "zoe@example.com", WithoutLetter: true, IdempotencyKey: h.key()}
	first, err := h.invitations.CreateInvitation(h.ctx, create)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.invitations.CreateInvitation(h.ctx, create)
	if err != nil || again.GetInvitation().GetId() != first.GetInvitation().GetId() || again.GetInvitation().GetEmail() != "zoe@example.com" ||
		again.GetSecret() != "" || again.GetRevision() != first.GetRevision() {
		t.Errorf("created again: %v, %v", again, err)
	}
	accept := &identityv1.AcceptInvitationRequest{
		Secret: first.GetSecret(), Who: &identityv1.AcceptInvitationRequest_NewUser{NewUser: &identityv1.NewUser{}}, IdempotencyKey: h.key(),
	}
	one, err := h.invitations.AcceptInvitation(h.ctx, accept)
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.invitations.AcceptInvitation(h.ctx, accept)
	if err != nil || two.GetMembership().GetUser() != one.GetMembership().GetUser() || two.GetRevision() != one.GetRevision() {
		t.Errorf("accepted again: %v, %v", two, err)
	}
}

// The log, the outcomes and the rows of what is over hold no address.
func TestInvitationForgetsTheAddress(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	name, _ := h.invite(t, org, "canary-address@example.com")
	if _, err := h.invitations.RevokeInvitation(h.ctx, &identityv1.RevokeInvitationRequest{Organization: org, Invitation: name, IdempotencyKey: h.key()}); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		`SELECT envelope FROM log.events`, `SELECT outcome FROM log.idempotency`,
		`SELECT convert_to(coalesce(email, ''), 'UTF8') FROM identity.invitations`,
	} {
		rows, err := h.db.Pool().Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		values, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil || len(values) == 0 {
			t.Fatal(values, err)
		}
		if bytes.Contains(bytes.Join(values, nil), []byte("canary-address")) {
			t.Errorf("%s holds the address", query)
		}
	}
	var wrapped []byte
	err := h.db.Pool().QueryRow(t.Context(), `SELECT k.wrapped FROM log.user_keys k JOIN identity.invitations i ON i.invitee = k.user_id`).Scan(&wrapped)
	if err != nil || wrapped != nil {
		t.Errorf("the key of the address: %d bytes, %v", len(wrapped), err)
	}
}

// On behalf of a user the secret is not for the caller to have.
func TestInvitationOnBehalf(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	ctx := principal.With(t.Context(), principal.Principal{
		Kind: principal.APIToken, ID: id.New(id.Token), Level: commonv1.Level_LEVEL_ADMIN, OnBehalfOf: id.New(id.User),
	})
	_, err := h.invitations.CreateInvitation(context.WithoutCancel(ctx), &identityv1.CreateInvitationRequest{
		Organization: org, Email: "x@example.com", WithoutLetter: true, IdempotencyKey: h.key(),
	})
	wantFault(t, err, commonv1.Reason_ACCESS_DENIED, "without_letter")
}

// Whoever is erased is invited nowhere any more; and an invitation that nobody
// answered is kept for 30 days after it has expired.
func TestInvitationsEnd(t *testing.T) {
	h := newHosts(t)
	h.users.Invitations = h.invitations
	acme, globex := h.organization(t, h.ctx, "acme"), h.organization(t, h.ctx, "globex")
	zoe := h.user(t, h.ctx, "zoe@example.com", "Zoe")
	one, _ := h.invite(t, acme, "zoe@example.com")
	two, _ := h.invite(t, globex, "Zoe@example.com")
	other, _ := h.invite(t, globex, "other@example.com")
	if _, err := h.users.EraseUser(h.ctx, &identityv1.EraseUserRequest{User: zoe, IdempotencyKey: h.key()}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct {
		org, name string
		want      identityv1.InvitationState
	}{{acme, one, revoked}, {globex, two, revoked}, {globex, other, pending}} {
		if i := h.state(t, at.org, at.name); i.GetState() != at.want || (i.GetEmail() == "") != (at.want == revoked) {
			t.Errorf("%v, want %v", i, at.want)
		}
	}
	h.advance(36 * 24 * time.Hour)
	if n, err := h.invitations.Expire(t.Context(), "eu-west"); n != 0 || err != nil || h.state(t, globex, other).GetState() != expired {
		t.Errorf("29 days after it expired: %d, %v", n, err)
	}
	h.advance(2 * 24 * time.Hour)
	if n, err := h.invitations.Expire(t.Context(), "us-east"); n != 0 || err != nil {
		t.Errorf("another region's: %d, %v", n, err)
	}
	if n, err := h.invitations.Expire(t.Context(), "eu-west"); n != 1 || err != nil || h.state(t, globex, other).GetState() != revoked {
		t.Errorf("31 days after it expired: %d, %v", n, err)
	}
	h.verify(t, acme)
	h.verify(t, globex)
	h.verify(t, zoe)
}

// Whoever has the secret sees the invitation, and may decline it; whether it is one's own
// the address says.
func TestInvitationIsLookedUpAndDeclined(t *testing.T) {
	h := newHosts(t)
	org := h.organization(t, h.ctx, "acme")
	verified, err := h.users.CreateUser(h.ctx, &identityv1.CreateUserRequest{Email: "zoe@example.com", EmailVerified: true, Name: "Zoe", IdempotencyKey: h.key()})
	if err != nil {
		t.Fatal(err)
	}
	zoe, bob := verified.GetUser().GetId(), h.user(t, h.ctx, "bob@example.com", "Bob")
	name, secret := h.invite(t, org, "Zoe@Example.com")
	lookUp := func(secret, user string) (*identityv1.LookUpInvitationResponse, error) {
		return h.invitations.LookUpInvitation(h.ctx, &identityv1.LookUpInvitationRequest{Secret: secret, User: user})
	}
	for user, addressed := range map[string]bool{"": false, zoe: true, bob: false, id.New(id.User): false} {
		found, err := lookUp(secret, user)
		if err != nil {
			t.Fatal(err)
		}
		if i := found.GetInvitation(); i.GetId() != name || i.GetEmail() != "Zoe@Example.com" || found.GetOrganizationName() == "" || found.GetAddressed() != addressed {
			t.Errorf("for %q: %v, want addressed %t", user, found, addressed)
		}
	}
	other := secret[:len(secret)-8] + "00000000"
	_, err = lookUp(other, zoe)
	wantFault(t, err, commonv1.Reason_INVITATION_REJECTED, "")
	decline := func(secret, key string) error {
		_, err := h.invitations.DeclineInvitation(h.ctx, &identityv1.DeclineInvitationRequest{Secret: secret, IdempotencyKey: key})
		return err
	}
	wantFault(t, decline(other, h.key()), commonv1.Reason_INVITATION_REJECTED, "")
	key := h.key()
	for range 2 { // a repeated call has the first outcome
		if err := decline(secret, key); err != nil {
			t.Fatal(err)
		}
	}
	wantFault(t, decline(secret, h.key()), commonv1.Reason_INVITATION_REJECTED, "")
	_, err = lookUp(secret, zoe)
	wantFault(t, err, commonv1.Reason_INVITATION_REJECTED, "")
	_, err = h.accept(secret, zoe)
	wantFault(t, err, commonv1.Reason_INVITATION_REJECTED, "")
	if i := h.state(t, org, name); i.GetState() != revoked || i.GetEmail() != "" {
		t.Errorf("after: %v", i)
	}
	h.verify(t, org)
}
