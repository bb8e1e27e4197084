package store

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
)

// membershipFold rebuilds the rows of an organization's members.
type membershipFold struct {
	organization string
	members      map[string]*membership.State
}

func newMembershipFold(organization string) *membershipFold {
	return &membershipFold{organization: organization, members: map[string]*membership.State{}}
}

func (f *membershipFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.MembershipCreated:
		f.members[e.GetUser()] = &membership.State{}
		f.fold(e.GetUser(), e)
	case *eventv1.MembershipRoleChanged:
		f.fold(e.GetUser(), e)
	case *eventv1.MembershipSuspended:
		f.fold(e.GetUser(), e)
	case *eventv1.MembershipResumed:
		f.fold(e.GetUser(), e)
	case *eventv1.MembershipRemoved:
		delete(f.members, e.GetUser())
	default:
		return false
	}
	return true
}

func (f *membershipFold) fold(user string, event proto.Message) {
	if m := f.members[user]; m != nil {
		m.Apply(event)
	}
}

func (f *membershipFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	const page = 1000
	rows := 0
	for after := ""; ; {
		members, err := ListMembers(ctx, q, f.organization, after, page)
		if err != nil {
			return "", err
		}
		for _, row := range members {
			want := f.members[row.User]
			switch {
			case want == nil:
				return fmt.Sprintf("membership row of %s is not in the log", row.User), nil
			case row.State != *want:
				return fmt.Sprintf("membership row %+v, log says %+v", row.State, *want), nil
			}
		}
		rows += len(members)
		if len(members) < page {
			break
		}
		after = members[len(members)-1].User
	}
	if rows != len(f.members) {
		return fmt.Sprintf("%d membership rows, log says %d", rows, len(f.members)), nil
	}
	return "", nil
}
