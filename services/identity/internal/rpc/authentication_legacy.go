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
	if err != nil || source == "" {
		return t.by(own, false), err
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
	result, err := s.Factors.Hasher.Verify(ctx, made.Hash, t.text)
	return t.by(made, result.Match), err
}
