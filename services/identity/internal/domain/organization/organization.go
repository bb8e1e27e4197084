// Package organization decides what happens to organizations.
package organization

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
)

// Status says whether an organization can be used. Rows hold its number.
type Status int16

// The statuses. The zero Status is of an organization that does not exist.
const (
	_ Status = iota
	Active
	Suspended
	// Deleting is suspended until a time, and deleted then.
	Deleting
	Deleted
)

// String is the status in lower case, as errors name it.
func (s Status) String() string {
	switch s {
	case Active:
		return "active"
	case Suspended:
		return "suspended"
	case Deleting:
		return "deleting"
	case Deleted:
		return "deleted"
	default:
		return "absent"
	}
}

// State is an organization as its log tells it. The zero State is an
// organization that does not exist.
type State struct {
	ID         string
	Slug       string
	Name       string
	HomeRegion string
	// Isolated says that the organization has users of its own; fixed for good.
	Isolated bool
	Settings Settings
	Status   Status
	// DeleteAt is when it is deleted while it is Deleting, else zero.
	DeleteAt time.Time
}

// Apply folds one event; events of other aggregates change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.OrganizationCreated:
		*s = State{
			ID: e.GetOrganization(), Slug: e.GetSlug(), Name: e.GetName(), HomeRegion: e.GetHomeRegion(),
			Isolated: e.GetIsolated(), Status: Active,
		}
	case *eventv1.OrganizationHomeMoved:
		s.HomeRegion = e.GetTo()
	case *eventv1.OrganizationRenamed:
		s.Name = e.GetName()
	case *eventv1.OrganizationSettingsChanged:
		s.Settings = settingsOf(e.GetSettings())
	case *eventv1.OrganizationSuspended:
		s.Status, s.DeleteAt = Suspended, time.Time{}
	case *eventv1.OrganizationResumed, *eventv1.OrganizationDeletionCancelled:
		s.Status, s.DeleteAt = Active, time.Time{}
	case *eventv1.OrganizationDeletionScheduled:
		s.Status, s.DeleteAt = Deleting, e.GetDeleteAt().AsTime()
	case *eventv1.OrganizationDeleted:
		s.Status, s.DeleteAt = Deleted, time.Time{}
	}
}

// Equal says whether two states are the same.
func (s State) Equal(other State) bool {
	return s.ID == other.ID && s.Slug == other.Slug && s.Name == other.Name && s.HomeRegion == other.HomeRegion &&
		s.Isolated == other.Isolated && s.Settings.Equal(other.Settings) &&
		s.Status == other.Status && s.DeleteAt.Equal(other.DeleteAt)
}

// Open says whether things can be made in the organization and be changed. It is
// asked in the transaction that makes them.
//
// Errors: NOT_FOUND; ORGANIZATION_STATE (metadata "state": suspended, deleting or
// deleted).
func (s State) Open() error {
	switch s.Status {
	case 0:
		return absent()
	case Active:
		return nil
	default:
		return closed(s.Status)
	}
}

func closed(status Status) error {
	return fault.New(fault.Precondition, commonv1.Reason_ORGANIZATION_STATE, "the organization is "+status.String()).
		With("state", status.String())
}

func absent() error {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such organization")
}

// Create opens an organization.
type Create struct {
	ID         string
	Slug       string
	Name       string
	HomeRegion string
	Isolated   bool
	// Regions are those of the deployment.
	Regions []string
}

// Decide returns the event that opens the organization.
//
// Errors: ALREADY_EXISTS; INVALID_FIELD for an id that is not an organization's,
// for a region that the deployment does not have and for a name that is none. None
// writes anything.
// That the slug is free is the unique index's to say.
func (c Create) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.ID != "":
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the organization exists").With("field", "id")
	case !id.Valid(id.Organization, c.ID):
		return nil, fault.Field("id", "organization_id", "is not an organization id")
	case !slices.Contains(c.Regions, c.HomeRegion):
		return nil, noRegion(c.HomeRegion, c.Regions)
	}
	name, err := displayname.Check("name", c.Name)
	if err != nil {
		return nil, err
	}
	return []proto.Message{&eventv1.OrganizationCreated{
		Organization: c.ID, Slug: c.Slug, Name: name, HomeRegion: c.HomeRegion, Isolated: c.Isolated,
	}}, nil
}

func noRegion(region string, regions []string) error {
	return fault.Field("home_region", "region", fmt.Sprintf("the deployment has no region %q; it has %q", region, regions))
}
