package store

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
)

// invitationFold rebuilds the rows of an organization's invitations, but for their
// addresses: those are sealed under keys that are destroyed with the invitation.
type invitationFold struct {
	organization string
	invitations  map[string]*invitation.State
}

func newInvitationFold(organization string) *invitationFold {
	return &invitationFold{organization: organization, invitations: map[string]*invitation.State{}}
}

func (f *invitationFold) apply(event proto.Message) bool {
	var of interface{ GetInvitation() string }
	switch e := event.(type) {
	case *eventv1.InvitationCreated:
		f.invitations[e.GetInvitation()] = &invitation.State{}
		of = e
	case *eventv1.InvitationResent:
		of = e
	case *eventv1.InvitationRevoked:
		of = e
	case *eventv1.InvitationAccepted:
		of = e
	default:
		return false
	}
	if i := f.invitations[of.GetInvitation()]; i != nil {
		i.Apply(event)
	}
	return true
}

func (f *invitationFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	const page = 1000
	rows := 0
	for before := ""; ; {
		found, err := ListInvitations(ctx, q, f.organization, before, InvitationFilter{}, page)
		if err != nil {
			return "", err
		}
		for _, row := range found {
			if difference := f.differs(row); difference != "" {
				return difference, nil
			}
		}
		rows += len(found)
		if len(found) < page {
			break
		}
		before = found[len(found)-1].ID
	}
	if rows != len(f.invitations) {
		return fmt.Sprintf("%d invitation rows, log says %d", rows, len(f.invitations)), nil
	}
	pending := 0
	for _, i := range f.invitations {
		if i.Status == invitation.Pending {
			pending++
		}
	}
	return compareCount(ctx, q, f.organization, Invitations, pending)
}

func (f *invitationFold) differs(row Invitation) string {
	want := f.invitations[row.ID]
	switch {
	case want == nil:
		return fmt.Sprintf("invitation row %s is not in the log", row.ID)
	case row.Status != want.Status, row.Role != want.Role, row.User != want.User, row.Letters != want.Letters, row.Invitee != want.Invitee,
		!row.ExpiresAt.Equal(want.ExpiresAt), !slices.Equal(row.Groups, want.Groups):
		return fmt.Sprintf("invitation row %s differs from the log", row.ID)
	case row.Status == invitation.Pending != (row.Email != "" && row.Hash != nil && row.Blind != nil):
		return fmt.Sprintf("invitation row %s is %s, and has an address or has none", row.ID, row.Status)
	}
	return ""
}
