package membership

import (
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// ChangeRole gives a member another role.
type ChangeRole struct {
	Role eventv1.MembershipRole
	// OtherAdmin says whether another member is an active administrator.
	OtherAdmin bool
}

// Decide returns the event that changes the role, or none when it is the member's.
//
// Errors: NOT_FOUND; INVALID_FIELD for no role; LAST_ADMINISTRATOR. None writes
// anything.
func (c ChangeRole) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, NotFound()
	case c.Role != Member && c.Role != Admin:
		return nil, fault.Field("role", "defined", "is not a role")
	case s.Role == c.Role:
		return nil, nil
	case s.Administers() && !c.OtherAdmin:
		return nil, lastAdministrator(s)
	}
	return []proto.Message{&eventv1.MembershipRoleChanged{
		Organization: s.Organization, User: s.User, Role: c.Role, Suspended: s.Status == Suspended,
	}}, nil
}

// Suspend takes away what a membership allows.
type Suspend struct {
	// OtherAdmin says whether another member is an active administrator.
	OtherAdmin bool
	// Groups are those that the user is in.
	Groups []string
	// Manages says that the caller may do what the membership's source does.
	Manages bool
}

// Decide returns the event that suspends the membership, or none when it is. A
// membership that is suspended with the user stays so when the user is resumed.
//
// Errors: NOT_FOUND, MANAGED_ELSEWHERE, LAST_ADMINISTRATOR. None writes anything.
func (c Suspend) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, NotFound()
	case s.Managed() && !c.Manages:
		return nil, managed(s)
	case s.Status == Suspended && !s.Everywhere:
		return nil, nil
	case s.Administers() && !c.OtherAdmin:
		return nil, lastAdministrator(s)
	}
	return []proto.Message{&eventv1.MembershipSuspended{Organization: s.Organization, User: s.User, Groups: c.Groups}}, nil
}

// Resume takes Suspend back.
type Resume struct {
	// Groups are those that the user is in.
	Groups []string
	// Barred says that the user is suspended everywhere.
	Barred bool
	// Manages says that the caller may do what the membership's source does.
	Manages bool
}

// Decide returns the event that takes the suspension back, or none when the
// membership is active.
//
// Errors: NOT_FOUND, MANAGED_ELSEWHERE, USER_SUSPENDED. None writes anything.
func (c Resume) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, NotFound()
	case s.Managed() && !c.Manages:
		return nil, managed(s)
	case s.Status == Active:
		return nil, nil
	case c.Barred:
		return nil, fault.New(fault.Precondition, commonv1.Reason_USER_SUSPENDED, "the user is suspended")
	}
	return []proto.Message{&eventv1.MembershipResumed{Organization: s.Organization, User: s.User, Role: s.Role, Groups: c.Groups}}, nil
}

// Bar suspends a membership with its user. It has no last administrator: what the
// platform takes from a user, it takes at once.
type Bar struct {
	// Groups are those that the user is in.
	Groups []string
}

// Decide returns the event that suspends the membership, or none when it is.
//
// Errors: NOT_FOUND.
func (c Bar) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, NotFound()
	case s.Status == Suspended:
		return nil, nil
	}
	return []proto.Message{&eventv1.MembershipSuspended{Organization: s.Organization, User: s.User, Everywhere: true, Groups: c.Groups}}, nil
}

// Unbar takes Bar back.
type Unbar struct {
	// Groups are those that the user is in.
	Groups []string
}

// Decide returns the event that resumes the membership, or none when it is active
// or its organization suspended it.
//
// Errors: NOT_FOUND.
func (c Unbar) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, NotFound()
	case !s.Everywhere:
		return nil, nil
	}
	return []proto.Message{&eventv1.MembershipResumed{Organization: s.Organization, User: s.User, Role: s.Role, Groups: c.Groups}}, nil
}

// Remove ends a membership.
type Remove struct {
	// OtherAdmin says whether another member is an active administrator.
	OtherAdmin bool
	// Manages says that the caller may do what the membership's source does.
	Manages bool
	// Force removes the last administrator, too.
	Force bool
}

// Decide returns the event that ends the membership.
//
// Errors: NOT_FOUND, MANAGED_ELSEWHERE, LAST_ADMINISTRATOR. None writes anything.
func (c Remove) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, NotFound()
	case s.Managed() && !c.Manages:
		return nil, managed(s)
	case s.Administers() && !c.OtherAdmin && !c.Force:
		return nil, lastAdministrator(s)
	}
	return []proto.Message{&eventv1.MembershipRemoved{Organization: s.Organization, User: s.User}}, nil
}
