package rpc_test

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/mail"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/legacy"
	"github.com/meridian-iam/meridian/services/identity/internal/letters"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

const (
	signIn  = identityv1.Purpose_PURPOSE_SIGN_IN
	signUp  = identityv1.Purpose_PURPOSE_SIGN_UP
	restore = identityv1.Purpose_PURPOSE_RECOVERY
	stepUp  = identityv1.Purpose_PURPOSE_STEP_UP

	byCode    = identityv1.Factor_FACTOR_EMAIL_CODE
	byLink    = identityv1.Factor_FACTOR_EMAIL_LINK
	byPasskey = identityv1.Factor_FACTOR_PASSKEY

	ada      = "ada@example.com"
	goodText = "correct horse battery"
)

// door is where people sign in, with the letters that were sent.
type door struct {
	*fixture

	auth *rpc.Authentications
	cred *rpc.Credentials

	mu   sync.Mutex
	sent []mail.Message
}

func newDoor(t *testing.T) *door {
	t.Helper()
	return newDoorOn(t, newFixture(t))
}

func newDoorOn(t *testing.T, f *fixture) *door {
	t.Helper()
	d := &door{fixture: f}
	hasher, err := password.New(password.Config{Params: password.Params{Memory: 64, Passes: 1, Parallelism: 1}})
	if err != nil {
		t.Fatal(err)
	}
	desk, err := letters.NewDesk(letters.Config{Product: "Meridian", Pages: letters.PagesAt("https://id.example.com")})
	if err != nil {
		t.Fatal(err)
	}
	factors := rpc.Factors{
		Hasher:       hasher,
		Passkeys:     &passkey.Relying{ID: "example.com", Name: "Meridian", Origins: []string{"https://id.example.com"}},
		Registration: passkey.Policy{UserVerification: passkey.Preferred, ResidentKey: passkey.Preferred},
	}
	post := &rpc.Post{Desk: desk, Queue: d, Log: slog.New(slog.DiscardHandler)}
	d.auth = &rpc.Authentications{
		DB: f.db, Log: f.log, Region: "eu-west", Users: f.users, Blind: f.blind, Factors: factors,
		Legacy: &legacy.Hook{DB: f.db, Blind: f.blind, Checker: legacy.New(legacy.Options{})},
		Post:   post, Meter: rpc.NewMeter(nil), Clock: f.users.Clock,
	}
	d.cred = &rpc.Credentials{
		DB: f.db, Log: f.log, Blind: f.blind, Factors: factors, Post: post, Clock: f.users.Clock,
	}
	return d
}

// Enqueue keeps letters, as a queue does that is not run.
func (d *door) Enqueue(m mail.Message) error {
	if err := m.Check(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent = append(d.sent, m)
	return nil
}

// letter is the last letter to an address.
func (d *door) letter(t *testing.T, to string) mail.Message {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range slices.Backward(d.sent) {
		if m.To == to {
			return m
		}
	}
	t.Fatalf("no letter to %s", to)
	return mail.Message{}
}

func (d *door) letters() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sent)
}

var (
	codeText = regexp.MustCompile(`(?m)^[0-9]{8}$`)
	linkText = regexp.MustCompile(`\?token=(\S+)`)
)

// code is the code in the last letter to an address.
func (d *door) code(t *testing.T, to string) *identityv1.ContinueAuthenticationRequest_EmailCode {
	t.Helper()
	return &identityv1.ContinueAuthenticationRequest_EmailCode{EmailCode: codeText.FindString(d.letter(t, to).Text)}
}

// link is the token in the last letter to an address.
func (d *door) link(t *testing.T, to string) *identityv1.ContinueAuthenticationRequest_EmailLink {
	t.Helper()
	found := linkText.FindStringSubmatch(d.letter(t, to).Text)
	if found == nil {
		t.Fatalf("no link in the letter to %s", to)
	}
	return &identityv1.ContinueAuthenticationRequest_EmailLink{EmailLink: found[1]}
}

// setPassword gives a user a password.
func (d *door) setPassword(t *testing.T, ctx context.Context, user, text string) {
	t.Helper()
	_, err := d.cred.SetPassword(ctx, &identityv1.SetPasswordRequest{
		User: user, Secret: &identityv1.SetPasswordRequest_Password{Password: text}, IdempotencyKey: key(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// addTOTP gives a user an authenticator app, and returns its seed. The code that it
// was added with is used up.
func (d *door) addTOTP(t *testing.T, ctx context.Context, user string) string {
	t.Helper()
	begun, err := d.cred.BeginTotp(ctx, &identityv1.BeginTotpRequest{User: user, IdempotencyKey: key()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.cred.FinishTotp(ctx, &identityv1.FinishTotpRequest{
		User: user, Ceremony: begun.GetCeremony(), Code: d.totp(t, begun.GetSecret()).Totp, Name: "phone", IdempotencyKey: key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return begun.GetSecret()
}

// totp is the code of a seed now.
func (d *door) totp(t *testing.T, seed string) *identityv1.ContinueAuthenticationRequest_Totp {
	t.Helper()
	code, err := totp.GenerateCode(seed, time.Unix(0, d.now.Load()))
	if err != nil {
		t.Fatal(err)
	}
	return &identityv1.ContinueAuthenticationRequest_Totp{Totp: code}
}

func (d *door) recoveryCodes(t *testing.T, ctx context.Context, user string) []string {
	t.Helper()
	issued, err := d.cred.IssueRecoveryCodes(ctx, &identityv1.IssueRecoveryCodesRequest{User: user, IdempotencyKey: key()})
	if err != nil {
		t.Fatal(err)
	}
	return issued.GetCodes()
}

// authenticator is a virtual one with one passkey.
type authenticator struct {
	relying virtualwebauthn.RelyingParty
	device  virtualwebauthn.Authenticator
	key     virtualwebauthn.Credential
}

func newAuthenticator(user string, verifies bool) *authenticator {
	a := &authenticator{
		relying: virtualwebauthn.RelyingParty{ID: "example.com", Name: "Meridian", Origin: "https://id.example.com"},
		device: virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{
			UserHandle: []byte(user), UserNotVerified: !verifies,
		}),
		key: newKey(virtualwebauthn.KeyTypeEC2),
	}
	a.device.AddCredential(a.key)
	return a
}

// newKey makes a key. The library leaves out the zeros that a coordinate of an elliptic
// curve begins with, one time in 128, which no authenticator does: such a key is
// thrown away.
func newKey(kind virtualwebauthn.KeyType) virtualwebauthn.Credential {
	const whole = 77 // bytes of a COSE key on P-256
	for {
		made := virtualwebauthn.NewCredential(kind)
		if kind != virtualwebauthn.KeyTypeEC2 || len(made.Key.AttestationData()) == whole {
			return made
		}
	}
}

// register registers the authenticator's passkey.
func (d *door) register(t *testing.T, ctx context.Context, user string, a *authenticator) *identityv1.Credential {
	t.Helper()
	begun, err := d.cred.BeginPasskey(ctx, &identityv1.BeginPasskeyRequest{User: user, IdempotencyKey: key()})
	if err != nil {
		t.Fatal(err)
	}
	made, err := d.cred.FinishPasskey(ctx, &identityv1.FinishPasskeyRequest{
		User: user, Ceremony: begun.GetCeremony(), Response: a.create(t, begun.GetOptions()), Name: "laptop", IdempotencyKey: key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetCredential()
}

func (a *authenticator) create(t *testing.T, options string) string {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAttestationOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	return virtualwebauthn.CreateAttestationResponse(a.relying, a.device, a.key, *parsed)
}

// sign asserts the passkey, with its counter one up.
func (a *authenticator) sign(t *testing.T, options string) *identityv1.ContinueAuthenticationRequest_Passkey {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAssertionOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	a.key.Counter++
	return &identityv1.ContinueAuthenticationRequest_Passkey{Passkey: virtualwebauthn.CreateAssertionResponse(a.relying, a.device, a.key, *parsed)}
}

// browser is somebody at the door.
type browser struct {
	*door

	ctx        context.Context
	ip, device string
	email      string // for steps that are done for several
	// id and secret are of the authentication that was started last, seen is how far
	// it is.
	id, secret string
	seen       *identityv1.Authentication
	options    string
}

func (d *door) browser(ctx context.Context, ip string) *browser {
	return &browser{door: d, ctx: ctx, ip: ip}
}

func (b *browser) client() *identityv1.Client { return &identityv1.Client{Ip: b.ip, Device: b.device} }

func (b *browser) start(purpose identityv1.Purpose, email string, change ...func(*identityv1.StartAuthenticationRequest)) error {
	req := &identityv1.StartAuthenticationRequest{Purpose: purpose, Email: email, Client: b.client(), IdempotencyKey: key()}
	for _, c := range change {
		c(req)
	}
	started, err := b.auth.StartAuthentication(b.ctx, req)
	if err == nil {
		b.seen, b.id, b.secret = started.GetAuthentication(), started.GetAuthentication().GetId(), started.GetSecret()
	}
	return err
}

func (b *browser) request(f identityv1.Factor) error {
	answer, err := b.auth.RequestChallenge(b.ctx, &identityv1.RequestChallengeRequest{
		Authentication: b.id, Secret: b.secret, Factor: f, Client: b.client(), IdempotencyKey: key(),
	})
	if err == nil {
		b.seen, b.options = answer.GetAuthentication(), answer.GetPasskeyOptions()
	}
	return err
}

// evidence is one of the proofs of a request.
type evidence = func(*identityv1.ContinueAuthenticationRequest)

func text(s string) evidence {
	return func(r *identityv1.ContinueAuthenticationRequest) {
		r.Proof = &identityv1.ContinueAuthenticationRequest_Password{Password: s}
	}
}

func renewed(s string) evidence {
	return func(r *identityv1.ContinueAuthenticationRequest) {
		r.Proof = &identityv1.ContinueAuthenticationRequest_NewPassword{NewPassword: s}
	}
}

func recoveryCode(s string) evidence {
	return func(r *identityv1.ContinueAuthenticationRequest) {
		r.Proof = &identityv1.ContinueAuthenticationRequest_RecoveryCode{RecoveryCode: s}
	}
}

func with(p any) evidence {
	return func(r *identityv1.ContinueAuthenticationRequest) {
		switch p := p.(type) {
		case *identityv1.ContinueAuthenticationRequest_EmailCode:
			r.Proof = p
		case *identityv1.ContinueAuthenticationRequest_EmailLink:
			r.Proof = p
		case *identityv1.ContinueAuthenticationRequest_Totp:
			r.Proof = p
		case *identityv1.ContinueAuthenticationRequest_Passkey:
			r.Proof = p
		}
	}
}

func (b *browser) attempt(p evidence) *identityv1.ContinueAuthenticationRequest {
	req := &identityv1.ContinueAuthenticationRequest{Authentication: b.id, Secret: b.secret, Client: b.client(), IdempotencyKey: key()}
	p(req)
	return req
}

func (b *browser) prove(p evidence) error {
	answer, err := b.auth.ContinueAuthentication(b.ctx, b.attempt(p))
	if err == nil {
		b.seen = answer.GetAuthentication()
	}
	return err
}

func (b *browser) finish() (*identityv1.FinishAuthenticationResponse, error) {
	answer, err := b.auth.FinishAuthentication(b.ctx, &identityv1.FinishAuthenticationRequest{
		Authentication: b.id, Secret: b.secret, IdempotencyKey: key(),
	})
	if err == nil {
		b.device = answer.GetDevice()
	}
	return answer, err
}

// nextKey is an idempotency key, for tests that have another key.
func nextKey() string { return key() }

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails the test unless the error has the reason.
func wants(t *testing.T, err error, want commonv1.Reason) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// left are the factors that are left, in short.
func (b *browser) left() string {
	var out []string
	for _, f := range b.seen.GetFactorsLeft() {
		out = append(out, strings.ToLower(strings.TrimPrefix(f.String(), "FACTOR_")))
	}
	return strings.Join(out, " ")
}
