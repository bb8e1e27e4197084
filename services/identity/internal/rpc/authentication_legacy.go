package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// judgeElsewhere asks the sources that the user came from about a password that is
// not the user's here, and makes it the user's if one accepts. What is to be asked
// is looked for whoever the user is, also for nobody: of a user who has a password
// there is no source to ask.
//
// The password is set before the attempt is recorded, so that the proof is of a
// credential like any other. A policy of passwords does not hold for it: it is not
// new.
//
// Errors: SERVICE_UNAVAILABLE when a source gave no verdict; INVALID_FIELD for a
// password that was accepted and cannot be kept.
func (s *Authentications) judgeElsewhere(ctx context.Context, t *attempt) (judgement, error) {
	person, own := t.opened.who.user, single(t.opened.who.credentials, credential.Password)
	source, err := s.Legacy.Verify(ctx, person.ID, person.Email, t.text)
	if err != nil {
		return judgement{}, err
	}
	if source == "" {
		return s.judgeMeanwhile(ctx, t, person.ID, own)
	}
	hash, err := s.Factors.Hasher.Hash(ctx, t.text)
	if err != nil {
		return judgement{}, err
	}
	var made store.Credential
	_, err = s.Log.Commit(ctx, eventlog.Request{Log: person.ID}, func(ctx context.Context, tx pgx.Tx) error {
		held, err := holdCredentials(ctx, tx, s.Log, person.ID)
		if err != nil {
			return err
		}
		if made = single(held.rows, credential.Password); made.ID != "" {
			return nil // set meanwhile
		}
		made, _, err = held.setPassword(ctx, tx, s.Log, t.caller, newPassword{hash: hash, origin: source, at: s.Clock()})
		return err
	})
	if err != nil || made.Hash == hash {
		return t.by(made, err == nil), err
	}
	return s.judgeHash(ctx, t, made)
}

// judgeMeanwhile judges a password that no source was asked about: of a user whose
// first password was set since the attempt began, by another sign-in, it may be right.
// It looks for whoever the user is.
func (s *Authentications) judgeMeanwhile(ctx context.Context, t *attempt, user string, before store.Credential) (judgement, error) {
	rows, err := store.ListCredentials(ctx, s.DB.Pool(), user)
	if err != nil {
		return judgement{}, err
	}
	if now := single(rows, credential.Password); before.ID == "" && now.ID != "" {
		return s.judgeHash(ctx, t, now)
	}
	return t.by(before, false), nil
}

func (s *Authentications) judgeHash(ctx context.Context, t *attempt, c store.Credential) (judgement, error) {
	result, err := s.Factors.Hasher.Verify(ctx, c.Hash, t.text)
	return t.by(c, result.Match), err
}
