package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/throttle"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// A proof is judged in three parts. reserve counts it as wrong, in a transaction;
// judge compares it, which may take long, outside of any; record says, in a second
// transaction, what came of it, if what it was compared with is still so. Between
// them a process may die, and others may try the same: the count is never behind.

// attempt is a proof that is reserved.
type attempt struct {
	request *identityv1.ContinueAuthenticationRequest
	caller  principal.Principal
	factor  identityv1.Factor
	text    secret.String
	known   call
	at      time.Time

	// As reserve has found it.
	opened    *opened
	challenge authentication.Challenge
	counters  []throttle.Counter
	asked     admission
	repeated  bool
	verdict   authentication.Verdict
}

// ContinueAuthentication implements AuthenticationService.
func (s *Authentications) ContinueAuthentication(
	ctx context.Context, req *identityv1.ContinueAuthenticationRequest,
) (*identityv1.ContinueAuthenticationResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	t := &attempt{request: req, caller: caller, at: s.Clock()}
	t.factor, t.text = givenBy(req)
	if t.known, err = s.callOf(req); err != nil {
		return nil, err
	}
	if err := s.reserve(ctx, t); err != nil {
		return nil, err
	}
	if err := s.answer(t.asked); err != nil {
		return nil, err
	}
	switch t.verdict {
	case authentication.Taken:
		return &identityv1.ContinueAuthenticationResponse{Authentication: authenticationMessage(&t.opened.state)}, nil
	case authentication.Refused:
		return nil, authentication.Rejected()
	}
	found, err := s.judge(ctx, t)
	if err != nil {
		if !offended(t.factor, err) {
			s.release(ctx, t)
		}
		return nil, err
	}
	return s.record(ctx, t, found)
}

// offended says whether a new password was judged and breaks a rule: it stays counted,
// since rules tell something of the passwords before, and cost hashes.
func offended(f identityv1.Factor, err error) bool {
	return f == identityv1.Factor_FACTOR_NEW_PASSWORD && fault.Is(err, commonv1.Reason_INVALID_FIELD)
}

// givenBy takes a proof out of its request.
func givenBy(req *identityv1.ContinueAuthenticationRequest) (identityv1.Factor, secret.String) {
	switch p := req.GetProof().(type) {
	case *identityv1.ContinueAuthenticationRequest_Password:
		return identityv1.Factor_FACTOR_PASSWORD, secret.NewString(p.Password)
	case *identityv1.ContinueAuthenticationRequest_Passkey:
		return identityv1.Factor_FACTOR_PASSKEY, secret.NewString(p.Passkey)
	case *identityv1.ContinueAuthenticationRequest_Totp:
		return identityv1.Factor_FACTOR_TOTP, secret.NewString(p.Totp)
	case *identityv1.ContinueAuthenticationRequest_RecoveryCode:
		return identityv1.Factor_FACTOR_RECOVERY_CODE, secret.NewString(p.RecoveryCode)
	case *identityv1.ContinueAuthenticationRequest_EmailCode:
		return identityv1.Factor_FACTOR_EMAIL_CODE, secret.NewString(p.EmailCode)
	case *identityv1.ContinueAuthenticationRequest_EmailLink:
		return identityv1.Factor_FACTOR_EMAIL_LINK, secret.NewString(p.EmailLink)
	case *identityv1.ContinueAuthenticationRequest_NewPassword:
		return identityv1.Factor_FACTOR_NEW_PASSWORD, secret.NewString(p.NewPassword)
	default:
		return identityv1.Factor_FACTOR_UNSPECIFIED, secret.String{}
	}
}

// reserve counts the attempt as wrong, or finds the verdict of the call that it
// repeats.
//
// Errors: those of authentication.State.Attempt, AUTHENTICATION_ENDED,
// IDEMPOTENCY_KEY_REUSED, INVALID_FIELD (client.ip). After none is anything counted;
// t.asked says whether it has to wait.
func (s *Authentications) reserve(ctx context.Context, t *attempt) error {
	before, err := s.look(ctx, t.request)
	if err != nil {
		return err
	}
	_, err = s.Log.Commit(ctx, eventlog.Request{Log: t.request.GetAuthentication()}, func(ctx context.Context, tx pgx.Tx) error {
		t.asked, t.counters = admission{}, nil
		a, err := s.lock(ctx, tx, t.request, before)
		if err != nil {
			return err
		}
		t.opened = a
		from, err := s.source(&a.state, t.request.GetClient(), t.at)
		if err != nil {
			return err
		}
		t.counters = countersOf(t.factor, from)
		if t.verdict, t.repeated, err = a.state.Repeats(t.known.key, t.known.request); err != nil {
			return err
		}
		if t.repeated {
			// The one under way has reserved it, or had, in a process that is gone.
			t.challenge = a.state.Challenges[t.factor]
			return a.state.Look(t.at)
		}
		if t.challenge, err = a.state.Attempt(t.factor, t.at); err != nil {
			return err
		}
		if len(t.counters) > 0 {
			if t.asked, err = s.ask(ctx, tx, t.counters, t.at); err != nil || t.asked.wait > 0 {
				return err
			}
		}
		a.state.Device, a.state.Network = from.Device, from.Network
		a.state.Note(t.known.key, t.known.request, "")
		return a.save(ctx, tx)
	})
	return err
}

// release gives back an attempt that could not be judged. Where that fails, it
// stays counted.
func (s *Authentications) release(ctx context.Context, t *attempt) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseBound)
	defer cancel()
	_, _ = s.Log.Commit(ctx, eventlog.Request{Log: t.request.GetAuthentication()}, func(ctx context.Context, tx pgx.Tx) error {
		a, err := s.lock(ctx, tx, t.request, nil)
		if err != nil {
			return err
		}
		if verdict, known, _ := a.state.Repeats(t.known.key, t.known.request); verdict != "" || !known {
			return nil // another process judged it, or gave it back
		}
		a.state.Unjudged(t.factor, t.challenge.Hash)
		a.state.Forget(t.known.key)
		if len(t.counters) > 0 {
			if err := s.forgive(ctx, tx, t.counters, t.at); err != nil {
				return err
			}
		}
		return a.save(ctx, tx)
	})
}

// releaseBound is how long giving back may take.
const releaseBound = 2 * time.Second

// record says what came of an attempt. A proof that is wrong is recorded too, so
// that both take the same.
//
// Errors: AUTHENTICATION_REJECTED, USER_SUSPENDED, those of authentication.State.Prove.
func (s *Authentications) record(ctx context.Context, t *attempt, found judgement) (*identityv1.ContinueAuthenticationResponse, error) {
	var (
		out     *identityv1.ContinueAuthenticationResponse
		verdict error
	)
	at := s.Clock()
	now, err := s.look(ctx, t.request)
	if err != nil {
		return nil, err
	}
	_, err = s.Log.Commit(ctx, eventlog.Request{Log: t.request.GetAuthentication()}, func(ctx context.Context, tx pgx.Tx) error {
		a, err := s.lock(ctx, tx, t.request, now)
		if err != nil {
			return err
		}
		out, verdict = nil, nil
		before, known, err := a.state.Repeats(t.known.key, t.known.request)
		switch {
		case err != nil:
			return err
		case !known:
			verdict = fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "the call was repeated while it could not be judged; repeat it")
			return nil
		case before == authentication.Refused:
			verdict = authentication.Rejected()
			return nil
		case before == authentication.Taken:
			verdict, out = nil, &identityv1.ContinueAuthenticationResponse{Authentication: authenticationMessage(&a.state)}
			return nil
		}
		if verdict, err = s.settle(ctx, tx, t, a, found, at); err != nil {
			return err
		}
		noted := authentication.Taken
		if verdict != nil {
			noted = authentication.Refused
		} else if len(t.counters) > 0 {
			if err := s.forgive(ctx, tx, t.counters, at); err != nil {
				return err
			}
		}
		a.state.Note(t.known.key, t.known.request, noted)
		out = &identityv1.ContinueAuthenticationResponse{Authentication: authenticationMessage(&a.state)}
		return a.save(ctx, tx)
	})
	switch {
	case err != nil:
		return nil, err
	case verdict != nil:
		s.Meter.count(failures, t.counters)
		return nil, verdict
	}
	s.afterwards(ctx, t, found)
	return out, nil
}

// settle applies a judgement to an authentication whose row is locked. verdict is
// the error for a proof that is not taken, which is to be committed as well.
func (s *Authentications) settle(
	ctx context.Context, tx pgx.Tx, t *attempt, a *opened, found judgement, at time.Time,
) (verdict, err error) {
	switch {
	case found.regressed:
		return authentication.Rejected(), s.flag(ctx, tx, t, found.credential)
	case !found.right:
		return authentication.Rejected(), nil
	case t.factor == identityv1.Factor_FACTOR_NEW_PASSWORD:
		return s.renew(ctx, tx, t, a, found, at)
	}
	next := a.state.Copy()
	if verdict := next.Prove(found.proof, at); verdict != nil {
		return verdict, nil
	}
	who := a.who
	if who.user.ID != next.User { // a passkey has said who it is
		if who, err = s.subject(ctx, tx, next.User); err != nil {
			return nil, err
		}
	}
	switch {
	case next.User == "": // who signs up
	case who.user.Present() != nil, who.user.Realm != next.Realm:
		return authentication.Rejected(), nil
	case who.user.Status == user.Suspended:
		a.state = next
		a.state.End()
		return suspended(), nil
	case !stands(next.Done[len(next.Done)-1], who, next.Email):
		return authentication.Rejected(), nil
	}
	if used, err := s.use(ctx, tx, t, found); err != nil || !used {
		return authentication.Rejected(), err
	}
	a.state, a.who = next, who
	a.state.Has = who.has
	return nil, nil
}

// afterwards does what a proof gives occasion to, and nobody waits for.
func (s *Authentications) afterwards(ctx context.Context, t *attempt, found judgement) {
	if c := found.credential; c.ID != "" && t.factor != identityv1.Factor_FACTOR_NEW_PASSWORD {
		_ = store.NoteUse(ctx, s.DB.Pool(), c.User, []string{c.ID}, t.at)
	}
	switch {
	case found.rehash:
		s.rehash(ctx, t, found)
	case t.factor == identityv1.Factor_FACTOR_NEW_PASSWORD && t.opened.state.User != "":
		s.Post.passwordChanged(ctx, t.opened.who.user, t.at)
	}
}
