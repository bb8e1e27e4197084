// Package membership decides who is in an organization.
//
// The last active administrator of an organization is not removed, suspended or
// demoted. An organization may have none: its first members may be plain ones, and
// a user who is suspended or erased by the platform leaves it all the same.
//
// A directory or connection says who is a member. Only the platform changes or ends
// such a membership. What a member administers is the organization's own matter,
// whatever the source.
package membership

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
)

// MaxOfUser is how many organizations a user may be in: what suspends or erases a
// user changes all of their logs in one commit.
const MaxOfUser = 500

// Status says whether a membership holds. Rows hold its number, which is that of
// meridian.identity.v1.MembershipState.
type Status int16

// The statuses. The zero Status is of a membership that does not exist.
const (
	_ Status = iota
	Active
	Suspended
)

// The roles and sources, which rows and events number alike.
const (
	Member = eventv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER
	Admin  = eventv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN

	API  = eventv1.MembershipSource_MEMBERSHIP_SOURCE_API
	SCIM = eventv1.MembershipSource_MEMBERSHIP_SOURCE_SCIM
	JIT  = eventv1.MembershipSource_MEMBERSHIP_SOURCE_JIT
)

// State is a membership as the organization's log tells it. The zero State is a
// membership that does not exist.
type State struct {
	Organization string
	User         string
	Role         eventv1.MembershipRole
	Status       Status
	// Everywhere says that it is suspended because the user is.
	Everywhere bool
	Source     eventv1.MembershipSource
	SourceRef  string
}

// Apply folds one event of this membership; other events change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.MembershipCreated:
		*s = State{
			Organization: e.GetOrganization(), User: e.GetUser(), Role: e.GetRole(), Status: Active,
			Source: e.GetSource(), SourceRef: e.GetSourceRef(),
		}
	case *eventv1.MembershipRoleChanged:
		s.Role = e.GetRole()
	case *eventv1.MembershipSuspended:
		s.Status, s.Everywhere = Suspended, e.GetEverywhere()
	case *eventv1.MembershipResumed:
		s.Status, s.Everywhere = Active, false
	case *eventv1.MembershipRemoved:
		*s = State{}
	}
}

// Administers says whether this is an active administrator.
func (s State) Administers() bool { return s.Status == Active && s.Role == Admin }

// Managed says whether a directory or connection keeps the membership.
func (s State) Managed() bool { return s.Source == SCIM || s.Source == JIT }

// NotFound is the answer for a member who is absent, and for one who is not in
// this organization.
func NotFound() error {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such member")
}

// Exists is the answer for a member who is there.
func Exists() error {
	return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the user is a member already").With("field", "user")
}

func lastAdministrator(s State) error {
	return fault.New(fault.Precondition, commonv1.Reason_LAST_ADMINISTRATOR,
		"the organization would be left without an active administrator").With("organization", s.Organization)
}

func managed(s State) error {
	source := "scim"
	if s.Source == JIT {
		source = "jit"
	}
	return fault.New(fault.Precondition, commonv1.Reason_MANAGED_ELSEWHERE,
		"a directory or connection keeps this membership: change it there").With("source", source)
}

// Add makes a user a member.
type Add struct {
	Organization string
	// Realm is what the realm of the organization's users is.
	Realm     string
	User      string
	Role      eventv1.MembershipRole   // absent means Member
	Source    eventv1.MembershipSource // absent means API
	SourceRef string
	// Person is the user, and Others in how many other organizations.
	Person user.State
	Others int
}

// Decide returns the event that makes the user a member, and for a user who is
// suspended the one that suspends the membership with the rest.
//
// Errors: NOT_FOUND, USER_ERASED (the user); ALREADY_EXISTS; INVALID_FIELD for a
// user of another realm; LIMIT_REACHED. None writes anything.
func (c Add) Decide(s State) ([]proto.Message, error) {
	if err := c.Person.Present(); err != nil {
		return nil, err
	}
	switch {
	case s.Status != 0:
		return nil, Exists()
	case c.Person.Realm != c.Realm:
		return nil, fault.Field("user", "realm", "an organization that keeps its users apart takes its own users only, and others take none of them")
	case c.Others >= MaxOfUser:
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "the user is in as many organizations as may be").
			With("field", "user").With("limit", strconv.Itoa(MaxOfUser))
	}
	created := &eventv1.MembershipCreated{
		Organization: c.Organization, User: c.User, Role: c.Role, Source: c.Source, SourceRef: c.SourceRef,
	}
	if created.GetRole() == 0 {
		created.Role = Member
	}
	if created.GetSource() == 0 {
		created.Source = API
	}
	events := []proto.Message{created}
	if c.Person.Status == user.Suspended {
		events = append(events, &eventv1.MembershipSuspended{Organization: c.Organization, User: c.User, Everywhere: true})
	}
	return events, nil
}
