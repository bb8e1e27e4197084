package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Credentials serves CredentialService.
type Credentials struct {
	identityv1connect.UnimplementedCredentialServiceHandler

	DB      *sqldb.DB
	Log     *eventlog.Store
	Blind   blind.Key
	Factors Factors
	// Post tells users about new passwords; nil: nobody is told.
	Post  *Post
	Clock func() time.Time
}

var _ identityv1connect.CredentialServiceHandler = (*Credentials)(nil)

// ListCredentials implements CredentialService.
func (s *Credentials) ListCredentials(
	ctx context.Context, req *identityv1.ListCredentialsRequest,
) (*identityv1.ListCredentialsResponse, error) {
	if _, err := store.FindUser(ctx, s.DB.Pool(), req.GetUser()); err != nil {
		return nil, err
	}
	rows, err := store.ListCredentials(ctx, s.DB.Pool(), req.GetUser())
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListCredentialsResponse{}
	for _, row := range rows {
		out.Credentials = append(out.Credentials, credentialMessage(row))
	}
	return out, nil
}

// credentialChange is a decision about a user's credentials, and the rows that it
// changes.
type credentialChange struct {
	decide func(credential.Set) ([]proto.Message, error)
	// write is not called where nothing was decided.
	write func(ctx context.Context, tx pgx.Tx) error
}

// change decides about a user's credentials, writes, and appends.
//
// Errors: NOT_FOUND, USER_ERASED, those of decide and write.
func (s *Credentials) change(
	ctx context.Context, tx pgx.Tx, caller principal.Principal, held *heldCredentials, c credentialChange,
) (string, error) {
	events, err := c.decide(held.set)
	if err != nil {
		return "", err
	}
	if len(events) > 0 {
		if err := c.write(ctx, tx); err != nil {
			return "", err
		}
	}
	return commit.Append(ctx, tx, s.Log, held.head, caller, events)
}

// RenameCredential implements CredentialService.
func (s *Credentials) RenameCredential(
	ctx context.Context, req *identityv1.RenameCredentialRequest,
) (*identityv1.RenameCredentialResponse, error) {
	name, err := displayname.Check("name", req.GetName())
	if err != nil {
		return nil, err
	}
	command := credential.Rename{User: req.GetUser(), ID: req.GetCredential(), Name: name}
	out := &identityv1.RenameCredentialResponse{}
	var row store.Credential
	_, err = commit.Once(ctx, s.Log, req.GetUser(), identityv1connect.CredentialServiceRenameCredentialProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			held, err := holdCredentials(ctx, tx, s.Log, req.GetUser())
			if err != nil {
				return err
			}
			row = held.row(command.ID)
			row.Name = name
			out.Credential = nameless(credentialMessage(row))
			out.Revision, err = s.change(ctx, tx, caller, held, credentialChange{command.Decide, func(ctx context.Context, tx pgx.Tx) error {
				return store.RenameCredential(ctx, tx, command.User, command.ID, name)
			}})
			return err
		})
	if err != nil {
		return nil, err
	}
	out.Credential.Name = name
	return out, nil
}

// nameless is a credential as an outcome keeps it: its name is personal data, which
// nothing keeps that is not erased with the user.
func nameless(c *identityv1.Credential) *identityv1.Credential {
	c.Name = ""
	return c
}

// DeleteCredential implements CredentialService.
func (s *Credentials) DeleteCredential(
	ctx context.Context, req *identityv1.DeleteCredentialRequest,
) (*identityv1.DeleteCredentialResponse, error) {
	command := credential.Delete{User: req.GetUser(), ID: req.GetCredential()}
	out := &identityv1.DeleteCredentialResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetUser(), identityv1connect.CredentialServiceDeleteCredentialProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			held, err := holdCredentials(ctx, tx, s.Log, req.GetUser())
			if err != nil {
				return err
			}
			out.Revision, err = s.change(ctx, tx, caller, held, credentialChange{command.Decide, func(ctx context.Context, tx pgx.Tx) error {
				return store.DeleteCredential(ctx, tx, command.User, command.ID)
			}})
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func credentialMessage(c store.Credential) *identityv1.Credential {
	out := &identityv1.Credential{
		Id: c.ID, User: c.User, Kind: c.Kind, Name: c.Name, CreatedAt: timestamppb.New(c.CreatedAt), Left: c.Left,
	}
	if c.LastUsedAt != nil {
		out.LastUsedAt = timestamppb.New(*c.LastUsedAt)
	}
	if c.Kind == credential.Passkey {
		out.Passkey = &identityv1.Passkey{
			RpId: c.RPID, Aaguid: c.AAGUID, Transports: c.Passkey.Transports,
			BackupEligible: c.BackupEligible, BackedUp: c.Passkey.BackedUp, Flagged: c.Flagged,
			UserVerified: c.Passkey.UserVerified,
		}
	}
	return out
}
