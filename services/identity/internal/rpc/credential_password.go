package rpc

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
	"github.com/meridian-iam/meridian/services/identity/internal/recovery"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// SetPassword implements CredentialService. A password is hashed before the
// transaction; when another one was set meanwhile, it is checked again against
// the history.
func (s *Credentials) SetPassword(ctx context.Context, req *identityv1.SetPasswordRequest) (*identityv1.SetPasswordResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	if s.Blind.IsZero() {
		return nil, noKey() // the outcome is kept beside a hash of the request
	}
	settings, err := s.settings(ctx, req.GetOrganization())
	if err != nil {
		return nil, err
	}
	out := &identityv1.SetPasswordResponse{}
	for range staleTries {
		var before store.Credential
		var refused error // said in the transaction, so that a repeated call gets the first outcome
		p := newPassword{origin: "import", hash: req.GetHash(), at: s.Clock()}
		if req.GetHash() == "" {
			p.origin = "administrator"
			p.history = s.Factors.passwordPolicy(settings).History
			before, p.hash, refused = s.hashed(ctx, req, settings)
		} else {
			refused = s.imported(p.hash)
		}
		var held *heldCredentials
		replayed, err := s.Log.Commit(ctx, eventlog.Request{
			Scope: caller.Scope(), Key: req.GetIdempotencyKey(), Log: req.GetUser(),
			Procedure: identityv1connect.CredentialServiceSetPasswordProcedure, Message: req, Outcome: out,
		}, func(ctx context.Context, tx pgx.Tx) error {
			if refused != nil {
				return refused
			}
			var err error
			if held, err = holdCredentials(ctx, tx, s.Log, req.GetUser()); err != nil {
				return err
			}
			if now := single(held.rows, credential.Password); p.history > 0 && now.Version != before.Version {
				return errStale
			}
			row, token, err := held.setPassword(ctx, tx, s.Log, caller, p)
			out.Credential, out.Revision = credentialMessage(row), token
			return err
		})
		switch {
		case errors.Is(err, errStale):
			continue
		case err != nil:
			return nil, err
		case !replayed && p.origin == "administrator" && single(held.rows, credential.Password).ID != "":
			s.Post.passwordChanged(ctx, held.user, p.at)
		}
		return out, nil
	}
	return nil, fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "the password was changed again and again meanwhile")
}

// staleTries is how often a password is checked against a history that grows.
const staleTries = 3

// errStale says that the password was changed since it was read.
var errStale = fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "the password was changed meanwhile")

// settings are what an organization asks of passwords, or the platform.
//
// Errors: NOT_FOUND.
func (s *Credentials) settings(ctx context.Context, organizationID string) (organization.Settings, error) {
	if organizationID == "" {
		return organization.Settings{}, nil
	}
	o, err := store.FindOrganization(ctx, s.DB.Pool(), organizationID)
	return o.Settings, err
}

// hashed checks a password and hashes it; before is the one that there is.
//
// Errors: NOT_FOUND, USER_ERASED, those of Factors.newHash.
func (s *Credentials) hashed(
	ctx context.Context, req *identityv1.SetPasswordRequest, settings organization.Settings,
) (before store.Credential, hash string, err error) {
	owner, err := store.FindUser(ctx, s.DB.Pool(), req.GetUser())
	if err != nil {
		return before, "", err
	}
	if err := owner.Present(); err != nil {
		return before, "", err
	}
	rows, err := store.ListCredentials(ctx, s.DB.Pool(), req.GetUser())
	if err != nil {
		return before, "", err
	}
	before = single(rows, credential.Password)
	hash, err = s.Factors.newHash(ctx, s.Factors.passwordPolicy(settings), identityOf(subject{user: owner}, ""),
		former(before), secret.NewString(req.GetPassword()))
	return before, hash, err
}

// imported checks the hash of a password that nobody has typed here.
func (s *Credentials) imported(hash string) error {
	if s.Factors.Hasher == nil {
		return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "there are no passwords here")
	}
	return s.Factors.Hasher.Check(hash)
}

// IssueRecoveryCodes implements CredentialService.
func (s *Credentials) IssueRecoveryCodes(
	ctx context.Context, req *identityv1.IssueRecoveryCodesRequest,
) (*identityv1.IssueRecoveryCodesResponse, error) {
	codes, made := recovery.New(req.GetUser())
	stored := make([][]byte, len(made))
	for i := range made {
		stored[i] = made[i][:]
	}
	command := credential.IssueCodes{User: req.GetUser(), ID: id.New(id.Credential), Count: recovery.Count}
	out := &identityv1.IssueRecoveryCodesResponse{}
	replayed, err := commit.Once(ctx, s.Log, req.GetUser(), identityv1connect.CredentialServiceIssueRecoveryCodesProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			held, err := holdCredentials(ctx, tx, s.Log, req.GetUser())
			if err != nil {
				return err
			}
			row, exists := single(held.rows, credential.RecoveryCodes), true
			if row.ID == "" {
				row = store.Credential{
					State: credential.State{ID: command.ID, Kind: credential.RecoveryCodes}, User: req.GetUser(),
					HomeRegion: held.head.HomeRegion, CreatedAt: micro(s.Clock()),
				}
				exists = false
			}
			row.Codes, row.Left = stored, recovery.Count
			out.Credential = credentialMessage(row)
			out.Revision, err = s.change(ctx, tx, caller, held, credentialChange{command.Decide, func(ctx context.Context, tx pgx.Tx) error {
				if exists {
					return store.SetRecoveryCodes(ctx, tx, row.User, row.ID, stored)
				}
				return store.InsertCredential(ctx, tx, row)
			}})
			return err
		})
	if err != nil {
		return nil, err
	}
	if !replayed {
		for _, c := range codes {
			out.Codes = append(out.Codes, c.Reveal())
		}
	}
	return out, nil
}
