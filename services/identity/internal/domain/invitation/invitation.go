// Package invitation decides what happens to invitations.
package invitation

import (
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/bearer"
)

// How long an invitation can be accepted, how often its letter is sent, and how
// much time must pass in between.
const (
	DefaultLifetime = 7 * 24 * time.Hour
	MaxLifetime     = 30 * 24 * time.Hour
	MaxLetters      = 10
	BetweenLetters  = time.Minute
	// MostPending is how many invitations of an organization may wait.
	MostPending = 10_000
)

// Status says what became of an invitation. That one has expired is no fact of the
// log: the clock says it.
type Status int

// The statuses. The zero Status is that of an invitation that does not exist.
const (
	Absent Status = iota
	Pending
	Accepted
	Revoked
)

// String is the status in lower case, for errors.
func (s Status) String() string { return [...]string{"absent", "pending", "accepted", "revoked"}[s] }

// State is an invitation as its log tells it. The zero State is one that does not
// exist.
type State struct {
	ID           string
	Organization string
	// Invitee is the id under whose key the address is, while the status is
	// Pending.
	Invitee   string
	Role      eventv1.MembershipRole
	Groups    []string
	Status    Status
	ExpiresAt time.Time
	// Letters is how many were sent.
	Letters int
	// User accepted it.
	User string
}

// Apply folds one event; events of other invitations change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.InvitationCreated:
		*s = State{
			ID: e.GetInvitation(), Organization: e.GetOrganization(), Invitee: e.GetInvitee(), Role: e.GetRole(),
			Groups: slices.Clone(e.GetGroups()), Status: Pending, ExpiresAt: e.GetExpiresAt().AsTime(), Letters: 1,
		}
	case *eventv1.InvitationResent:
		if s.ID == e.GetInvitation() {
			s.ExpiresAt = e.GetExpiresAt().AsTime()
			s.Letters++
		}
	case *eventv1.InvitationRevoked:
		if s.ID == e.GetInvitation() {
			s.Status = Revoked
		}
	case *eventv1.InvitationAccepted:
		if s.ID == e.GetInvitation() {
			s.Status, s.User = Accepted, e.GetUser()
		}
	}
}

// Waits says whether the invitation can be accepted at the given time.
func (s State) Waits(at time.Time) bool { return s.Status == Pending && at.Before(s.ExpiresAt) }

// Create invites somebody.
type Create struct {
	ID           string
	Organization string
	Invitee      string
	// Email is the address as it is shown.
	Email    string
	Role     eventv1.MembershipRole // 0 means a member
	Groups   []string
	Lifetime time.Duration // 0 means DefaultLifetime
	At       time.Time
}

// Circumstances are what decides about an invitation besides itself.
type Circumstances struct {
	// Earlier is the pending invitation of the same address in the organization,
	// the zero State when there is none.
	Earlier State
	// Member says whether a member has the address.
	Member bool
	// Pending is how many invitations of the organization wait.
	Pending int
}

// Decide returns the events that invite: an earlier invitation of the address that
// has expired is revoked first.
//
// Errors: ALREADY_EXISTS (field "email"), LIMIT_REACHED, INVALID_FIELD
// (lifetime_seconds). None writes anything.
func (c Create) Decide(around Circumstances) ([]proto.Message, error) {
	lifetime := c.Lifetime
	if lifetime == 0 {
		lifetime = DefaultLifetime
	}
	switch {
	case around.Member:
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "a member has the address").With("field", "email")
	case around.Earlier.Waits(c.At):
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the address has an invitation that waits; resend or revoke it").
			With("field", "email").With("invitation", around.Earlier.ID)
	case lifetime < 0 || lifetime > MaxLifetime:
		return nil, fault.Field("lifetime_seconds", "max_lifetime", "must be at most 30 days")
	case around.Pending >= MostPending:
		return nil, limit("invitations", MostPending, "the organization has as many invitations that wait as it may")
	}
	role := c.Role
	if role == eventv1.MembershipRole_MEMBERSHIP_ROLE_UNSPECIFIED {
		role = eventv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER
	}
	var events []proto.Message
	if around.Earlier.Status == Pending {
		events = append(events, &eventv1.InvitationRevoked{Invitation: around.Earlier.ID})
	}
	return append(events, &eventv1.InvitationCreated{
		Invitation: c.ID, Organization: c.Organization, Invitee: c.Invitee, Email: c.Email, Role: role, Groups: c.Groups,
		ExpiresAt: expiry(c.At, lifetime),
	}), nil
}

// Resend sends the letter once more, with another secret.
type Resend struct {
	At time.Time
	// LastLetter is when the last one was sent.
	LastLetter time.Time
}

// Decide returns the event that renews the invitation, also one that has expired.
//
// Errors: NOT_FOUND; INVITATION_STATE; RATE_LIMITED within BetweenLetters;
// LIMIT_REACHED after MaxLetters.
func (c Resend) Decide(s State) ([]proto.Message, error) {
	switch wait := c.LastLetter.Add(BetweenLetters).Sub(c.At); {
	case s.Status == Absent:
		return nil, NotFound()
	case s.Status != Pending:
		return nil, s.wrong()
	case s.Letters >= MaxLetters:
		return nil, limit("letters", MaxLetters, "its letter was sent as often as it may; revoke it and invite again")
	case wait > 0:
		// A clock that went back must not make anybody wait for longer.
		return nil, fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "its letter was sent a moment ago").Retry(min(wait, BetweenLetters))
	}
	return []proto.Message{&eventv1.InvitationResent{Invitation: s.ID, ExpiresAt: expiry(c.At, DefaultLifetime)}}, nil
}

// Revoke ends an invitation.
type Revoke struct{}

// Decide returns the event that ends the invitation, or none when it is revoked.
//
// Errors: NOT_FOUND; INVITATION_STATE when it was accepted.
func (Revoke) Decide(s State) ([]proto.Message, error) {
	switch s.Status {
	case Pending:
		return []proto.Message{&eventv1.InvitationRevoked{Invitation: s.ID}}, nil
	case Revoked:
		return nil, nil
	case Accepted:
		return nil, s.wrong()
	case Absent:
	}
	return nil, NotFound()
}

// Accept makes somebody a member.
type Accept struct {
	User string
	At   time.Time
}

// Decide returns the event that ends the invitation. What makes the user a member
// comes from the membership.
//
// Errors: INVITATION_REJECTED for all that cannot be accepted, alike.
func (c Accept) Decide(s State) ([]proto.Message, error) {
	if !s.Waits(c.At) {
		return nil, Rejected()
	}
	return []proto.Message{&eventv1.InvitationAccepted{Invitation: s.ID, User: c.User}}, nil
}

func (s State) wrong() error {
	return fault.New(fault.Precondition, commonv1.Reason_INVITATION_STATE, "the invitation was "+s.Status.String()).
		With("state", s.Status.String())
}

// NotFound is the answer for an invitation that is absent, and for another
// organization's.
func NotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such invitation")
}

// Rejected is the answer for every secret that opens nothing.
func Rejected() *fault.Fault {
	return fault.New(fault.Precondition, commonv1.Reason_INVITATION_REJECTED,
		"the invitation cannot be accepted: it is unknown, was used or revoked, or has expired; ask for another")
}

func limit(field string, most int, detail string) error {
	return fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, detail).With("field", field).With("limit", strconv.Itoa(most))
}

// expiry is in microseconds: what the row and the event can both hold.
func expiry(at time.Time, lifetime time.Duration) *timestamppb.Timestamp {
	return timestamppb.New(at.Add(lifetime).Truncate(time.Microsecond))
}

// form is that of the secret in a letter: miv_…
var form = bearer.Form{Prefix: "miv", Kind: id.Invitation}

// NewSecret makes the secret of an invitation and what is stored of it.
func NewSecret(invitation string, random bearer.Random) (secret.String, bearer.Hash) {
	return form.New(invitation, random)
}

// ParseSecret takes the secret of a letter apart.
//
// Errors: INVITATION_REJECTED.
func ParseSecret(s secret.String) (invitation string, hash bearer.Hash, err error) {
	invitation, hash, ok := form.Parse(s)
	if !ok {
		return "", bearer.Hash{}, Rejected()
	}
	return invitation, hash, nil
}
