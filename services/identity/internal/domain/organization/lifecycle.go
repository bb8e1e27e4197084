package organization

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// How long an organization is kept before it is deleted.
const (
	DefaultGrace = 30 * day
	MaxGrace     = 90 * day
	day          = 24 * time.Hour
)

// Suspend refuses an organization's tokens and sign-ins.
type Suspend struct {
	// Reason is for the log, or empty.
	Reason string
}

// Decide returns the event that suspends the organization, or none when it is
// suspended.
//
// Errors: NOT_FOUND; ORGANIZATION_STATE when it is to be deleted, or is. None writes
// anything.
func (c Suspend) Decide(s State) ([]proto.Message, error) {
	switch s.Status {
	case 0:
		return nil, absent()
	case Active:
		return []proto.Message{&eventv1.OrganizationSuspended{Organization: s.ID, Reason: c.Reason}}, nil
	case Suspended:
		return nil, nil
	default:
		return nil, closed(s.Status)
	}
}

// Resume makes an organization usable again.
type Resume struct {
	// At is the commit clock: not before the last event of the organization's log.
	At time.Time
}

// Decide returns the event that takes the suspension back, or the one that cancels
// the deletion, after which the organization is active even if it was suspended
// before; none when it is active.
//
// Errors: NOT_FOUND; ORGANIZATION_STATE when it is deleted, and from the time on at
// which it is to be deleted: some of what it had may be gone by then. None writes
// anything.
func (c Resume) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, absent()
	case s.Status == Active:
		return nil, nil
	case s.Status == Suspended:
		return []proto.Message{&eventv1.OrganizationResumed{Organization: s.ID}}, nil
	case s.Status == Deleting && c.At.Before(s.DeleteAt):
		return []proto.Message{&eventv1.OrganizationDeletionCancelled{Organization: s.ID}}, nil
	default:
		return nil, closed(s.Status)
	}
}

// Delete schedules the deletion of an organization.
type Delete struct {
	// Grace is how long it can still be resumed; nil means DefaultGrace, or as it is
	// scheduled already.
	Grace *time.Duration
	// At is the commit clock: not before the last event of the organization's log.
	At time.Time
}

// Decide returns the event that suspends the organization and says when it is
// deleted, or none when that is scheduled as it is asked for. A deletion whose time
// has come stays as it is.
//
// Errors: NOT_FOUND; ORGANIZATION_STATE when it is deleted; INVALID_FIELD for a
// grace of more than 90 days. None writes anything.
func (c Delete) Decide(s State) ([]proto.Message, error) {
	grace := DefaultGrace
	if c.Grace != nil {
		grace = *c.Grace
	}
	switch {
	case s.Status == 0:
		return nil, absent()
	case s.Status == Deleted:
		return nil, closed(s.Status)
	case grace < 0 || grace > MaxGrace:
		return nil, fault.Field("grace_days", "range", "must be 0 to 90 days")
	case s.Status == Deleting && (c.Grace == nil || !c.At.Before(s.DeleteAt)):
		return nil, nil
	}
	// Microseconds: what the row and the event can both hold.
	at := c.At.Add(grace).Truncate(time.Microsecond)
	if s.Status == Deleting && at.Equal(s.DeleteAt) {
		return nil, nil
	}
	return []proto.Message{&eventv1.OrganizationDeletionScheduled{Organization: s.ID, DeleteAt: timestamppb.New(at)}}, nil
}

// Due says whether the organization is to be deleted at a time.
func (s State) Due(at time.Time) bool { return s.Status == Deleting && !at.Before(s.DeleteAt) }

// Remove ends an organization that has nothing left.
type Remove struct{ At time.Time }

// Decide returns the last event of the organization's log, or none when the
// organization is not due: it was resumed, or another was faster.
//
// Errors: NOT_FOUND.
func (c Remove) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, absent()
	case !s.Due(c.At):
		return nil, nil
	}
	return []proto.Message{&eventv1.OrganizationDeleted{Organization: s.ID}}, nil
}
