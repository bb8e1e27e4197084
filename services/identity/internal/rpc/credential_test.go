package rpc_test

import (
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	hashing "golang.org/x/crypto/bcrypt"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
)

func passwordRequest(user, text string) *identityv1.SetPasswordRequest {
	return &identityv1.SetPasswordRequest{
		User: user, Secret: &identityv1.SetPasswordRequest_Password{Password: text}, IdempotencyKey: key(),
	}
}

func TestSetPasswordRefuses(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, "lovelace@example.com", "Augusta")
	list := filepath.Join(t.TempDir(), "breached")
	sum := sha1.Sum([]byte("password123456"))
	must(t, os.WriteFile(list, fmt.Appendf(nil, "%X:3\n", sum), 0o600))
	breached, err := password.Open(list)
	must(t, err)
	t.Cleanup(func() { _ = breached.Close() })
	d.cred.Factors.Breached = breached
	org := d.organization(t, ctx, "acme")
	_, err = d.organizations.UpdateOrganization(ctx, &identityv1.UpdateOrganizationRequest{
		Organization: org, Settings: &identityv1.OrganizationSettings{PasswordMinLength: 20, PasswordHistory: 2}, IdempotencyKey: key(),
	})
	must(t, err)
	for _, text := range []string{"first battery of many horses", "second battery of many horses"} {
		r := passwordRequest(user, text)
		r.Organization = org
		_, err := d.cred.SetPassword(ctx, r)
		must(t, err)
	}
	for name, tc := range map[string]struct {
		change func(*identityv1.SetPasswordRequest)
		want   commonv1.Reason
		rule   string
	}{
		"short": {func(r *identityv1.SetPasswordRequest) {
			r.Secret = &identityv1.SetPasswordRequest_Password{Password: "short"}
		}, commonv1.Reason_INVALID_FIELD, "min_length"},
		"long": {func(r *identityv1.SetPasswordRequest) {
			r.Secret = &identityv1.SetPasswordRequest_Password{Password: strings.Repeat("x", 300)}
		}, commonv1.Reason_INVALID_FIELD, "max_length"},
		"breached": {func(r *identityv1.SetPasswordRequest) {
			r.Secret = &identityv1.SetPasswordRequest_Password{Password: "password123456"}
		}, commonv1.Reason_INVALID_FIELD, "breached"},
		"address": {func(r *identityv1.SetPasswordRequest) {
			r.Secret = &identityv1.SetPasswordRequest_Password{Password: "my LOVELACE password"}
		}, commonv1.Reason_INVALID_FIELD, "identity"},
		"name": {func(r *identityv1.SetPasswordRequest) {
			r.Secret = &identityv1.SetPasswordRequest_Password{Password: "my augusta password"}
		}, commonv1.Reason_INVALID_FIELD, "identity"},
		"the same": {func(r *identityv1.SetPasswordRequest) {
			r.Secret, r.Organization = &identityv1.SetPasswordRequest_Password{Password: "second battery of many horses"}, org
		}, commonv1.Reason_INVALID_FIELD, "history"},
		"former": {func(r *identityv1.SetPasswordRequest) {
			r.Secret, r.Organization = &identityv1.SetPasswordRequest_Password{Password: "first battery of many horses"}, org
		}, commonv1.Reason_INVALID_FIELD, "history"},
		"org's": {func(r *identityv1.SetPasswordRequest) { r.Organization = org }, commonv1.Reason_INVALID_FIELD, "min_length"},
		"a hash": {func(r *identityv1.SetPasswordRequest) {
			r.Secret = &identityv1.SetPasswordRequest_Hash{Hash: "$1$salt$md5"}
		}, commonv1.Reason_INVALID_FIELD, "algorithm"},
		"nobody":  {func(r *identityv1.SetPasswordRequest) { r.User = id.New(id.User) }, commonv1.Reason_NOT_FOUND, ""},
		"nowhere": {func(r *identityv1.SetPasswordRequest) { r.Organization = id.New(id.Organization) }, commonv1.Reason_NOT_FOUND, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := passwordRequest(user, "a good battery")
			tc.change(r)
			_, err := d.cred.SetPassword(ctx, r)
			f, ok := fault.As(err)
			if !ok || f.Reason != tc.want || f.Meta["rule"] != tc.rule {
				t.Errorf("SetPassword: %v (rule %s); want %v, %s", err, f.Meta["rule"], tc.want, tc.rule)
			}
		})
	}
	if head, err := d.log.Head(ctx, d.db.Pool(), user); err != nil || head.Sequence != 3 {
		t.Errorf("head %d, %v; want 3: user and two passwords", head.Sequence, err)
	}
	d.verify(t, user)
}

func TestSetPasswordTwice(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	r := passwordRequest(user, goodText)
	one, err := d.cred.SetPassword(ctx, r)
	must(t, err)
	two, err := d.cred.SetPassword(ctx, r)
	must(t, err)
	if one.GetRevision() != two.GetRevision() || one.GetCredential().GetId() != two.GetCredential().GetId() {
		t.Errorf("repeated: %v and %v", one, two)
	}
	// The key stands for the password: another one is not taken for it.
	r.Secret = &identityv1.SetPasswordRequest_Password{Password: "another horse battery"}
	_, err = d.cred.SetPassword(ctx, r)
	wants(t, err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED)
	if d.letters() != 0 {
		t.Errorf("%d letters about a first password", d.letters())
	}
	three, err := d.cred.SetPassword(ctx, passwordRequest(user, "another horse battery"))
	must(t, err)
	if three.GetCredential().GetId() != one.GetCredential().GetId() || d.letters() != 1 {
		t.Errorf("another password: %v, %d letters", three, d.letters())
	}
	d.verify(t, user)
}

// A repeated call gets the first outcome, though the password is in the history now,
// and also when the user is gone since.
func TestSetPasswordTwiceWithAHistory(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user, org := d.user(t, ctx, ada, "Ada"), d.organization(t, ctx, "acme")
	_, err := d.organizations.UpdateOrganization(ctx, &identityv1.UpdateOrganizationRequest{
		Organization: org, Settings: &identityv1.OrganizationSettings{PasswordHistory: 2}, IdempotencyKey: key(),
	})
	must(t, err)
	r := passwordRequest(user, goodText)
	r.Organization = org
	one, err := d.cred.SetPassword(ctx, r)
	must(t, err)
	two, err := d.cred.SetPassword(ctx, r)
	must(t, err)
	if one.GetRevision() != two.GetRevision() {
		t.Errorf("repeated: %v and %v", one, two)
	}
	_, err = d.users.EraseUser(ctx, &identityv1.EraseUserRequest{User: user, IdempotencyKey: key()})
	must(t, err)
	_, err = d.cred.SetPassword(ctx, r)
	must(t, err)
}

// What the deployment demands of passkeys holds for new ones, and for the verification
// of those that are used.
func TestPasskeysAreAsTheDeploymentDemands(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	authenticator := newAuthenticator(user, false)
	d.register(t, ctx, user, authenticator)
	for rule, demand := range map[string]passkey.Policy{
		"user_verification":  {UserVerification: passkey.Required, ResidentKey: passkey.Preferred},
		"attestation_format": {UserVerification: passkey.Preferred, ResidentKey: passkey.Preferred, Attestation: passkey.AttestationDirect, AllowedFormats: []string{"tpm"}},
	} {
		d.cred.Factors.Registration, d.auth.Factors.Registration = demand, demand
		a := newAuthenticator(user, false)
		begun, err := d.cred.BeginPasskey(ctx, &identityv1.BeginPasskeyRequest{User: user, IdempotencyKey: key()})
		must(t, err)
		_, err = d.cred.FinishPasskey(ctx, &identityv1.FinishPasskeyRequest{
			User: user, Ceremony: begun.GetCeremony(), Response: a.create(t, begun.GetOptions()), Name: "laptop", IdempotencyKey: key(),
		})
		if f, ok := fault.As(err); !ok || f.Reason != commonv1.Reason_CREDENTIAL_REJECTED || f.Meta["rule"] != rule {
			t.Errorf("%s: %v", rule, err)
		}
		b := d.browser(ctx, "203.0.113.7")
		must(t, b.start(signIn, ada))
		must(t, b.prove(text(goodText)))
		must(t, b.request(byPasskey))
		err = b.prove(with(authenticator.sign(t, b.options)))
		if refused := fault.Is(err, commonv1.Reason_AUTHENTICATION_REJECTED); refused != (rule == "user_verification") || !refused && err != nil {
			t.Errorf("%s: the key as a second factor: %v", rule, err)
		}
	}
}

// Without the blind key there is no one to sign in, and nothing panics.
func TestNobodySignsInWithoutTheKey(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	d.auth.Blind, d.cred.Blind = blind.Key{}, blind.Key{}
	wants(t, b.start(signIn, ada), commonv1.Reason_SERVICE_UNAVAILABLE)
	wants(t, b.request(byCode), commonv1.Reason_SERVICE_UNAVAILABLE)
	wants(t, b.prove(text(goodText)), commonv1.Reason_SERVICE_UNAVAILABLE)
	_, err := b.finish()
	wants(t, err, commonv1.Reason_SERVICE_UNAVAILABLE)
	_, err = d.cred.SetPassword(ctx, passwordRequest("usr_00000000000000000000000000", goodText))
	wants(t, err, commonv1.Reason_SERVICE_UNAVAILABLE)
}

// A user who comes from elsewhere signs in with the password of there, whose hash
// is then replaced.
func TestMigratedPasswords(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	foreign, err := hashing.GenerateFromPassword([]byte(goodText), hashing.MinCost)
	must(t, err)
	_, err = d.cred.SetPassword(ctx, &identityv1.SetPasswordRequest{
		User: user, Secret: &identityv1.SetPasswordRequest_Hash{Hash: string(foreign)}, IdempotencyKey: key(),
	})
	must(t, err)
	b := d.browser(ctx, "203.0.113.7")
	for range 2 {
		must(t, b.start(signIn, ada))
		wants(t, b.prove(text("wrong horse battery")), commonv1.Reason_AUTHENTICATION_REJECTED)
		must(t, b.prove(text(goodText)))
		b.result(t, user, "aal1", "pwd")
	}
	var stored string
	must(t, d.db.Pool().QueryRow(ctx, `SELECT hash FROM identity.credentials WHERE user_id = $1`, user).Scan(&stored))
	if !strings.HasPrefix(stored, "$argon2id$") {
		t.Errorf("stored %s", stored)
	}
	if head, err := d.log.Head(ctx, d.db.Pool(), user); err != nil || head.Sequence != 3 {
		t.Errorf("head %d, %v; want 3: user, import, rehash", head.Sequence, err)
	}
}

func TestRegisterPasskeys(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user, other := d.user(t, ctx, ada, "Ada"), d.user(t, ctx, "bob@example.com", "Bob")
	a := newAuthenticator(user, true)
	begin := &identityv1.BeginPasskeyRequest{User: user, IdempotencyKey: key()}
	begun, err := d.cred.BeginPasskey(ctx, begin)
	must(t, err)
	again, err := d.cred.BeginPasskey(ctx, begin)
	must(t, err)
	if again.GetCeremony() != begun.GetCeremony() || again.GetOptions() != begun.GetOptions() {
		t.Error("a repeated call began another ceremony")
	}
	finish := func(user, ceremony, response string) *identityv1.FinishPasskeyRequest {
		return &identityv1.FinishPasskeyRequest{User: user, Ceremony: ceremony, Response: response, Name: "laptop", IdempotencyKey: key()}
	}
	response := a.create(t, begun.GetOptions())
	_, err = d.cred.FinishPasskey(ctx, finish(other, begun.GetCeremony(), response))
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)
	_, err = d.cred.FinishTotp(ctx, &identityv1.FinishTotpRequest{User: user, Ceremony: begun.GetCeremony(), Code: "123456", IdempotencyKey: key()})
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)
	request := finish(user, begun.GetCeremony(), response)
	made, err := d.cred.FinishPasskey(ctx, request)
	must(t, err)
	repeated, err := d.cred.FinishPasskey(ctx, request)
	must(t, err)
	if repeated.GetCredential().GetName() != "laptop" || repeated.GetCredential().GetId() != made.GetCredential().GetId() {
		t.Errorf("repeated: %v", repeated)
	}
	_, err = d.cred.FinishPasskey(ctx, finish(user, begun.GetCeremony(), response))
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)

	// Its authenticator is not registered twice, and not for another user.
	second, err := d.cred.BeginPasskey(ctx, &identityv1.BeginPasskeyRequest{User: user, IdempotencyKey: key()})
	must(t, err)
	_, err = d.cred.FinishPasskey(ctx, finish(user, second.GetCeremony(), a.create(t, second.GetOptions())))
	if f, _ := fault.As(err); f == nil || f.Reason != commonv1.Reason_CREDENTIAL_REJECTED || f.Meta["rule"] != "excluded" {
		t.Errorf("registered again: %v", err)
	}
	_, err = d.cred.FinishPasskey(ctx, finish(user, second.GetCeremony(), newAuthenticator(user, true).create(t, second.GetOptions())))
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED) // a challenge is for one use
	third, err := d.cred.BeginPasskey(ctx, &identityv1.BeginPasskeyRequest{User: other, IdempotencyKey: key()})
	must(t, err)
	_, err = d.cred.FinishPasskey(ctx, finish(other, third.GetCeremony(), a.create(t, third.GetOptions())))
	wants(t, err, commonv1.Reason_ALREADY_EXISTS)

	late, err := d.cred.BeginPasskey(ctx, &identityv1.BeginPasskeyRequest{User: user, IdempotencyKey: key()})
	must(t, err)
	d.advance(10 * time.Minute)
	_, err = d.cred.FinishPasskey(ctx, finish(user, late.GetCeremony(), newAuthenticator(user, true).create(t, late.GetOptions())))
	wants(t, err, commonv1.Reason_AUTHENTICATION_ENDED)
	d.verify(t, user)
	d.verify(t, other)
}

func TestAddTOTP(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	begin := &identityv1.BeginTotpRequest{User: user, IdempotencyKey: key()}
	begun, err := d.cred.BeginTotp(ctx, begin)
	must(t, err)
	again, err := d.cred.BeginTotp(ctx, begin)
	must(t, err)
	if again.GetSecret() != begun.GetSecret() || again.GetUri() != begun.GetUri() || !strings.Contains(begun.GetUri(), "ada%40example.com") {
		t.Error("a repeated call made another secret")
	}
	try := func(code string) error {
		_, err := d.cred.FinishTotp(ctx, &identityv1.FinishTotpRequest{
			User: user, Ceremony: begun.GetCeremony(), Code: code, Name: "phone", IdempotencyKey: key(),
		})
		return err
	}
	for range 4 {
		wants(t, try("000000"), commonv1.Reason_CREDENTIAL_REJECTED)
	}
	must(t, try(d.totp(t, begun.GetSecret()).Totp))
	wants(t, try(d.totp(t, begun.GetSecret()).Totp), commonv1.Reason_AUTHENTICATION_ENDED)
	for range 4 {
		d.advance(time.Minute)
		d.addTOTP(t, ctx, user)
	}
	_, err = d.cred.BeginTotp(ctx, &identityv1.BeginTotpRequest{User: user, IdempotencyKey: key()})
	wants(t, err, commonv1.Reason_LIMIT_REACHED)
	d.verify(t, user)

	other := d.user(t, ctx, "bob@example.com", "Bob")
	lost, err := d.cred.BeginTotp(ctx, &identityv1.BeginTotpRequest{User: other, IdempotencyKey: key()})
	must(t, err)
	begun = lost
	user = other
	for range 5 {
		wants(t, try("000000"), commonv1.Reason_CREDENTIAL_REJECTED)
	}
	wants(t, try(d.totp(t, lost.GetSecret()).Totp), commonv1.Reason_AUTHENTICATION_ENDED)
}

func TestCredentialsAreNamedAndRemoved(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user, other := d.user(t, ctx, ada, "Ada"), d.user(t, ctx, "bob@example.com", "Bob")
	d.setPassword(t, ctx, user, goodText)
	d.addTOTP(t, ctx, user)
	codes := d.recoveryCodes(t, ctx, user)
	key1 := d.register(t, ctx, user, newAuthenticator(user, true))
	rename := &identityv1.RenameCredentialRequest{User: user, Credential: key1.GetId(), Name: "desktop", IdempotencyKey: key()}
	for range 2 {
		renamed, err := d.cred.RenameCredential(ctx, rename)
		must(t, err)
		if renamed.GetCredential().GetName() != "desktop" || renamed.GetCredential().GetPasskey().GetRpId() != "example.com" {
			t.Errorf("renamed %v", renamed)
		}
	}
	d.verify(t, user)
	_, err := d.cred.RenameCredential(ctx, &identityv1.RenameCredentialRequest{User: other, Credential: key1.GetId(), Name: "mine", IdempotencyKey: key()})
	wants(t, err, commonv1.Reason_NOT_FOUND)
	_, err = d.cred.DeleteCredential(ctx, &identityv1.DeleteCredentialRequest{User: other, Credential: key1.GetId(), IdempotencyKey: key()})
	wants(t, err, commonv1.Reason_NOT_FOUND)

	more := d.recoveryCodes(t, ctx, user)
	if more[0] == codes[0] || len(more) != 10 {
		t.Errorf("codes %v", len(more))
	}
	listed, err := d.cred.ListCredentials(ctx, &identityv1.ListCredentialsRequest{User: user})
	must(t, err)
	if len(listed.GetCredentials()) != 4 {
		t.Fatalf("listed %v", listed)
	}
	for _, c := range listed.GetCredentials() {
		_, err := d.cred.DeleteCredential(ctx, &identityv1.DeleteCredentialRequest{User: user, Credential: c.GetId(), IdempotencyKey: key()})
		must(t, err)
		d.verify(t, user)
	}
	b := d.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	wants(t, b.prove(text(goodText)), commonv1.Reason_AUTHENTICATION_REJECTED)
	_, err = d.cred.ListCredentials(ctx, &identityv1.ListCredentialsRequest{User: id.New(id.User)})
	wants(t, err, commonv1.Reason_NOT_FOUND)
}

// In another region everything works but what needs the regional key, and an
// attempt that could not be judged there is not counted.
func TestSignInAbroad(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	user := d.user(t, ctx, ada, "Ada")
	d.setPassword(t, ctx, user, goodText)
	codes := d.recoveryCodes(t, ctx, user)
	seed := d.addTOTP(t, ctx, user)
	d.advance(time.Minute)
	away := newDoorOn(t, d.abroad(t))
	away.now.Store(d.now.Load())
	away.auth.Region, away.auth.Clock, away.cred.Clock = "us-east", d.auth.Clock, d.auth.Clock
	b := away.browser(ctx, "203.0.113.7")
	must(t, b.start(signIn, ada))
	must(t, b.prove(text(goodText)))
	for range 12 {
		wants(t, b.prove(with(d.totp(t, seed))), commonv1.Reason_KEY_ELSEWHERE)
	}
	at := d.browser(ctx, "203.0.113.7") // the same browser, whose call was sent home
	at.id, at.secret = b.id, b.secret
	must(t, at.prove(with(d.totp(t, seed))))
	must(t, b.start(signIn, ada))
	must(t, b.prove(text(goodText)))
	must(t, b.prove(recoveryCode(codes[0])))
	got, err := b.finish()
	must(t, err)
	if got.GetUser() != user || got.GetAcr() != "aal1" {
		t.Errorf("result %v", got)
	}
	must(t, b.start(signUp, "new@example.com"))
	must(t, b.request(byCode))
	must(t, b.prove(with(away.code(t, "new@example.com"))))
	made, err := b.finish()
	must(t, err)
	answer, err := d.users.GetUser(ctx, &identityv1.GetUserRequest{User: made.GetUser()})
	must(t, err)
	if answer.GetUser().GetHomeRegion() != "us-east" {
		t.Errorf("made %v", answer.GetUser())
	}
	d.verify(t, user)
}
