package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/onetime"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
	"github.com/meridian-iam/meridian/services/identity/internal/recovery"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// judgement is what a proof was found to be.
type judgement struct {
	right bool
	proof authentication.Proof
	// credential is what it was made with, as it was then; a passkey's has its new
	// counter.
	credential store.Credential
	// regressed: the passkey's counter went back.
	regressed bool
	// step is the period of a TOTP.
	step int64
	// rehash: the password's hash is to be made anew.
	rehash bool
	// hash is a new password's, history how many former ones are kept.
	hash    string
	history int
}

// judge compares a proof with what the user has. Nobody has what is compared with
// nothing, at the same cost.
//
// Errors: what keeps it from being judged; and INVALID_FIELD for a new password that
// is not good enough.
func (s *Authentications) judge(ctx context.Context, t *attempt) (judgement, error) {
	switch t.factor {
	case identityv1.Factor_FACTOR_PASSWORD:
		return s.judgePassword(ctx, t)
	case identityv1.Factor_FACTOR_PASSKEY:
		return s.judgePasskey(ctx, t)
	case identityv1.Factor_FACTOR_TOTP:
		return s.judgeTOTP(ctx, t)
	case identityv1.Factor_FACTOR_RECOVERY_CODE:
		return s.judgeRecoveryCode(t), nil
	case identityv1.Factor_FACTOR_EMAIL_CODE:
		hash, ok := onetime.HashCode(t.opened.state.ID, t.text)
		return t.byMail(ok && hash.Equal(t.challenge.Hash)), nil
	case identityv1.Factor_FACTOR_EMAIL_LINK:
		hash, ok := onetime.HashLinkToken(t.text)
		return t.byMail(ok && hash.Equal(t.challenge.Hash)), nil
	case identityv1.Factor_FACTOR_NEW_PASSWORD:
		return s.judgeNewPassword(ctx, t)
	default:
		return judgement{}, fault.Field("proof", "required", "is needed")
	}
}

func (t *attempt) byMail(right bool) judgement {
	return judgement{right: right, proof: authentication.Proof{
		Step: authentication.Step{Factor: t.factor}, User: t.opened.state.User, Challenge: t.challenge.Hash,
	}}
}

// by is a judgement about a credential of the user.
func (t *attempt) by(c store.Credential, right bool) judgement {
	return judgement{right: right, credential: c, proof: authentication.Proof{
		Step: authentication.Step{Factor: t.factor, Credential: c.ID, Version: c.Version}, User: c.User, Challenge: t.challenge.Hash,
	}}
}

func (s *Authentications) judgePassword(ctx context.Context, t *attempt) (judgement, error) {
	own := single(t.opened.who.credentials, credential.Password)
	result, err := s.Factors.Hasher.Verify(ctx, own.Hash, t.text)
	if err != nil {
		return judgement{}, err
	}
	if !result.Match && s.Legacy != nil {
		return s.judgeElsewhere(ctx, t)
	}
	found := t.by(own, result.Match)
	found.rehash = result.Rehash
	return found, nil
}

// single is a user's credential of a kind of which there is one at most, or the
// zero Credential.
func single(rows []store.Credential, kind credential.Kind) store.Credential {
	for _, c := range rows {
		if c.Kind == kind {
			return c
		}
	}
	return store.Credential{}
}

func (s *Authentications) judgeTOTP(ctx context.Context, t *attempt) (judgement, error) {
	found := judgement{}
	for _, c := range t.opened.who.credentials {
		if c.Kind != credential.TOTP {
			continue
		}
		plain, err := s.Log.Unseal(ctx, s.DB.Pool(), c.User, sealedFor(credential.TOTP, c.ID), c.Sealed)
		if err != nil {
			return judgement{}, err
		}
		key, err := decodeSeed(plain)
		if err != nil {
			return judgement{}, err
		}
		if step, ok := key.Verify(t.text, t.at, c.LastStep); ok && !found.right {
			found = t.by(c, true)
			found.step = step
		}
	}
	return found, nil
}

func (s *Authentications) judgeRecoveryCode(t *attempt) judgement {
	own := single(t.opened.who.credentials, credential.RecoveryCodes)
	_, ok := recovery.Match(own.User, t.text, hashes(own.Codes))
	return t.by(own, ok)
}

func hashes(codes [][]byte) []recovery.Hash {
	out := make([]recovery.Hash, 0, len(codes))
	for _, c := range codes {
		if len(c) == len(recovery.Hash{}) {
			out = append(out, recovery.Hash(c))
		}
	}
	return out
}

func (s *Authentications) judgePasskey(ctx context.Context, t *attempt) (judgement, error) {
	ceremony, err := passkey.DecodeState(t.challenge.Ceremony)
	if err != nil || s.Factors.Passkeys == nil {
		return judgement{}, fault.New(fault.Internal, commonv1.Reason_DEFECT, "a passkey's ceremony cannot be read").Because(err)
	}
	var row store.Credential
	asserted, err := s.Factors.Passkeys.FinishAssertion(t.at, ceremony, []byte(t.text.Reveal()), func(_, id []byte) (passkey.Credential, error) {
		found, err := store.FindPasskey(ctx, s.DB.Pool(), s.Factors.Passkeys.ID, id)
		if fault.Is(err, commonv1.Reason_NOT_FOUND) || err == nil && !s.Factors.usable(found) {
			return passkey.Credential{}, passkey.Refusal{Rule: passkey.RuleCredential}
		}
		row = found
		return relied(found), err
	})
	if _, refused := errors.AsType[passkey.Refusal](err); refused {
		return judgement{}, nil
	}
	if err != nil {
		return judgement{}, err
	}
	row.Passkey.SignCount, row.Passkey.BackedUp = int64(asserted.Credential.SignCount), asserted.Credential.BackupState
	found := t.by(row, !asserted.CountRegressed)
	found.regressed = asserted.CountRegressed
	found.proof.UserVerified, found.proof.Synchronized = asserted.UserVerified, row.BackupEligible
	return found, nil
}

func (s *Authentications) judgeNewPassword(ctx context.Context, t *attempt) (judgement, error) {
	settings, _, err := s.organization(ctx, t.opened.state.Organization)
	if err != nil {
		return judgement{}, err
	}
	who := t.opened.who
	own := single(who.credentials, credential.Password)
	policy := s.Factors.passwordPolicy(settings)
	hash, err := s.Factors.newHash(ctx, policy, identityOf(who, t.opened.state.Email), former(own), t.text)
	if err != nil {
		return judgement{}, err
	}
	return judgement{right: true, hash: hash, history: policy.History, credential: own}, nil
}

// identityOf is what a new password must not contain.
func identityOf(who subject, email string) password.Context {
	if who.user.Email != "" {
		email = who.user.Email
	}
	return password.Context{Email: email, Name: who.user.Name}
}

// former are the hashes of a user's passwords, the newest first: that of the one
// that there is comes first.
func former(c store.Credential) []string {
	if c.Hash == "" {
		return c.Former
	}
	return append([]string{c.Hash}, c.Former...)
}

// stands says whether what a step was proved with is still what the user has: the
// same password and address, a passkey that is not flagged.
func stands(step authentication.Step, who subject, typed string) bool {
	if mailed(step) {
		email, err := address.Parse(typed)
		return err != nil || who.user.Has(email) // a step-up is about no address
	}
	for _, c := range who.credentials {
		if c.ID == step.Credential {
			return !c.Flagged && (c.Kind != credential.Password || c.Version == step.Version)
		}
	}
	return false
}

// mailed says whether a step proved an address.
func mailed(step authentication.Step) bool {
	return step.Factor == identityv1.Factor_FACTOR_EMAIL_CODE || step.Factor == identityv1.Factor_FACTOR_EMAIL_LINK
}

// use uses a credential up, as far as it can be used once only, and says whether it
// could be.
func (s *Authentications) use(ctx context.Context, tx pgx.Tx, t *attempt, found judgement) (bool, error) {
	c := found.credential
	switch t.factor {
	case identityv1.Factor_FACTOR_TOTP:
		return store.UseTOTP(ctx, tx, c.User, c.ID, found.step)
	case identityv1.Factor_FACTOR_PASSKEY:
		used, err := store.UsePasskey(ctx, tx, c)
		if err != nil || used {
			return used, err
		}
		// Another assertion with this counter was faster.
		return false, s.flag(ctx, tx, t, c)
	case identityv1.Factor_FACTOR_RECOVERY_CODE:
		return s.useRecoveryCode(ctx, tx, t, c)
	default:
		return true, nil // its challenge is gone; a password is for many uses
	}
}

// useRecoveryCode uses up the code that was typed, if it is there still.
func (s *Authentications) useRecoveryCode(ctx context.Context, tx pgx.Tx, t *attempt, c store.Credential) (bool, error) {
	held, err := holdCredentials(ctx, tx, s.Log, c.User)
	if err != nil {
		return false, err
	}
	now := single(held.rows, credential.RecoveryCodes)
	i, ok := recovery.Match(c.User, t.text, hashes(now.Codes))
	if !ok {
		return false, nil
	}
	events, err := credential.UseCode{User: c.User, ID: now.ID}.Decide(held.set)
	if err != nil {
		return false, err
	}
	left := append(append([][]byte{}, now.Codes[:i]...), now.Codes[i+1:]...)
	if err := store.SetRecoveryCodes(ctx, tx, c.User, now.ID, left); err != nil {
		return false, err
	}
	_, err = commit.Append(ctx, tx, s.Log, held.head, t.caller, events)
	return true, err
}

// renew takes a new password: at once for a user who is there, else with the
// authentication.
func (s *Authentications) renew(
	ctx context.Context, tx pgx.Tx, t *attempt, a *opened, found judgement, at time.Time,
) (verdict, err error) {
	if verdict := a.state.Renew(found.hash, at); verdict != nil {
		return verdict, nil
	}
	if a.state.User == "" {
		return nil, nil
	}
	held, err := holdCredentials(ctx, tx, s.Log, a.state.User)
	if err != nil {
		return nil, err
	}
	if found.history > 0 && single(held.rows, credential.Password).Version != found.credential.Version {
		return nil, errStale // than what it was compared with; the call can be repeated
	}
	_, _, err = held.setPassword(ctx, tx, s.Log, t.caller, newPassword{hash: found.hash, origin: "recovery", history: found.history, at: at})
	return nil, err
}

// rehash stores a better hash of a password that was right. Where that fails, the
// next sign-in tries again.
func (s *Authentications) rehash(ctx context.Context, t *attempt, found judgement) {
	hash, err := s.Factors.Hasher.Hash(ctx, t.text)
	if err != nil {
		return
	}
	_, _ = s.Log.Commit(ctx, eventlog.Request{Log: found.credential.User}, func(ctx context.Context, tx pgx.Tx) error {
		held, err := holdCredentials(ctx, tx, s.Log, found.credential.User)
		if err != nil {
			return err
		}
		now := single(held.rows, credential.Password)
		if now.ID != found.credential.ID || now.Version != found.credential.Version {
			return nil
		}
		return held.rehash(ctx, tx, s.Log, t.caller, now, hash)
	})
}

// flag notes that a passkey's counter went back, unless the passkey is gone.
func (s *Authentications) flag(ctx context.Context, tx pgx.Tx, t *attempt, c store.Credential) error {
	held, err := holdCredentials(ctx, tx, s.Log, c.User)
	if err != nil {
		return err
	}
	events, err := credential.Flag{User: c.User, ID: c.ID}.Decide(held.set)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) || err == nil && len(events) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := store.FlagPasskey(ctx, tx, c.User, c.ID); err != nil {
		return err
	}
	_, err = commit.Append(ctx, tx, s.Log, held.head, t.caller, events)
	return err
}
