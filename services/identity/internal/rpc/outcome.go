package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// The outcome of a commit is kept for a day under its idempotency key, and no
// erasure reaches it. So personal data is put into an answer after the commit: a
// repeated call gets the user as the user is then.

// outcomeUser is what the outcome of a commit has of a user.
func outcomeUser(u store.User) *identityv1.User { return &identityv1.User{Id: u.ID} }

// answerUser is the user of an answer: as the commit left the row, or for a repeated
// call as the user is now.
func answerUser(ctx context.Context, q sqldb.Querier, replayed bool, row store.User, outcome *identityv1.User) (*identityv1.User, error) {
	if replayed {
		var err error
		if row, err = store.FindUser(ctx, q, outcome.GetId()); err != nil {
			return nil, err
		}
	}
	return userMessage(row), nil
}

// answerMember puts the profile into the membership of an answer: as the commit
// read it, or for a repeated call as it is now.
func answerMember(ctx context.Context, q sqldb.Querier, replayed bool, profile user.Profile, outcome *identityv1.Membership) error {
	if replayed {
		var err error
		profile, err = store.FindProfile(ctx, q, outcome.GetUser())
		if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			return err
		}
	}
	outcome.Email, outcome.Name = profile.Email, profile.Name
	return nil
}
