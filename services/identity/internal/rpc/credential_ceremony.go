package rpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/otp"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// micro is a time as rows hold it.
func micro(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }

// begun is what a ceremony keeps until it is finished.
type begun struct {
	// Options and State are a passkey's, Seed is a TOTP's.
	Options json.RawMessage `json:"options,omitempty"`
	State   json.RawMessage `json:"state,omitempty"`
	Seed    json.RawMessage `json:"seed,omitempty"`
}

// beginning is a request that opens a ceremony.
type beginning interface {
	commit.Mutation
	GetUser() string
}

// opening is how a ceremony is opened.
type opening struct {
	kind      credential.Kind
	procedure string
	req       beginning
	tries     int
	// out is the answer. The outcome that is kept has the ceremony's id and nothing
	// else, for which there is a place in out.
	out proto.Message
	id  *string
	// begin makes what the ceremony keeps.
	begin func(*heldCredentials) (begun, error)
}

// open opens a ceremony, and returns what it keeps: for a repeated call, what the
// first one made.
func (s *Credentials) open(ctx context.Context, o opening) (begun, error) {
	var made begun
	replayed, err := commit.Once(ctx, s.Log, o.req.GetUser(), o.procedure, o.req, o.out,
		func(ctx context.Context, tx pgx.Tx, _ principal.Principal) error {
			held, err := holdCredentials(ctx, tx, s.Log, o.req.GetUser())
			if err != nil {
				return err
			}
			if err := held.set.Room(o.kind); err != nil {
				return err
			}
			if made, err = o.begin(held); err != nil {
				return err
			}
			c := store.Ceremony{
				ID: id.New(id.Authentication), User: o.req.GetUser(), Kind: o.kind, Attempts: o.tries,
				HomeRegion: held.head.HomeRegion, ExpiresAt: micro(s.Clock().Add(ceremonyLife)),
			}
			plain, err := json.Marshal(made)
			if err != nil {
				return err
			}
			if c.State, err = s.Log.Seal(ctx, tx, held.head, sealedFor(o.kind, c.ID), plain); err != nil {
				return err
			}
			*o.id = c.ID
			return store.InsertCeremony(ctx, tx, c)
		})
	if err != nil || !replayed {
		return made, err
	}
	c, err := store.FindCeremony(ctx, s.DB.Pool(), *o.id, o.req.GetUser(), o.kind, s.Clock())
	if err != nil {
		return made, err
	}
	return s.kept(ctx, s.DB.Pool(), c)
}

// kept is what a ceremony keeps.
//
// Errors: USER_ERASED, KEY_ELSEWHERE.
func (s *Credentials) kept(ctx context.Context, q sqldb.Querier, c store.Ceremony) (begun, error) {
	plain, err := s.Log.Unseal(ctx, q, c.User, sealedFor(c.Kind, c.ID), c.State)
	if err != nil {
		return begun{}, err
	}
	var kept begun
	if err := json.Unmarshal(plain, &kept); err != nil {
		return kept, fault.New(fault.Internal, commonv1.Reason_DEFECT, "a ceremony cannot be read").Because(err)
	}
	return kept, nil
}

// BeginPasskey implements CredentialService.
func (s *Credentials) BeginPasskey(ctx context.Context, req *identityv1.BeginPasskeyRequest) (*identityv1.BeginPasskeyResponse, error) {
	if s.Factors.Passkeys == nil {
		return nil, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "there are no passkeys here")
	}
	out := &identityv1.BeginPasskeyResponse{}
	made, err := s.open(ctx, opening{
		kind: credential.Passkey, procedure: identityv1connect.CredentialServiceBeginPasskeyProcedure, req: req, tries: passkeyTries,
		out: out, id: &out.Ceremony, begin: s.registration,
	})
	if err != nil {
		return nil, err
	}
	out.Options = string(made.Options)
	return out, nil
}

// registration asks for a passkey as the deployment demands it. Where user verification
// is preferred only, an authenticator that cannot do it becomes a second factor.
func (s *Credentials) registration(held *heldCredentials) (begun, error) {
	var exclude []passkey.Credential
	for _, c := range held.rows {
		if c.Kind == credential.Passkey && c.RPID == s.Factors.Passkeys.ID {
			exclude = append(exclude, relied(c))
		}
	}
	who := passkey.User{
		ID: []byte(held.user.ID), Name: cmp.Or(held.user.Email, held.user.ID), DisplayName: cmp.Or(held.user.Name, held.user.Email),
	}
	demand := s.Factors.Registration
	demand.Timeout = ceremonyLife
	options, state, err := s.Factors.Passkeys.BeginRegistration(s.Clock(), who, exclude, demand)
	if err != nil {
		return begun{}, err
	}
	encoded, err := state.Encode()
	return begun{Options: options, State: encoded}, err
}

// FinishPasskey implements CredentialService.
func (s *Credentials) FinishPasskey(ctx context.Context, req *identityv1.FinishPasskeyRequest) (*identityv1.FinishPasskeyResponse, error) {
	if s.Factors.Passkeys == nil {
		return nil, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "there are no passkeys here")
	}
	name, err := nameOf(req.GetName())
	if err != nil {
		return nil, err
	}
	out := &identityv1.FinishPasskeyResponse{}
	f := finishing{
		kind: credential.Passkey, procedure: identityv1connect.CredentialServiceFinishPasskeyProcedure, req: req, out: out,
		judge: func(kept begun, at time.Time) (store.Credential, error) {
			return s.registered(kept, req.GetResponse(), at)
		},
		answer: func(c *identityv1.Credential, revision string) { out.Credential, out.Revision = c, revision },
	}
	f.decide = func(held *heldCredentials, row store.Credential) ([]proto.Message, error) {
		return credential.AddPasskey{
			User: req.GetUser(), ID: row.ID, Name: name, RPID: row.RPID, AAGUID: row.AAGUID, Format: row.Format, BackupEligible: row.BackupEligible,
		}.Decide(held.set)
	}
	if err := s.finish(ctx, f, name); err != nil {
		return nil, err
	}
	out.Credential.Name = name
	return out, nil
}

// registered judges what the browser made.
//
// Errors: CREDENTIAL_REJECTED.
func (s *Credentials) registered(kept begun, response string, at time.Time) (store.Credential, error) {
	state, err := passkey.DecodeState(kept.State)
	if err != nil {
		return store.Credential{}, fault.New(fault.Internal, commonv1.Reason_DEFECT, "a ceremony cannot be read").Because(err)
	}
	made, err := s.Factors.Passkeys.FinishRegistration(at, state, []byte(response))
	if refusal, refused := errors.AsType[passkey.Refusal](err); refused {
		return store.Credential{}, credential.Rejected(string(refusal.Rule))
	}
	if err != nil {
		return store.Credential{}, err
	}
	return store.Credential{
		State: credential.State{
			Kind: credential.Passkey, RPID: made.RPID, AAGUID: made.AAGUID[:], Format: made.AttestationFormat, BackupEligible: made.BackupEligible,
		},
		Passkey: store.Passkey{
			RawID: made.ID, PublicKey: made.PublicKey, Algorithm: int32(made.Algorithm), SignCount: int64(made.SignCount),
			Transports: made.Transports, BackedUp: made.BackupState, UserVerified: made.UserVerified,
			Discoverable: made.Discoverable, Trusted: made.Trusted,
		},
	}, nil
}

// BeginTotp implements CredentialService.
func (s *Credentials) BeginTotp(ctx context.Context, req *identityv1.BeginTotpRequest) (*identityv1.BeginTotpResponse, error) {
	out := &identityv1.BeginTotpResponse{}
	made, err := s.open(ctx, opening{
		kind: credential.TOTP, procedure: identityv1connect.CredentialServiceBeginTotpProcedure, req: req, tries: totpTries,
		out: out, id: &out.Ceremony, begin: newSeed,
	})
	if err != nil {
		return nil, err
	}
	key, err := decodeSeed(made.Seed)
	if err != nil {
		return nil, err
	}
	owner, err := store.FindUser(ctx, s.DB.Pool(), req.GetUser())
	if err != nil {
		return nil, err
	}
	uri, err := key.URI(cmp.Or(s.Factors.Issuer, "Meridian"), cmp.Or(owner.Email, owner.ID))
	if err != nil {
		return nil, err
	}
	out.Uri, out.Secret = uri.Reveal(), key.Secret().Reveal()
	return out, nil
}

func newSeed(*heldCredentials) (begun, error) {
	key, err := otp.NewKey(otp.Settings{})
	if err != nil {
		return begun{}, err
	}
	encoded, err := encodeSeed(key)
	return begun{Seed: encoded}, err
}

// FinishTotp implements CredentialService.
func (s *Credentials) FinishTotp(ctx context.Context, req *identityv1.FinishTotpRequest) (*identityv1.FinishTotpResponse, error) {
	name, err := nameOf(req.GetName())
	if err != nil {
		return nil, err
	}
	out := &identityv1.FinishTotpResponse{}
	f := finishing{
		kind: credential.TOTP, procedure: identityv1connect.CredentialServiceFinishTotpProcedure, req: req, out: out,
		judge: func(kept begun, at time.Time) (store.Credential, error) {
			key, err := decodeSeed(kept.Seed)
			if err != nil {
				return store.Credential{}, err
			}
			step, ok := key.Verify(secret.NewString(req.GetCode()), at, 0)
			if !ok {
				return store.Credential{}, credential.Rejected("code")
			}
			return store.Credential{State: credential.State{Kind: credential.TOTP}, LastStep: step, Sealed: kept.Seed}, nil
		},
		answer: func(c *identityv1.Credential, revision string) { out.Credential, out.Revision = c, revision },
	}
	f.decide = func(held *heldCredentials, row store.Credential) ([]proto.Message, error) {
		return credential.AddTOTP{User: req.GetUser(), ID: row.ID, Name: name}.Decide(held.set)
	}
	if err := s.finish(ctx, f, name); err != nil {
		return nil, err
	}
	out.Credential.Name = name
	return out, nil
}

// finishing is how a ceremony is finished.
type finishing struct {
	kind      credential.Kind
	procedure string
	req       finish
	out       proto.Message
	// judge says what was made; a TOTP's seed is yet to be sealed.
	judge  func(kept begun, at time.Time) (store.Credential, error)
	decide func(held *heldCredentials, row store.Credential) ([]proto.Message, error)
	answer func(c *identityv1.Credential, revision string)
}

// finish is a request that finishes a ceremony.
type finish interface {
	beginning
	GetCeremony() string
}

// finish adds the credential that a ceremony was about. A response that is rejected
// uses a try up, in a transaction of its own.
//
// Errors: NOT_FOUND, AUTHENTICATION_ENDED, CREDENTIAL_REJECTED, ALREADY_EXISTS,
// LIMIT_REACHED.
func (s *Credentials) finish(ctx context.Context, f finishing, name string) error {
	at := s.Clock()
	_, err := commit.Once(ctx, s.Log, f.req.GetUser(), f.procedure, f.req, f.out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			held, err := holdCredentials(ctx, tx, s.Log, f.req.GetUser())
			if err != nil {
				return err
			}
			row, err := s.judged(ctx, tx, held, f, at)
			if err != nil {
				return err
			}
			row.ID, row.User, row.HomeRegion, row.CreatedAt = id.New(id.Credential), f.req.GetUser(), held.head.HomeRegion, micro(at)
			events, err := f.decide(held, row)
			if err != nil {
				return err
			}
			row.Name = name
			if f.kind == credential.TOTP {
				if row.Sealed, err = s.Log.Seal(ctx, tx, held.head, sealedFor(credential.TOTP, row.ID), row.Sealed); err != nil {
					return err
				}
			}
			if err := store.InsertCredential(ctx, tx, row); err != nil {
				return err
			}
			token, err := commit.Append(ctx, tx, s.Log, held.head, caller, events)
			f.answer(nameless(credentialMessage(row)), token)
			return err
		})
	if fault.Is(err, commonv1.Reason_CREDENTIAL_REJECTED) {
		return cmp.Or(s.tried(ctx, f.req.GetCeremony()), err)
	}
	return err
}

// judged takes a ceremony, which is over with that if what was made is good.
func (s *Credentials) judged(ctx context.Context, tx pgx.Tx, held *heldCredentials, f finishing, at time.Time) (store.Credential, error) {
	c, err := store.FindCeremony(ctx, tx, f.req.GetCeremony(), held.user.ID, f.kind, at)
	if err != nil {
		return store.Credential{}, err
	}
	taken, err := store.FinishCeremony(ctx, tx, c.ID)
	if err != nil {
		return store.Credential{}, err
	}
	if !taken {
		return store.Credential{}, authentication.Ended()
	}
	kept, err := s.kept(ctx, tx, c)
	if err != nil {
		return store.Credential{}, err
	}
	return f.judge(kept, at)
}

// tried uses a try of a ceremony up.
func (s *Credentials) tried(ctx context.Context, ceremonyID string) error {
	return s.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return store.TryCeremony(ctx, tx, ceremonyID)
	})
}
