package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/secret"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/throttle"
	"github.com/meridian-iam/meridian/services/identity/internal/letters"
	"github.com/meridian-iam/meridian/services/identity/internal/onetime"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
)

// requested is a challenge that is being made.
type requested struct {
	challenge authentication.Challenge
	// secret is the code or token that is sent.
	secret secret.String
	// options are for the browser.
	options []byte
}

// RequestChallenge implements AuthenticationService.
func (s *Authentications) RequestChallenge(
	ctx context.Context, req *identityv1.RequestChallengeRequest,
) (*identityv1.RequestChallengeResponse, error) {
	known, err := s.callOf(req)
	if err != nil {
		return nil, err
	}
	before, err := s.look(ctx, req)
	if err != nil {
		return nil, err
	}
	var (
		made     requested
		asked    admission
		after    *opened
		repeated bool
	)
	_, err = s.Log.Commit(ctx, eventlog.Request{Log: req.GetAuthentication()}, func(ctx context.Context, tx pgx.Tx) error {
		made, asked = requested{}, admission{}
		a, err := s.lock(ctx, tx, req, before)
		if err != nil {
			return err
		}
		after = a
		if repeated, err = s.request(ctx, tx, a, req, known, &made, &asked); err != nil || repeated || asked.wait > 0 {
			return err
		}
		return a.save(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	if err := s.answer(asked); err != nil {
		return nil, err
	}
	if !repeated && req.GetFactor() != identityv1.Factor_FACTOR_PASSKEY {
		s.mail(ctx, after, req.GetFactor(), made.secret)
	}
	return &identityv1.RequestChallengeResponse{
		Authentication: authenticationMessage(&after.state), PasskeyOptions: string(made.options),
	}, nil
}

// request decides about a challenge, and makes it. A letter that was asked for with
// the same key was sent.
func (s *Authentications) request(
	ctx context.Context, tx pgx.Tx, a *opened, req *identityv1.RequestChallengeRequest, known call, made *requested, asked *admission,
) (repeated bool, err error) {
	at, f := s.Clock(), req.GetFactor()
	_, repeated, err = a.state.Repeats(known.key, known.request)
	if err != nil {
		return false, err
	}
	if repeated && f != identityv1.Factor_FACTOR_PASSKEY {
		return true, a.state.Look(at)
	}
	if *made, err = s.challenge(a, f); err != nil {
		return false, err
	}
	if err := a.state.Request(f, made.challenge, at); err != nil {
		return false, err
	}
	if f != identityv1.Factor_FACTOR_PASSKEY {
		from, err := s.source(&a.state, req.GetClient(), at)
		if err != nil {
			return false, err
		}
		if *asked, err = s.ask(ctx, tx, throttle.Counters(throttle.Letter, from), at); err != nil {
			return false, err
		}
	}
	a.state.Note(known.key, known.request, authentication.Taken)
	return false, nil
}

// challenge makes what a factor waits for.
func (s *Authentications) challenge(a *opened, f identityv1.Factor) (requested, error) {
	switch f {
	case identityv1.Factor_FACTOR_EMAIL_CODE:
		code := onetime.NewCode()
		hash, _ := onetime.HashCode(a.state.ID, code)
		return requested{challenge: authentication.Challenge{Hash: hash[:]}, secret: code}, nil
	case identityv1.Factor_FACTOR_EMAIL_LINK:
		token, hash := onetime.NewLinkToken()
		return requested{challenge: authentication.Challenge{Hash: hash[:]}, secret: token}, nil
	default:
		return s.passkeyChallenge(a)
	}
}

// passkeyChallenge asks for any passkey of anybody, verified, where it is all that a
// sign-in needs; later, for one of the user's.
func (s *Authentications) passkeyChallenge(a *opened) (requested, error) {
	if s.Factors.Passkeys == nil {
		return requested{}, nil // Request says that there are none
	}
	var allow []passkey.Credential
	policy := passkey.Policy{UserVerification: passkey.Required}
	if a.state.Purpose != identityv1.Purpose_PURPOSE_SIGN_IN || len(a.state.Done) > 0 {
		policy.UserVerification = s.Factors.Registration.UserVerification
		if allow = s.Factors.passkeys(a.who.credentials); len(allow) == 0 {
			return requested{}, nil // as above
		}
	}
	options, ceremony, err := s.Factors.Passkeys.BeginAssertion(s.Clock(), allow, policy)
	if err != nil {
		return requested{}, err
	}
	encoded, err := ceremony.Encode()
	if err != nil {
		return requested{}, err
	}
	return requested{
		challenge: authentication.Challenge{Hash: ceremony.Challenge, Ceremony: encoded}, options: options,
	}, nil
}

// mail writes the letter with a code or token, to the address that is the user's, or
// that somebody signs up with. It is written for an address that is nobody's too,
// and thrown away: to write one takes time. What goes wrong is no answer: whoever
// asked would learn that there was a letter to send.
func (s *Authentications) mail(ctx context.Context, a *opened, f identityv1.Factor, text secret.String) {
	known, to := a.state.User != "", a.state.Email
	if known {
		to = a.who.user.Email
	}
	until := s.Clock().Add(authentication.ChallengeLife)
	m, err := s.Post.write(to, letterOf(&a.state, f, text), until, a.state.Locale, a.who.user.Locale)
	if err == nil && (known || a.state.Purpose == identityv1.Purpose_PURPOSE_SIGN_UP) {
		err = s.Post.Queue.Enqueue(m)
	}
	s.Post.failed(ctx, err)
}

// letterOf is the letter of a purpose. To sign up with an address that has a user
// tells that user, and nobody else.
func letterOf(state *authentication.State, f identityv1.Factor, text secret.String) letters.Letter {
	var code, token secret.String
	if f == identityv1.Factor_FACTOR_EMAIL_CODE {
		code = text
	} else {
		token = text
	}
	const life = authentication.ChallengeLife
	switch {
	case state.Purpose == identityv1.Purpose_PURPOSE_SIGN_UP && state.User != "":
		return letters.AddressInUse{At: state.Seen}
	case state.Purpose == identityv1.Purpose_PURPOSE_SIGN_UP:
		return letters.ConfirmAddress{Code: code, Token: token, Lifetime: life}
	case state.Purpose == identityv1.Purpose_PURPOSE_RECOVERY:
		return letters.Recovery{Code: code, Token: token, Lifetime: life}
	case f == identityv1.Factor_FACTOR_EMAIL_CODE:
		return letters.SignInCode{Code: code, Lifetime: life}
	default:
		return letters.SignInLink{Token: token, Lifetime: life}
	}
}
