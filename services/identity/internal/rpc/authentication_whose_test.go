package rpc_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func TestOrganizationsDecide(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	org := d.organization(t, ctx, "acme")
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	in := func(r *identityv1.StartAuthenticationRequest) { r.Organization = org }
	b := d.browser(ctx, "203.0.113.7")
	settings := func(s *identityv1.OrganizationSettings) {
		t.Helper()
		_, err := d.organizations.UpdateOrganization(ctx, &identityv1.UpdateOrganizationRequest{Organization: org, Settings: s, IdempotencyKey: key()})
		must(t, err)
	}
	settings(&identityv1.OrganizationSettings{RequireSecondFactor: true, SignInMethods: []string{"password"}})
	must(t, b.start(signIn, ada, in))
	if b.left() != "password" {
		t.Errorf("left %s", b.left())
	}
	wants(t, b.request(byCode), commonv1.Reason_FACTOR_UNAVAILABLE)
	must(t, b.prove(text(goodText)))
	if got := b.result(t, user, "aal1", "pwd"); !got.GetSecondFactorMissing() {
		t.Error("nobody is told that a second factor is missing")
	}
	wants(t, b.start(signIn, ada, func(r *identityv1.StartAuthenticationRequest) { r.Organization = id.New(id.Organization) }), commonv1.Reason_NOT_FOUND)

	must(t, b.start(signIn, ada, in))
	must(t, b.prove(text(goodText)))
	_, err := d.organizations.SuspendOrganization(ctx, &identityv1.SuspendOrganizationRequest{Organization: org, IdempotencyKey: key()})
	must(t, err)
	_, err = b.finish()
	wants(t, err, commonv1.Reason_ORGANIZATION_STATE)
	wants(t, b.start(signIn, ada, in), commonv1.Reason_ORGANIZATION_STATE)
}

func TestIsolatedOrganizationsHaveTheirOwnUsers(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	made, err := d.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
		Slug: "acme", Name: "Acme", Mode: identityv1.OrganizationMode_ORGANIZATION_MODE_ISOLATED, IdempotencyKey: key(),
	})
	must(t, err)
	org := made.GetOrganization().GetId()
	in := func(r *identityv1.StartAuthenticationRequest) { r.Organization = org }
	outside := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, outside, goodText)
	passkeyOutside := newAuthenticator(outside, true)
	d.register(t, ctx, outside, passkeyOutside)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada, in))
	wants(t, b.prove(text(goodText)), commonv1.Reason_AUTHENTICATION_REJECTED)
	must(t, b.start(signIn, "", in))
	must(t, b.request(byPasskey))
	wants(t, b.prove(with(passkeyOutside.sign(t, b.options))), commonv1.Reason_AUTHENTICATION_REJECTED)

	must(t, b.start(signUp, ada, in))
	must(t, b.request(byCode))
	must(t, b.prove(with(d.code(t, ada))))
	got := b.result(t, "", "aal1", "otp")
	if !got.GetCreated() || got.GetUser() == outside {
		t.Errorf("signed up as %s", got.GetUser())
	}
	inside, err := d.users.GetUser(ctx, &identityv1.GetUserRequest{User: got.GetUser()})
	must(t, err)
	if inside.GetUser().GetRealm() != org {
		t.Errorf("realm %q", inside.GetUser().GetRealm())
	}
	wants(t, b.start(stepUp, "", in, func(r *identityv1.StartAuthenticationRequest) { r.User = outside }), commonv1.Reason_NOT_FOUND)
}

func TestSuspendedUsers(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	b, late := d.browser(ctx, "203.0.113.7"), d.browser(ctx, "203.0.113.7")
	must(t, late.start(signIn, ada))
	must(t, late.prove(text(goodText)))
	_, err := d.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: user, IdempotencyKey: key()})
	must(t, err)
	_, err = late.finish()
	wants(t, err, commonv1.Reason_USER_SUSPENDED)
	must(t, b.start(signIn, ada))
	wants(t, b.prove(text("wrong horse battery")), commonv1.Reason_AUTHENTICATION_REJECTED)
	wants(t, b.prove(text(goodText)), commonv1.Reason_USER_SUSPENDED)
	wants(t, b.prove(text(goodText)), commonv1.Reason_AUTHENTICATION_ENDED)
	wants(t, b.start(stepUp, "", func(r *identityv1.StartAuthenticationRequest) { r.User = user }), commonv1.Reason_USER_SUSPENDED)
}

func TestErasedUsers(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	d.addTOTP(t, ctx, user)
	d.register(t, ctx, user, newAuthenticator(user, true))
	d.recoveryCodes(t, ctx, user)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	_, err := d.users.EraseUser(ctx, &identityv1.EraseUserRequest{User: user, IdempotencyKey: key()})
	must(t, err)
	wants(t, b.prove(text(goodText)), commonv1.Reason_AUTHENTICATION_ENDED)
	must(t, b.start(signIn, ada))
	wants(t, b.prove(text(goodText)), commonv1.Reason_AUTHENTICATION_REJECTED)
	wants(t, b.start(stepUp, "", func(r *identityv1.StartAuthenticationRequest) { r.User = user }), commonv1.Reason_USER_ERASED)
	for _, table := range []string{"credentials", "passkeys"} {
		var n int
		must(t, d.db.Pool().QueryRow(ctx, "SELECT count(*) FROM identity."+table).Scan(&n))
		if n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	d.verify(t, user)
}
