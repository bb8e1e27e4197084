package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// EraseUser implements UserService. It opens nothing, so that any region can do it.
//
// Invitations of the address that wait are revoked after the commit, each in its
// organization's log. One that is left, because the process ends, goes when it has
// long expired.
func (s *Users) EraseUser(ctx context.Context, req *identityv1.EraseUserRequest) (*identityv1.EraseUserResponse, error) {
	out := &identityv1.EraseUserResponse{}
	var blind []byte
	var caller principal.Principal
	_, err := commit.Once(ctx, s.Log, "", identityv1connect.UserServiceEraseUserProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, c principal.Principal) error {
			caller = c
			e, err := s.everywhere(ctx, tx, req.GetUser(), caller, func(membership.State) bool { return true })
			if err != nil {
				return err
			}
			blind = s.blindOf(e.person)
			if err := e.erase(ctx, req.GetForce()); err != nil {
				return err
			}
			if out.Proof, err = proofOf(ctx, tx, s.Log, req.GetUser()); err != nil {
				return err
			}
			out.Revision, out.OrganizationRevisions, err = e.revisions()
			return err
		})
	if err != nil {
		return nil, err
	}
	if s.Invitations != nil && blind != nil {
		// The user is erased all the same; a caller who goes away stops nothing.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetBound)
		defer cancel()
		_ = s.Invitations.forgetAddress(ctx, blind, caller)
	}
	return out, nil
}

// forgetBound is how long revoking the invitations of an erased address may take.
const forgetBound = 10 * time.Second

// blindOf is what invitations of a user's address are found by, nil without one.
func (s *Users) blindOf(u store.User) []byte {
	email, err := address.Parse(u.Email)
	if err != nil || s.Blind.IsZero() {
		return nil
	}
	return store.BlindEmail(s.Blind, u.Realm, email)
}

// erase ends the memberships, removes what tells who the user is, and destroys the
// key. Of a user who is erased it does nothing.
//
// Errors: NOT_FOUND, LAST_ADMINISTRATOR.
func (e *everywhere) erase(ctx context.Context, force bool) error {
	own := e.heads[len(e.heads)-1]
	if e.person.Status == user.Erased {
		return e.append(ctx, own, nil)
	}
	for i, m := range e.members {
		other, err := otherAdmin(ctx, e.tx, m.State)
		if err != nil {
			return err
		}
		events, err := depart(ctx, e.tx, m.State, membership.Remove{OtherAdmin: other, Manages: true, Force: force})
		if err != nil {
			return err
		}
		if err := e.append(ctx, e.heads[i], events); err != nil {
			return err
		}
	}
	if err := forget(ctx, e.tx, e.person); err != nil {
		return err
	}
	digest, err := e.log.Erase(ctx, e.tx, e.person.ID)
	if err != nil {
		return err
	}
	events, err := user.Erase{KeyDigest: digest}.Decide(e.person.State)
	if err != nil {
		return err
	}
	for _, change := range events {
		e.person.Apply(change)
	}
	if err := store.SetUserState(ctx, e.tx, e.person); err != nil {
		return err
	}
	return e.append(ctx, own, events)
}

// forget removes the rows that tell who a user is, and what the user proves it with.
// The user's log is locked.
func forget(ctx context.Context, tx pgx.Tx, u store.User) error {
	if err := store.DeleteCredentials(ctx, tx, u.ID); err != nil {
		return err
	}
	if err := store.ForgetLinks(ctx, tx, u.ID); err != nil {
		return err
	}
	return store.ForgetUser(ctx, tx, u.ID)
}

// proofOf reads the proof of an erasure from the last event of the user's log.
func proofOf(ctx context.Context, q sqldb.Querier, log *eventlog.Store, userID string) (*identityv1.ErasureProof, error) {
	head, err := log.Head(ctx, q, userID)
	if err != nil {
		return nil, err
	}
	events, err := log.Read(ctx, q, userID, head.Sequence, 1)
	if err != nil {
		return nil, err
	}
	if len(events) == 1 {
		event, err := events[0].Message()
		if err != nil {
			return nil, err
		}
		if erased, ok := event.(*eventv1.UserErased); ok {
			return &identityv1.ErasureProof{
				User: userID, ErasedAt: timestamppb.New(head.Time), KeyDigest: erased.GetKeyDigest(),
				Sequence: head.Sequence, Hash: head.Hash[:],
			}, nil
		}
	}
	return nil, fault.New(fault.Internal, commonv1.Reason_DEFECT, "the log of an erased user goes on")
}
