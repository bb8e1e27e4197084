package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
)

// result finishes an authentication and compares what it has found out.
func (b *browser) result(t *testing.T, user, acr, amr string) *identityv1.FinishAuthenticationResponse {
	t.Helper()
	if b.seen.GetState() != identityv1.AuthenticationState_AUTHENTICATION_STATE_COMPLETE {
		t.Fatalf("not complete: left %s", b.left())
	}
	got, err := b.finish()
	must(t, err)
	if user != "" && got.GetUser() != user || got.GetAcr() != acr || strings.Join(got.GetAmr(), " ") != amr {
		t.Errorf("result %s %s %v; want %s %s %s", got.GetUser(), got.GetAcr(), got.GetAmr(), user, acr, amr)
	}
	if got.GetDevice() == "" || got.GetRevision() == "" || got.GetAuthenticatedAt() == nil {
		t.Errorf("result %v", got)
	}
	_, err = b.finish()
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)
	b.verify(t, got.GetUser())
	return got
}

func TestSignInWithPassword(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, "ADA@example.com"))
	if b.left() != "passkey password email_code email_link" {
		t.Errorf("left %s", b.left())
	}
	wants(t, b.prove(text("wrong horse battery")), commonv1.Reason_AUTHENTICATION_REJECTED)
	_, err := b.finish()
	wants(t, err, commonv1.Reason_FACTOR_UNAVAILABLE)
	must(t, b.prove(text(goodText)))
	wants(t, b.prove(text(goodText)), commonv1.Reason_FACTOR_UNAVAILABLE)
	got, err := b.auth.GetAuthentication(ctx, &identityv1.GetAuthenticationRequest{Authentication: b.id, Secret: b.secret})
	must(t, err)
	if len(got.GetAuthentication().GetFactorsDone()) != 1 {
		t.Errorf("done %v", got.GetAuthentication().GetFactorsDone())
	}
	b.result(t, user, "aal1", "pwd")
	listed, err := d.cred.ListCredentials(ctx, &identityv1.ListCredentialsRequest{User: user})
	must(t, err)
	if c := listed.GetCredentials(); len(c) != 1 || c[0].GetLastUsedAt() == nil || c[0].GetKind() != identityv1.CredentialKind_CREDENTIAL_KIND_PASSWORD {
		t.Errorf("listed %v", c)
	}
}

func TestSignInWithPasswordAndTOTP(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	seed := d.addTOTP(t, ctx, user)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	must(t, b.prove(text(goodText)))
	if b.left() != "totp" {
		t.Errorf("left %s", b.left())
	}
	// The code of the registration is used up.
	wants(t, b.prove(with(d.totp(t, seed))), commonv1.Reason_AUTHENTICATION_REJECTED)
	d.advance(30 * time.Second)
	code := d.totp(t, seed)
	must(t, b.prove(with(code)))
	b.result(t, user, "aal2", "pwd otp mfa")

	// And so is that of the sign-in, in another one.
	must(t, b.start(signIn, ada))
	must(t, b.prove(text(goodText)))
	wants(t, b.prove(with(code)), commonv1.Reason_AUTHENTICATION_REJECTED)
}

func TestSignInWithPasskey(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	key := newAuthenticator(user, true)
	d.register(t, ctx, user, key)
	for _, email := range []string{"", ada} {
		b := d.browser(ctx, "203.0.113.7")
		must(t, b.start(signIn, email, func(r *identityv1.StartAuthenticationRequest) { r.Acr = "aal2" }))
		must(t, b.request(byPasskey))
		if strings.Contains(b.options, "allowCredentials") {
			t.Errorf("options name credentials: %s", b.options)
		}
		signed := key.sign(t, b.options)
		must(t, b.prove(with(signed)))
		wants(t, b.prove(with(signed)), commonv1.Reason_FACTOR_UNAVAILABLE)
		b.result(t, user, "aal2", "hwk user mfa")
	}
	// With another user's address it is refused, and with nobody's.
	d.user(t, ctx, "bob@example.com", "Bob")
	for _, email := range []string{"bob@example.com", "nobody@example.com"} {
		b := d.browser(ctx, "203.0.113.7")
		must(t, b.start(signIn, email))
		must(t, b.request(byPasskey))
		wants(t, b.prove(with(key.sign(t, b.options))), commonv1.Reason_AUTHENTICATION_REJECTED)
	}
}

func TestSecurityKeyIsASecondFactor(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	key := newAuthenticator(user, false)
	d.register(t, ctx, user, key)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ""))
	must(t, b.request(byPasskey))
	wants(t, b.prove(with(key.sign(t, b.options))), commonv1.Reason_AUTHENTICATION_REJECTED)
	must(t, b.start(signIn, ada))
	must(t, b.prove(text(goodText)))
	if b.left() != "passkey" {
		t.Errorf("left %s", b.left())
	}
	must(t, b.request(byPasskey))
	must(t, b.prove(with(key.sign(t, b.options))))
	b.result(t, user, "aal2", "pwd hwk mfa")
}

func TestAPasskeyThatIsClonedIsRefused(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	key := newAuthenticator(user, true)
	made := d.register(t, ctx, user, key)
	b := d.browser(ctx, "203.0.113.7")
	in := func() error {
		must(t, b.start(signIn, ""))
		must(t, b.request(byPasskey))
		return b.prove(with(key.sign(t, b.options)))
	}
	must(t, in())
	key.key.Counter = 0 // the clone's
	wants(t, in(), commonv1.Reason_AUTHENTICATION_REJECTED)
	key.key.Counter = 100
	wants(t, in(), commonv1.Reason_AUTHENTICATION_REJECTED)
	listed, err := d.cred.ListCredentials(ctx, &identityv1.ListCredentialsRequest{User: user})
	must(t, err)
	if c := listed.GetCredentials(); len(c) != 1 || c[0].GetId() != made.GetId() || !c[0].GetPasskey().GetFlagged() {
		t.Errorf("listed %v", c)
	}
	if head, err := d.log.Head(ctx, d.db.Pool(), user); err != nil || head.Sequence != 3 {
		t.Errorf("head %d, %v; want 3: user, passkey, flagged once", head.Sequence, err)
	}
	d.verify(t, user)
}

func TestSignInByEmail(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	must(t, b.request(byCode))
	must(t, b.prove(with(d.code(t, ada))))
	b.result(t, user, "aal1", "otp")

	must(t, b.start(signIn, ada))
	must(t, b.request(byLink))
	token := d.link(t, ada)
	// In another browser the link opens nothing.
	other := d.browser(ctx, "203.0.113.7")
	must(t, other.start(signIn, ada))
	must(t, other.request(byLink))
	wants(t, other.prove(with(token)), commonv1.Reason_AUTHENTICATION_REJECTED)
	must(t, b.prove(with(token)))
	wants(t, b.prove(with(token)), commonv1.Reason_FACTOR_UNAVAILABLE)
	b.result(t, user, "aal1", "otp")

	// A code that was requested again, and one that is old.
	must(t, b.start(signIn, ada))
	must(t, b.request(byCode))
	first := d.code(t, ada)
	must(t, b.request(byCode))
	if second := d.code(t, ada); second.EmailCode != first.EmailCode {
		wants(t, b.prove(with(first)), commonv1.Reason_AUTHENTICATION_REJECTED)
	}
	d.advance(10 * time.Minute)
	wants(t, b.prove(with(d.code(t, ada))), commonv1.Reason_FACTOR_UNAVAILABLE)
}

func TestRecovery(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(restore, ada))
	wants(t, b.prove(renewed("another horse battery")), commonv1.Reason_FACTOR_UNAVAILABLE)
	must(t, b.request(byCode))
	if m := d.letter(t, ada); !strings.Contains(m.Subject, "password") && !strings.Contains(strings.ToLower(m.Subject), "recover") {
		t.Errorf("letter %q", m.Subject)
	}
	must(t, b.prove(with(d.code(t, ada))))
	wants(t, b.prove(renewed("too short")), commonv1.Reason_INVALID_FIELD)
	must(t, b.prove(renewed("another horse battery")))
	if !strings.Contains(d.letter(t, ada).Subject, "changed") {
		t.Errorf("not told: %q", d.letter(t, ada).Subject)
	}
	b.result(t, user, "aal1", "otp recovery")
	must(t, b.start(signIn, ada))
	wants(t, b.prove(text(goodText)), commonv1.Reason_AUTHENTICATION_REJECTED)
	must(t, b.prove(text("another horse battery")))
	b.result(t, user, "aal1", "pwd")
}

// What a new password is refused for tells something of the ones before: there are
// few tries. A repeated call is none of them.
func TestFewNewPasswordsAreOffered(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(restore, ada))
	must(t, b.request(byCode))
	must(t, b.prove(with(d.code(t, ada))))
	first := b.attempt(renewed("too short"))
	for range 3 {
		_, err := d.auth.ContinueAuthentication(ctx, first)
		wants(t, err, commonv1.Reason_INVALID_FIELD)
	}
	for range authentication.MaxPasswords - 1 {
		wants(t, b.prove(renewed("too short")), commonv1.Reason_INVALID_FIELD)
	}
	wants(t, b.prove(renewed("another horse battery")), commonv1.Reason_AUTHENTICATION_ENDED)
}

func TestRecoveryAsksForTheSecondFactor(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	d.addTOTP(t, ctx, user)
	codes := d.recoveryCodes(t, ctx, user)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(restore, ada))
	must(t, b.request(byLink))
	must(t, b.prove(with(d.link(t, ada))))
	if b.left() != "totp recovery_code" {
		t.Errorf("left %s", b.left())
	}
	wants(t, b.prove(renewed("another horse battery")), commonv1.Reason_FACTOR_UNAVAILABLE)
	must(t, b.prove(recoveryCode(strings.ToUpper(codes[3]))))
	must(t, b.prove(renewed("another horse battery")))
	b.result(t, user, "aal1", "otp recovery")

	must(t, b.start(signIn, ada))
	must(t, b.prove(text("another horse battery")))
	wants(t, b.prove(recoveryCode(codes[3])), commonv1.Reason_AUTHENTICATION_REJECTED)
	must(t, b.prove(recoveryCode(codes[0])))
	b.result(t, user, "aal1", "pwd recovery")
	listed, err := d.cred.ListCredentials(ctx, &identityv1.ListCredentialsRequest{User: user})
	must(t, err)
	if left := listed.GetCredentials()[2].GetLeft(); left != 8 {
		t.Errorf("%d codes left", left)
	}
}

func TestSignUp(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signUp, "Ada@Example.com", func(r *identityv1.StartAuthenticationRequest) { r.Locale = "de" }))
	must(t, b.request(byCode))
	must(t, b.prove(with(d.code(t, "Ada@example.com"))))
	if b.left() != "new_password" || b.seen.GetState() != identityv1.AuthenticationState_AUTHENTICATION_STATE_COMPLETE {
		t.Errorf("left %s, %v", b.left(), b.seen.GetState())
	}
	must(t, b.prove(renewed(goodText)))
	got := b.result(t, "", "aal1", "otp")
	if !got.GetCreated() {
		t.Error("not created")
	}
	made, err := d.users.GetUser(ctx, &identityv1.GetUserRequest{User: got.GetUser()})
	must(t, err)
	if u := made.GetUser(); u.GetEmail() != "Ada@Example.com" || !u.GetEmailVerified() || u.GetLocale() != "de" {
		t.Errorf("made %v", u)
	}
	must(t, b.start(signIn, ada))
	must(t, b.prove(text(goodText)))
	b.result(t, got.GetUser(), "aal1", "pwd")

	// Whoever signs up with the address is not told that it has a user; the user is.
	must(t, b.start(signUp, ada))
	must(t, b.request(byCode))
	if m := d.letter(t, "Ada@example.com"); codeText.MatchString(m.Text) || !strings.Contains(m.Subject, "Konto") {
		t.Errorf("letter %q with a code: %v", m.Subject, codeText.MatchString(m.Text))
	}
	wants(t, b.prove(with(&identityv1.ContinueAuthenticationRequest_EmailCode{EmailCode: "12345678"})), commonv1.Reason_AUTHENTICATION_REJECTED)
}

func TestStepUp(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	b := d.browser(ctx, "203.0.113.7")
	about := func(acr string, amr ...string) func(*identityv1.StartAuthenticationRequest) {
		return func(r *identityv1.StartAuthenticationRequest) { r.User, r.Acr, r.Amr = user, acr, amr }
	}
	d.setPassword(t, ctx, user, goodText)
	wants(t, b.start(stepUp, "", about("aal2")), commonv1.Reason_FACTOR_UNAVAILABLE)
	must(t, b.start(stepUp, "", about("")))
	if b.left() != "password email_code email_link" {
		t.Errorf("left %s", b.left())
	}
	must(t, b.prove(text(goodText)))
	b.result(t, user, "aal1", "pwd")
	address := func(r *identityv1.StartAuthenticationRequest) {
		r.User, r.ProveAddress, r.Amr = user, true, []string{"pwd"}
	}
	must(t, b.start(stepUp, "", address))
	wants(t, b.prove(text(goodText)), commonv1.Reason_FACTOR_UNAVAILABLE) // a password does not stand in for it
	must(t, b.request(byCode))
	must(t, b.prove(with(d.code(t, ada))))
	b.result(t, user, "aal1", "pwd otp")
	wants(t, b.start(signIn, ada, func(r *identityv1.StartAuthenticationRequest) { r.ProveAddress = true }), commonv1.Reason_INVALID_FIELD)
	seed := d.addTOTP(t, ctx, user)
	d.advance(time.Minute)
	must(t, b.start(stepUp, "", about("aal2", "pwd")))
	if b.left() != "totp" {
		t.Errorf("left %s", b.left())
	}
	must(t, b.prove(with(d.totp(t, seed))))
	b.result(t, user, "aal2", "pwd otp mfa")
	wants(t, b.start(stepUp, "", func(r *identityv1.StartAuthenticationRequest) { r.User = id.New(id.User) }), commonv1.Reason_NOT_FOUND)
	wants(t, b.start(stepUp, ada, about("")), commonv1.Reason_INVALID_FIELD)
	wants(t, b.start(signIn, ada, about("")), commonv1.Reason_INVALID_FIELD)
}
