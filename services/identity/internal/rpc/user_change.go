package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// UpdateUser implements UserService.
func (s *Users) UpdateUser(ctx context.Context, req *identityv1.UpdateUserRequest) (*identityv1.UpdateUserResponse, error) {
	command := user.Update{Locale: req.Locale, EmailVerified: req.EmailVerified}
	if req.Name != nil {
		name, err := nameOf(req.GetName())
		if err != nil {
			return nil, err
		}
		command.Name = &name
	}
	out := &identityv1.UpdateUserResponse{}
	var row store.User
	replayed, err := commit.Once(ctx, s.Log, req.GetUser(), identityv1connect.UserServiceUpdateUserProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			var err error
			row, out.Revision, err = s.change(ctx, tx, req.GetUser(), address.Address{}, caller, command.Decide)
			out.User = outcomeUser(row)
			return err
		})
	if err != nil {
		return nil, err
	}
	out.User, err = answerUser(ctx, s.DB.Pool(), replayed, row, out.GetUser())
	return out, err
}

// ChangeEmail implements UserService.
func (s *Users) ChangeEmail(ctx context.Context, req *identityv1.ChangeEmailRequest) (*identityv1.ChangeEmailResponse, error) {
	email, err := address.Parse(req.GetEmail())
	if err != nil {
		return nil, err
	}
	command := user.ChangeEmail{Email: email, Verified: req.GetEmailVerified()}
	out := &identityv1.ChangeEmailResponse{}
	var row store.User
	replayed, err := commit.Once(ctx, s.Log, req.GetUser(), identityv1connect.UserServiceChangeEmailProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			var err error
			row, out.Revision, err = s.change(ctx, tx, req.GetUser(), email, caller, command.Decide)
			out.User = outcomeUser(row)
			return err
		})
	if err != nil {
		return nil, err
	}
	out.User, err = answerUser(ctx, s.DB.Pool(), replayed, row, out.GetUser())
	return out, err
}

// change decides about a user, and writes what was decided. email is the user's new
// address, or the zero Address.
//
// Errors: NOT_FOUND, ALREADY_EXISTS (field "email"), those of decide.
func (s *Users) change(
	ctx context.Context, tx pgx.Tx, userID string, email address.Address, caller principal.Principal,
	decide func(user.State) ([]proto.Message, error),
) (store.User, string, error) {
	head, row, err := s.lock(ctx, tx, userID)
	if err != nil {
		return row, "", err
	}
	events, err := decide(row.State)
	if err != nil {
		return row, "", err
	}
	if len(events) > 0 {
		before := row.State
		for _, e := range events {
			row.Apply(e)
		}
		var index []byte
		if email.Text != "" && !before.Has(email) {
			if index, err = s.index(row.Realm, email); err != nil {
				return row, "", err
			}
		}
		if err := store.UpdateUser(ctx, tx, before, row, index); err != nil {
			return row, "", err
		}
	}
	token, err := commit.Append(ctx, tx, s.Log, head, caller, events)
	return row, token, err
}

// lock locks a user's log and reads the user.
//
// Errors: NOT_FOUND.
func (s *Users) lock(ctx context.Context, tx pgx.Tx, userID string) (eventlog.Head, store.User, error) {
	head, err := s.Log.Lock(ctx, tx, userID)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return head, store.User{}, user.NotFound()
	case err != nil:
		return head, store.User{}, err
	}
	row, err := store.FindUser(ctx, tx, userID)
	return head, row, err
}
