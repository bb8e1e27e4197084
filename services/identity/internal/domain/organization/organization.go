// Package organization decides what happens to organizations.
package organization

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// State is an organization as its log tells it. The zero State is an
// organization that does not exist.
type State struct {
	ID         string
	Slug       string
	Name       string
	HomeRegion string
}

// Apply folds one event; events of other aggregates change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.OrganizationCreated:
		*s = State{ID: e.GetOrganization(), Slug: e.GetSlug(), Name: e.GetName(), HomeRegion: e.GetHomeRegion()}
	case *eventv1.OrganizationHomeMoved:
		s.HomeRegion = e.GetTo()
	}
}

// Create opens an organization.
type Create struct {
	ID         string
	Slug       string
	Name       string
	HomeRegion string
	// Regions are those of the deployment.
	Regions []string
}

// Decide returns the event that opens the organization.
//
// Errors: ALREADY_EXISTS; INVALID_FIELD for an id that is not an organization's
// and for a region that the deployment does not have. None writes anything.
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
	return []proto.Message{&eventv1.OrganizationCreated{
		Organization: c.ID, Slug: c.Slug, Name: c.Name, HomeRegion: c.HomeRegion,
	}}, nil
}

func noRegion(region string, regions []string) error {
	return fault.Field("home_region", "region", fmt.Sprintf("the deployment has no region %q; it has %q", region, regions))
}
