package rpc

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// The state of an authentication holds an address, and what was proved. Its row
// can be opened, or written anew, by nobody but with the browser's secret, whose
// hash the row has.

// opened is an authentication that a browser has shown to be its own.
type opened struct {
	row    store.Authentication
	secret secret.String
	state  authentication.State
	who    subject
}

// look reads an authentication.
//
// Errors: AUTHENTICATION_ENDED for one that is absent, another browser's, or of a
// user who is gone.
func (s *Authentications) look(ctx context.Context, req owned) (*opened, error) {
	row, err := store.FindAuthentication(ctx, s.DB.Pool(), req.GetAuthentication())
	if err != nil {
		return nil, err
	}
	a, err := s.unlock(row, secret.NewString(req.GetSecret()))
	if err != nil {
		return nil, err
	}
	return a, s.about(ctx, s.DB.Pool(), a)
}

// lock reads an authentication again, with its row locked to the end of the
// transaction. Whom it is about is as before has it, so that the transaction looks
// at no row of users, for which sign-ins would conflict; nil reads it.
//
// Errors: as look. The transaction must be rolled back then.
func (s *Authentications) lock(ctx context.Context, tx pgx.Tx, req owned, before *opened) (*opened, error) {
	row, err := store.LockAuthentication(ctx, tx, req.GetAuthentication())
	if err != nil {
		return nil, err
	}
	a, err := s.unlock(row, secret.NewString(req.GetSecret()))
	switch {
	case err != nil:
		return nil, err
	case before != nil && before.state.User == a.state.User:
		a.who, a.state.Has = before.who, before.who.has
		return a, nil
	}
	return a, s.about(ctx, tx, a)
}

// owned is a request of the browser that an authentication belongs to.
type owned interface {
	GetAuthentication() string
	GetSecret() string
}

// unlock opens the state of a row.
func (s *Authentications) unlock(row store.Authentication, own secret.String) (*opened, error) {
	if s.Blind.IsZero() {
		return nil, noKey()
	}
	if subtle.ConstantTimeCompare(hashSecret(own), row.SecretHash) != 1 {
		return nil, authentication.Ended()
	}
	a := &opened{row: row, secret: own}
	var err error
	a.state, err = unsealed(row, own)
	return a, err
}

// about reads whom an authentication is about.
func (s *Authentications) about(ctx context.Context, q sqldb.Querier, a *opened) (err error) {
	if a.who, err = s.subject(ctx, q, a.state.User); err != nil {
		return err
	}
	if a.state.User != "" && (a.who.user.Status == 0 || a.who.user.Status == user.Erased) {
		return authentication.Ended()
	}
	a.state.Has = a.who.has
	return nil
}

// save writes the state of an authentication that lock has opened.
func (a *opened) save(ctx context.Context, tx pgx.Tx) error {
	row, err := sealed(a.row, a.secret, &a.state)
	if err != nil {
		return err
	}
	return store.UpdateAuthentication(ctx, tx, row)
}

func hashSecret(own secret.String) []byte {
	sum := sha256.Sum256([]byte(own.Reveal()))
	return sum[:]
}

// sealed returns the row with a state.
func sealed(row store.Authentication, own secret.String, state *authentication.State) (store.Authentication, error) {
	plain, err := json.Marshal(state)
	if err != nil {
		return row, fmt.Errorf("encode authentication: %w", err)
	}
	key, err := stateKey(own)
	if err != nil {
		return row, err
	}
	row.SecretHash, row.ExpiresAt = hashSecret(own), state.ExpiresAt
	row.State = key.Seal(nil, nil, plain, []byte(row.ID)) //nolint:gosec // it makes its own nonces
	return row, nil
}

// unsealed returns the state of a row.
func unsealed(row store.Authentication, own secret.String) (authentication.State, error) {
	key, err := stateKey(own)
	if err != nil {
		return authentication.State{}, err
	}
	plain, err := key.Open(nil, nil, row.State, []byte(row.ID))
	if err != nil {
		return authentication.State{}, broken(err)
	}
	var state authentication.State
	if err := json.Unmarshal(plain, &state); err != nil || state.ID != row.ID {
		return authentication.State{}, broken(err)
	}
	return state, nil
}

func broken(err error) error {
	return fault.New(fault.Internal, commonv1.Reason_DEFECT, "the state of an authentication cannot be opened").Because(err)
}

// stateKey makes AES-256-GCM with random nonces, of which one key needs about ten.
func stateKey(own secret.String) (cipher.AEAD, error) {
	mac := hmac.New(sha256.New, []byte(own.Reveal()))
	mac.Write([]byte("meridian authentication state"))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("key of an authentication: %w", err)
	}
	key, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("key of an authentication: %w", err)
	}
	return key, nil
}

// call is a step's idempotency key and request, as the authentication remembers
// them.
type call struct{ key, request []byte }

// step is the request of a step.
type step interface {
	commit.Mutation
	owned
	GetClient() *identityv1.Client
}

// macSize is enough: an authentication has few calls.
const macSize = 16

// callOf hashes a call under the key: its proof may be a password. Where it comes
// from may change when it is repeated.
func (s *Authentications) callOf(req step) (call, error) {
	if s.Blind.IsZero() {
		return call{}, noKey()
	}
	plain := proto.Clone(req)
	plain.ProtoReflect().Clear(plain.ProtoReflect().Descriptor().Fields().ByName("client"))
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(plain)
	if err != nil {
		return call{}, fault.Field("request", "encodable", "the request cannot be encoded")
	}
	return call{
		key:     s.Blind.Index("call", req.GetAuthentication(), req.GetIdempotencyKey())[:macSize],
		request: s.Blind.Index("call request", string(req.ProtoReflect().Descriptor().FullName()), string(b))[:macSize],
	}, nil
}
