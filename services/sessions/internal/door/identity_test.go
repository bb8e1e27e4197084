package door_test

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

const (
	password = identityv1.Factor_FACTOR_PASSWORD
	passkey  = identityv1.Factor_FACTOR_PASSKEY
	totp     = identityv1.Factor_FACTOR_TOTP
	recovery = identityv1.Factor_FACTOR_RECOVERY_CODE
	code     = identityv1.Factor_FACTOR_EMAIL_CODE
	link     = identityv1.Factor_FACTOR_EMAIL_LINK
	renew    = identityv1.Factor_FACTOR_NEW_PASSWORD
)

// What everybody proves in these tests.
const (
	rightPassword = " right with spaces "
	rightTOTP     = "123456"
	rightRecovery = "abcd-efgh"
	maxFailures   = 10
)

// user is somebody. Their passkey is {"id":"EMAIL"}.
type user struct {
	id, email, name string
	totp, suspended bool
}

type authentication struct {
	id, secret, email, code, link string
	purpose                       identityv1.Purpose
	user                          *user
	done, asked                   []identityv1.Factor
	failures                      int
	renewed, over                 bool
	amr                           []string
}

// identity keeps the contract of AuthenticationService, in memory, and is called over
// Connect, through its authorization and validation.
type identity struct {
	identityv1connect.UnimplementedAuthenticationServiceHandler
	identityv1connect.UnimplementedDomainServiceHandler

	mu     sync.Mutex
	users  map[string]*user // by address
	open   map[string]*authentication
	latest *authentication
	// calls are the names of the calls, without those that only look, and requests what
	// they asked for.
	calls    []string
	requests []proto.Message
	// domains are organizations by domain.
	domains map[string][]string
	// refused are calls that fail, by name.
	refused map[string]*fault.Fault
	// passwordNeeded: a sign-up is not complete without a password.
	passwordNeeded bool
	// letters: a sign-in has no way but by mail.
	letters bool
	// mailNext: after a password comes a code by mail.
	mailNext bool
}

// begin forgets everything, but the users that all tests have.
func (i *identity) begin() {
	i.users, i.open, i.latest = map[string]*user{}, map[string]*authentication{}, nil
	i.domains, i.refused, i.passwordNeeded, i.letters, i.mailNext = map[string][]string{}, map[string]*fault.Fault{}, false, false, false
	i.calls, i.requests = nil, nil
	i.add("ada@example.com")
	i.add("grace@example.com").totp = true
	i.add("mallory@example.com").suspended = true
}

func (i *identity) add(email string) *user {
	i.users[email] = &user{id: id.New(id.User), email: email}
	return i.users[email]
}

// serve serves it until the test ends, and returns the way to it.
func (i *identity) serve(t *testing.T) *dial.Client {
	t.Helper()
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	server := serve.New(serve.Options{ServiceKey: key})
	server.Mount(identityv1connect.NewAuthenticationServiceHandler(i, server.HandlerOptions()...))
	server.Mount(identityv1connect.NewDomainServiceHandler(i, server.HandlerOptions()...))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return dial.New(dial.Options{HTTPClient: server.Client(), Service: "sessions", Key: key, Once: true})
}

// called notes a call. It is called with the lock held.
func (i *identity) called(name string, req proto.Message) error {
	i.calls, i.requests = append(i.calls, name), append(i.requests, proto.Clone(req))
	if f := i.refused[name]; f != nil {
		return f
	}
	return nil
}

// do looks at or changes it.
func (i *identity) do(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// taken are the calls since it was asked last.
func (i *identity) taken() (calls []string) {
	i.do(func() { calls, i.calls = i.calls, nil })
	return calls
}

func unavailable() error {
	return fault.New(fault.Precondition, commonv1.Reason_FACTOR_UNAVAILABLE, "this factor cannot be used now")
}

func endedFault() error {
	return fault.New(fault.Precondition, commonv1.Reason_AUTHENTICATION_ENDED, "it is over")
}

// left returns what comes next, and whether the authentication is complete.
func (i *identity) left(a *authentication) ([]identityv1.Factor, bool) {
	did := func(f identityv1.Factor) bool { return slices.Contains(a.done, f) }
	second := a.user != nil && a.user.totp && !did(totp) && !did(recovery)
	mailed := did(code) || did(link)
	switch {
	case a.purpose == identityv1.Purpose_PURPOSE_STEP_UP && !did(totp):
		return []identityv1.Factor{totp}, false
	case a.purpose == identityv1.Purpose_PURPOSE_STEP_UP:
		return nil, true
	case a.purpose != identityv1.Purpose_PURPOSE_SIGN_IN && !mailed:
		return []identityv1.Factor{code, link}, false
	case a.purpose == identityv1.Purpose_PURPOSE_SIGN_UP && !a.renewed:
		return []identityv1.Factor{renew}, !i.passwordNeeded
	case a.purpose == identityv1.Purpose_PURPOSE_RECOVERY && second:
		return []identityv1.Factor{totp, recovery}, false
	case a.purpose == identityv1.Purpose_PURPOSE_RECOVERY && !a.renewed:
		return []identityv1.Factor{renew}, false
	case a.purpose != identityv1.Purpose_PURPOSE_SIGN_IN:
		return nil, true
	case len(a.done) == 0 && a.email == "":
		return []identityv1.Factor{passkey}, false
	case len(a.done) == 0 && i.letters:
		return []identityv1.Factor{code, link}, false
	case len(a.done) == 0:
		return []identityv1.Factor{passkey, password, code, link}, false
	case i.mailNext && !mailed:
		return []identityv1.Factor{code}, false
	case second && !did(passkey):
		return []identityv1.Factor{totp, recovery}, false
	default:
		return nil, true
	}
}

func (i *identity) message(a *authentication) *identityv1.Authentication {
	left, complete := i.left(a)
	out := &identityv1.Authentication{
		Id: a.id, Purpose: a.purpose, FactorsDone: a.done, FactorsLeft: left, State: identityv1.AuthenticationState_AUTHENTICATION_STATE_PENDING,
	}
	if complete {
		out.State = identityv1.AuthenticationState_AUTHENTICATION_STATE_COMPLETE
	}
	return out
}

// StartAuthentication implements AuthenticationService.
func (i *identity) StartAuthentication(_ context.Context, req *identityv1.StartAuthenticationRequest) (*identityv1.StartAuthenticationResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.called("start", req); err != nil {
		return nil, err
	}
	a := &authentication{
		id: id.New(id.Authentication), secret: rand.Text(), email: req.GetEmail(), purpose: req.GetPurpose(), user: i.users[req.GetEmail()], amr: req.GetAmr(),
	}
	if req.GetEmail() != "" && (strings.Count(req.GetEmail(), "@") != 1 || strings.HasSuffix(req.GetEmail(), "@")) {
		return nil, fault.Field("email", "format", "must be one")
	}
	if stepUp := a.purpose == identityv1.Purpose_PURPOSE_STEP_UP; stepUp != (req.GetUser() != "") || stepUp && req.GetEmail() != "" {
		return nil, fault.Field("user", "step_up", "a step-up is about a user, and nothing else is")
	}
	for _, u := range i.users {
		if u.id == req.GetUser() {
			a.user = u
		}
	}
	if a.purpose == identityv1.Purpose_PURPOSE_STEP_UP && !a.user.totp {
		return nil, unavailable()
	}
	i.open[a.id], i.latest = a, a
	return &identityv1.StartAuthenticationResponse{Authentication: i.message(a), Secret: a.secret}, nil
}

type held interface {
	GetAuthentication() string
	GetSecret() string
}

// find is an authentication, for whoever has its secret.
func (i *identity) find(req held) (*authentication, error) {
	a := i.open[req.GetAuthentication()]
	if a == nil || a.over || a.failures >= maxFailures || subtle.ConstantTimeCompare([]byte(a.secret), []byte(req.GetSecret())) != 1 {
		return nil, endedFault()
	}
	return a, nil
}

// GetAuthentication implements AuthenticationService.
func (i *identity) GetAuthentication(_ context.Context, req *identityv1.GetAuthenticationRequest) (*identityv1.GetAuthenticationResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a, err := i.find(req)
	if err != nil {
		return nil, err
	}
	return &identityv1.GetAuthenticationResponse{Authentication: i.message(a)}, nil
}

// RequestChallenge implements AuthenticationService.
func (i *identity) RequestChallenge(_ context.Context, req *identityv1.RequestChallengeRequest) (*identityv1.RequestChallengeResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.called("challenge", req); err != nil {
		return nil, err
	}
	a, err := i.find(req)
	if err != nil {
		return nil, err
	}
	if left, _ := i.left(a); !slices.Contains(left, req.GetFactor()) {
		return nil, unavailable()
	}
	a.asked = append(a.asked, req.GetFactor())
	out := &identityv1.RequestChallengeResponse{Authentication: i.message(a)}
	switch req.GetFactor() {
	case passkey:
		out.PasskeyOptions = `{"challenge":"AAAA"}`
	case code:
		a.code = rand.Text()[:8]
	case link:
		a.link = rand.Text()
	}
	return out, nil
}

// ContinueAuthentication implements AuthenticationService.
func (i *identity) ContinueAuthentication(_ context.Context, req *identityv1.ContinueAuthenticationRequest) (*identityv1.ContinueAuthenticationResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.called("continue", req); err != nil {
		return nil, err
	}
	a, err := i.find(req)
	if err != nil {
		return nil, err
	}
	factor, right := i.judge(a, req)
	if left, _ := i.left(a); !slices.Contains(left, factor) || slices.Contains([]identityv1.Factor{passkey, code, link}, factor) && !slices.Contains(a.asked, factor) {
		return nil, unavailable()
	}
	if factor == renew {
		if len(req.GetNewPassword()) < 15 {
			return nil, fault.Field("new_password", "length", "must be longer")
		}
		a.renewed = true
		return &identityv1.ContinueAuthenticationResponse{Authentication: i.message(a)}, nil
	}
	if !right {
		a.failures++
		return nil, fault.New(fault.Unauthenticated, commonv1.Reason_AUTHENTICATION_REJECTED, "wrong")
	}
	if a.user != nil && a.user.suspended {
		return nil, fault.New(fault.Precondition, commonv1.Reason_USER_SUSPENDED, "suspended")
	}
	a.done = append(a.done, factor)
	return &identityv1.ContinueAuthenticationResponse{Authentication: i.message(a)}, nil
}

// judge says which factor was proved, and whether rightly.
func (i *identity) judge(a *authentication, req *identityv1.ContinueAuthenticationRequest) (identityv1.Factor, bool) {
	known := a.user != nil
	switch p := req.GetProof().(type) {
	case *identityv1.ContinueAuthenticationRequest_Password:
		return password, known && p.Password == rightPassword
	case *identityv1.ContinueAuthenticationRequest_Passkey:
		if a.user == nil && a.email == "" {
			a.user = i.users[strings.TrimSuffix(strings.TrimPrefix(p.Passkey, `{"id":"`), `"}`)]
		}
		return passkey, a.user != nil && p.Passkey == `{"id":"`+a.user.email+`"}`
	case *identityv1.ContinueAuthenticationRequest_Totp:
		return totp, known && p.Totp == rightTOTP
	case *identityv1.ContinueAuthenticationRequest_RecoveryCode:
		return recovery, known && p.RecoveryCode == rightRecovery
	case *identityv1.ContinueAuthenticationRequest_EmailCode:
		return code, i.mailable(a) && p.EmailCode == a.code
	case *identityv1.ContinueAuthenticationRequest_EmailLink:
		return link, i.mailable(a) && p.EmailLink == a.link
	default:
		return renew, true
	}
}

// mailable says whether somebody got the letter.
func (i *identity) mailable(a *authentication) bool {
	return (a.user == nil) == (a.purpose == identityv1.Purpose_PURPOSE_SIGN_UP)
}

// FinishAuthentication implements AuthenticationService.
func (i *identity) FinishAuthentication(_ context.Context, req *identityv1.FinishAuthenticationRequest) (*identityv1.FinishAuthenticationResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.called("finish", req); err != nil {
		return nil, err
	}
	a, err := i.find(req)
	if err != nil {
		return nil, err
	}
	if _, complete := i.left(a); !complete {
		return nil, unavailable()
	}
	if now := i.users[a.email]; a.purpose == identityv1.Purpose_PURPOSE_SIGN_UP && now != nil {
		a.purpose, a.user = identityv1.Purpose_PURPOSE_SIGN_IN, now
	}
	if _, complete := i.left(a); !complete {
		return nil, unavailable()
	}
	if strings.Contains(req.GetName(), "<") {
		return nil, fault.Field("name", "characters", "must have none")
	}
	created := a.user == nil
	if created {
		a.user = i.add(a.email)
		a.user.name = req.GetName()
	}
	a.over = true
	return &identityv1.FinishAuthenticationResponse{
		User: a.user.id, Acr: "aal1", Amr: []string{"pwd"}, AuthenticatedAt: timestamppb.Now(), Device: "device." + a.user.id, Created: created,
	}, nil
}

// LookUpDomain implements DomainService.
func (i *identity) LookUpDomain(_ context.Context, req *identityv1.LookUpDomainRequest) (*identityv1.LookUpDomainResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.called("look up", req); err != nil {
		return nil, err
	}
	if strings.Contains(req.GetName(), "@") {
		return nil, fault.Field("name", "domain", "must be the name of a domain")
	}
	out := &identityv1.LookUpDomainResponse{}
	for _, organization := range i.domains[strings.ToLower(req.GetName())] {
		out.Organizations = append(out.Organizations, &identityv1.DomainOrganization{Organization: organization})
	}
	return out, nil
}
