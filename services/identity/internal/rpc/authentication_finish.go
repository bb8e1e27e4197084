package rpc

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/throttle"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// FinishAuthentication implements AuthenticationService.
func (s *Authentications) FinishAuthentication(
	ctx context.Context, req *identityv1.FinishAuthenticationRequest,
) (*identityv1.FinishAuthenticationResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	name, err := nameOf(req.GetName())
	if err != nil {
		return nil, err
	}
	out, err := s.finish(ctx, req, caller, name)
	for tries := 1; tries < finishTries && (errors.Is(err, errMoved) || fault.Is(err, commonv1.Reason_ALREADY_EXISTS)); tries++ {
		// Somebody changed the user, or was faster with the address: now it has one.
		out, err = s.finish(ctx, req, caller, name)
	}
	if err != nil {
		return nil, err
	}
	// Nothing stores it: a repeated call finds it out again.
	device := [16]byte(s.Blind.Index("device id", out.GetUser(), req.GetAuthentication()))
	out.Device = throttle.NewDevice(s.mac, out.GetUser(), device, out.GetAuthenticatedAt().AsTime()).Reveal()
	return out, nil
}

// finishTries is how often a user is looked at who is being changed.
const finishTries = 3

// finish takes the result, once for each key. The outcome that is kept holds no
// secret.
func (s *Authentications) finish(
	ctx context.Context, req *identityv1.FinishAuthenticationRequest, caller principal.Principal, name string,
) (*identityv1.FinishAuthenticationResponse, error) {
	adopted, err := s.adopt(ctx, req)
	if err != nil {
		return nil, err
	}
	seen, err := s.sight(ctx, s.DB.Pool(), adopted)
	if err != nil {
		return nil, err
	}
	before, err := s.look(ctx, req)
	if fault.Is(err, commonv1.Reason_AUTHENTICATION_ENDED) {
		before, err = nil, nil // it may have been finished with this key
	}
	if err != nil {
		return nil, err
	}
	out := &identityv1.FinishAuthenticationResponse{}
	_, err = s.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(),
		Procedure: identityv1connect.AuthenticationServiceFinishAuthenticationProcedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error {
		a, err := s.lock(ctx, tx, req, before)
		if err != nil {
			return err
		}
		// The user was read before: whoever was suspended, or has another password,
		// since then must not be let in at a revision that says so.
		now, err := s.sight(ctx, tx, &a.state)
		if err != nil {
			return err
		}
		if now != seen {
			return errMoved
		}
		return s.take(ctx, tx, a, now, caller, name, out)
	})
	return out, err
}

// errMoved says that something about the user changed since it was read.
var errMoved = fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "the user is being changed; try again")

// sight is a user as of an event: whom somebody is about to be let in as.
type sight struct {
	user     string
	sequence uint64
}

// sight is zero for who signs up; and for who has not proved enough, so that the
// statements do not tell whether there is such a user.
func (s *Authentications) sight(ctx context.Context, q sqldb.Querier, state *authentication.State) (sight, error) {
	if state.User == "" || !state.Complete() {
		return sight{}, nil
	}
	head, err := s.Log.Head(ctx, q, state.User)
	return sight{user: state.User, sequence: head.Sequence}, err
}

// adopt looks whether the address of a sign-up has a user meanwhile, and goes on as
// that user's sign-in then. It is a transaction of its own: what is left may be
// more than nothing, and is to be kept. It returns the authentication as it is now;
// empty for one that has ended.
//
// The look for the address is in no transaction: in one it would make sign-ups
// conflict. Where it looked too early, the primary key of addresses says so.
func (s *Authentications) adopt(ctx context.Context, req *identityv1.FinishAuthenticationRequest) (*authentication.State, error) {
	a, err := s.look(ctx, req)
	if fault.Is(err, commonv1.Reason_AUTHENTICATION_ENDED) {
		return &authentication.State{}, nil
	}
	if err != nil {
		return nil, err
	}
	if a.state.Purpose != identityv1.Purpose_PURPOSE_SIGN_UP || !a.state.Complete() {
		return &a.state, nil
	}
	email, err := address.Parse(a.state.Email)
	if err != nil {
		return nil, err
	}
	owner, err := s.whose(ctx, a.state.Realm, email)
	if err != nil || owner == "" {
		return &a.state, err
	}
	err = s.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if a, err = s.lock(ctx, tx, req, nil); err != nil || a.state.Purpose != identityv1.Purpose_PURPOSE_SIGN_UP {
			return err
		}
		who, err := s.subject(ctx, tx, owner)
		if err != nil {
			return err
		}
		if err := a.state.Adopt(owner, who.has); err != nil {
			return err
		}
		return a.save(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &a.state, nil
}

// take takes the result of an authentication whose row is locked, as the user is now.
//
// Errors: AUTHENTICATION_ENDED, FACTOR_UNAVAILABLE, USER_SUSPENDED, ORGANIZATION_STATE,
// ALREADY_EXISTS when the address of a sign-up has a user since it was looked for.
func (s *Authentications) take(
	ctx context.Context, tx pgx.Tx, a *opened, as sight, caller principal.Principal, name string, out *identityv1.FinishAuthenticationResponse,
) error {
	at := s.Clock()
	if err := a.state.Finish(at); err != nil {
		return err
	}
	if err := s.stillOpen(ctx, tx, a); err != nil {
		return err
	}
	var err error
	if a.state.User == "" {
		err = s.signUp(ctx, tx, a, caller, name, at, out)
	} else {
		out.Revision, err = s.prove(ctx, tx, a, as, caller)
	}
	if err != nil {
		return err
	}
	if err := store.DeleteAuthentication(ctx, tx, a.state.ID); err != nil {
		return err
	}
	if err := s.letIn(ctx, tx, &a.state, at); err != nil {
		return err
	}
	r := a.state.Result()
	out.User, out.Acr, out.Amr, out.AuthenticatedAt = r.User, r.Level.String(), r.AMR, timestamppb.New(r.AuthenticatedAt)
	out.SecondFactorMissing, out.PasswordSet = r.Unenrolled, a.state.NewPassword
	return nil
}

// prove notes that the user's address was proved, where it was not yet and this
// region can write so; and returns the token of the user's log.
func (s *Authentications) prove(ctx context.Context, tx pgx.Tx, a *opened, as sight, caller principal.Principal) (string, error) {
	if slices.ContainsFunc(a.state.Done, mailed) && a.state.Email != "" && !a.who.user.EmailVerified && a.who.user.HomeRegion == s.Region {
		verified := true
		_, token, err := s.Users.change(ctx, tx, a.state.User, address.Address{}, caller, user.Update{EmailVerified: &verified}.Decide)
		return token, err
	}
	return revision.Token(revision.Revision{Log: as.user, Sequence: as.sequence})
}

// stillOpen says whether user, what the user has proved with, and organization are
// what they were: who changes a password ends the authentications that know the one
// before.
//
// Errors: AUTHENTICATION_ENDED, USER_SUSPENDED, ORGANIZATION_STATE.
func (s *Authentications) stillOpen(ctx context.Context, tx pgx.Tx, a *opened) error {
	if a.who.user.Status == user.Suspended {
		return suspended()
	}
	for _, step := range a.state.Done {
		if a.state.User != "" && !stands(step, a.who, a.state.Email) {
			return authentication.Ended()
		}
	}
	if a.state.Organization == "" {
		return nil
	}
	o, err := store.FindOrganization(ctx, tx, a.state.Organization)
	if err != nil {
		return err
	}
	return o.Open()
}

// letIn forgets the failures of a user who is let in.
func (s *Authentications) letIn(ctx context.Context, tx pgx.Tx, state *authentication.State, at time.Time) error {
	if state.Network == "" {
		return nil
	}
	from := throttle.Source{Identifier: s.identifier(state), User: state.User, Device: state.Device, Network: state.Network}
	return s.clear(ctx, tx, from, at)
}

// signUp makes the user who has proved an address, with the password that was
// chosen.
func (s *Authentications) signUp(
	ctx context.Context, tx pgx.Tx, a *opened, caller principal.Principal, name string, at time.Time, out *identityv1.FinishAuthenticationResponse,
) error {
	email, err := address.Parse(a.state.Email)
	if err != nil {
		return err
	}
	made, rev, err := s.Users.create(ctx, tx, user.Create{
		ID: id.New(id.User), Realm: a.state.Realm, Regions: s.Users.Regions, Email: email, EmailVerified: true,
		Name: name, Locale: a.state.Locale, Source: "sign_up",
	}, caller)
	if err != nil {
		return err
	}
	a.state.User, out.Created = made.ID, true
	if a.state.Hash == "" {
		out.Revision, err = revision.Token(rev)
		return err
	}
	held := &heldCredentials{
		head: eventlog.Head{Log: made.ID, HomeRegion: made.HomeRegion, Sequence: rev.Sequence}, user: made, set: credential.Set{},
	}
	_, out.Revision, err = held.setPassword(ctx, tx, s.Log, caller, newPassword{hash: a.state.Hash, origin: "user", at: at})
	return err
}
