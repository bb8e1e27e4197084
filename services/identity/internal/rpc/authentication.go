package rpc

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/throttle"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/legacy"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Authentications serves AuthenticationService.
//
// Whether there is a user shows in nothing before the first factor is proved. So
// every step does the same for everybody: the same statements, the same number of
// password hashes, a letter that is written though it is sent to nobody. And a
// step is never sent to the user's home region, which would tell by the time that
// it takes, but for those after the first proof that can be done nowhere else.
type Authentications struct {
	identityv1connect.UnimplementedAuthenticationServiceHandler

	DB  *sqldb.DB
	Log *eventlog.Store
	// Region is where authentications are kept that start here, and the home of
	// users who sign up here.
	Region string
	// Users makes them.
	Users *Users
	// Blind is what addresses, networks and calls are hashed with. Without it nobody
	// signs in.
	Blind   blind.Key
	Factors Factors
	// Legacy asks the sources that users came from. Nil: none is asked.
	Legacy *legacy.Hook
	// Post sends codes and links; nil: addresses cannot be proved.
	Post  *Post
	Meter *Meter
	Clock func() time.Time
}

var _ identityv1connect.AuthenticationServiceHandler = (*Authentications)(nil)

// StartAuthentication implements AuthenticationService.
func (s *Authentications) StartAuthentication(
	ctx context.Context, req *identityv1.StartAuthenticationRequest,
) (*identityv1.StartAuthenticationResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	command, err := s.beginning(ctx, req)
	if err != nil {
		return nil, err
	}
	state, err := command.Decide()
	if err != nil {
		return nil, err
	}
	out := &identityv1.StartAuthenticationResponse{}
	_, err = s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(),
		Procedure: identityv1connect.AuthenticationServiceStartAuthenticationProcedure, Message: withoutClient(req), Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error {
		out.Authentication = authenticationMessage(&state)
		own := s.browserSecret(caller, state.ID, req.GetIdempotencyKey())
		row, err := sealed(store.Authentication{ID: state.ID, HomeRegion: s.Region}, own, &state)
		if err != nil {
			return err
		}
		return store.InsertAuthentication(ctx, tx, row)
	})
	if err != nil {
		return nil, err
	}
	// Nothing stores it: a repeated call finds it out again.
	out.Secret = s.browserSecret(caller, out.GetAuthentication().GetId(), req.GetIdempotencyKey()).Reveal()
	return out, nil
}

// browserSecret is the secret of an authentication: 256 bits that nobody has who
// does not have the key, the same for the same call of the same caller.
func (s *Authentications) browserSecret(caller principal.Principal, authenticationID, key string) secret.String {
	bits := s.Blind.Index("authentication secret", authenticationID, caller.Scope()+"\x00"+key)
	return secret.NewString(base64.RawURLEncoding.EncodeToString(bits))
}

// withoutClient is what the key of a request stands for: where the call comes from
// may change when it is repeated.
func withoutClient(req *identityv1.StartAuthenticationRequest) proto.Message {
	out := proto.CloneOf(req)
	out.Client = nil
	return out
}

// beginning reads what an authentication starts from.
func (s *Authentications) beginning(ctx context.Context, req *identityv1.StartAuthenticationRequest) (authentication.Start, error) {
	c := authentication.Start{
		ID: id.New(id.Authentication), Purpose: req.GetPurpose(), User: req.GetUser(), Organization: req.GetOrganization(),
		Locale: req.GetLocale(), Demanded: levelOf(req.GetAcr()), Prior: req.GetAmr(), At: s.Clock(),
		Address: req.GetProveAddress(),
	}
	stepUp := req.GetPurpose() == identityv1.Purpose_PURPOSE_STEP_UP
	switch {
	case s.Blind.IsZero():
		return c, noKey()
	case !stepUp && req.GetUser() != "":
		return c, fault.Field("user", "step_up", "is given for a step-up only")
	case !stepUp && len(req.GetAmr()) > 0:
		return c, fault.Field("amr", "step_up", "is given for a step-up only")
	case !stepUp && req.GetProveAddress():
		return c, fault.Field("prove_address", "step_up", "is given for a step-up only")
	}
	var email address.Address
	if req.GetEmail() != "" {
		var err error
		if email, err = address.Parse(req.GetEmail()); err != nil {
			return c, err
		}
		c.Email = email.Text
	}
	settings, realm, err := s.organization(ctx, req.GetOrganization())
	if err != nil {
		return c, err
	}
	c.Policy, c.Realm = s.policy(settings), realm
	if err := s.begins(ctx, req.GetClient(), c.At); err != nil {
		return c, err
	}
	if email.Text != "" {
		if c.User, err = s.whose(ctx, realm, email); err != nil {
			return c, err
		}
	}
	who, err := s.subject(ctx, s.DB.Pool(), c.User)
	if err != nil {
		return c, err
	}
	c.Has = who.has
	if stepUp {
		c.Realm = who.user.Realm
		return c, who.signedIn(req.GetOrganization() != "", realm)
	}
	return c, nil
}

// levelOf is the level by its name in requests; empty is none.
func levelOf(acr string) authentication.Level {
	switch acr {
	case "":
		return 0
	case authentication.AAL2.String():
		return authentication.AAL2
	default:
		return authentication.AAL1
	}
}

func noKey() error {
	return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
		"signing in needs a key: keys.blind_file is absent in the configuration")
}

// organization reads what an organization decides about sign-ins, and its realm;
// for "", what the platform decides.
//
// Errors: NOT_FOUND, ORGANIZATION_STATE.
func (s *Authentications) organization(ctx context.Context, organizationID string) (organization.Settings, string, error) {
	if organizationID == "" {
		return organization.Settings{}, "", nil
	}
	o, err := store.FindOrganization(ctx, s.DB.Pool(), organizationID)
	if err != nil {
		return organization.Settings{}, "", err
	}
	return o.Settings, realmOf(o), o.Open()
}

// policy is what an organization decides, as far as this deployment can do it.
func (s *Authentications) policy(settings organization.Settings) authentication.Policy {
	return authentication.Policy{
		Password: settings.Allows("password") && s.Factors.Hasher != nil,
		Passkey:  settings.Allows("passkey") && s.Factors.Passkeys != nil,
		Email:    settings.Allows("email"), Letters: s.Post.able() == nil,
		SecondFactor: settings.RequireSecondFactor,
	}
}

// begins counts an authentication that starts.
//
// Errors: INVALID_FIELD (client.ip), RATE_LIMITED.
func (s *Authentications) begins(ctx context.Context, client *identityv1.Client, at time.Time) error {
	network, err := networkOf(client)
	if err != nil {
		return err
	}
	return s.admit(ctx, throttle.Counters(throttle.Begin, throttle.Source{Network: network}), at)
}

// whose is the user who has an address, or "".
func (s *Authentications) whose(ctx context.Context, realm string, email address.Address) (string, error) {
	found, err := store.FindUserByEmail(ctx, s.DB.Pool(), realm, store.BlindEmail(s.Blind, realm, email))
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return "", nil
	}
	return found, err
}

// subject is whom an authentication is about, and what the user has. The zero
// subject is nobody.
type subject struct {
	user        store.User
	credentials []store.Credential
	has         authentication.Enrolled
}

// subject reads a user. Nobody, and "", are looked for in the same way.
func (s *Authentications) subject(ctx context.Context, q sqldb.Querier, userID string) (subject, error) {
	var who subject
	var err error
	who.user, err = store.FindUser(ctx, q, userID)
	if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return who, err
	}
	if who.credentials, err = store.ListCredentials(ctx, q, userID); err != nil {
		return who, err
	}
	who.has = s.Factors.enrolled(who.credentials)
	who.has.Email = who.user.Email != ""
	return who, nil
}

// signedIn says whether the user can be one who is signed in.
//
// Errors: NOT_FOUND, USER_ERASED, USER_SUSPENDED.
func (w subject) signedIn(inOrganization bool, realm string) error {
	if err := w.user.Present(); err != nil {
		return err
	}
	switch {
	case inOrganization && w.user.Realm != realm:
		return user.NotFound()
	case w.user.Status == user.Suspended:
		return suspended()
	}
	return nil
}

func suspended() error {
	return fault.New(fault.Precondition, commonv1.Reason_USER_SUSPENDED, "the user is suspended")
}

// GetAuthentication implements AuthenticationService.
func (s *Authentications) GetAuthentication(
	ctx context.Context, req *identityv1.GetAuthenticationRequest,
) (*identityv1.GetAuthenticationResponse, error) {
	a, err := s.look(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := a.state.Look(s.Clock()); err != nil {
		return nil, err
	}
	return &identityv1.GetAuthenticationResponse{Authentication: authenticationMessage(&a.state)}, nil
}

func authenticationMessage(s *authentication.State) *identityv1.Authentication {
	out := &identityv1.Authentication{
		Id: s.ID, Purpose: s.Purpose, FactorsLeft: s.Left(), ExpiresAt: timestamppb.New(s.ExpiresAt),
		State: identityv1.AuthenticationState_AUTHENTICATION_STATE_PENDING,
	}
	for _, step := range s.Done {
		out.FactorsDone = append(out.FactorsDone, step.Factor)
	}
	if s.NewPassword {
		out.FactorsDone = append(out.FactorsDone, identityv1.Factor_FACTOR_NEW_PASSWORD)
	}
	if s.Complete() {
		out.State = identityv1.AuthenticationState_AUTHENTICATION_STATE_COMPLETE
	}
	return out
}
