package organization

import (
	"slices"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// MoveHome gives an organization another home region.
type MoveHome struct {
	HomeRegion string
	// Regions are those of the deployment.
	Regions []string
}

// Decide returns the event that moves the organization, or none when it is at
// home there.
//
// Errors: NOT_FOUND; ORGANIZATION_STATE for one that is deleted; INVALID_FIELD for
// a region that the deployment does not have. None writes anything.
func (c MoveHome) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status == 0:
		return nil, absent()
	case s.Status == Deleted:
		return nil, closed(s.Status)
	case s.HomeRegion == c.HomeRegion:
		return nil, nil
	case !slices.Contains(c.Regions, c.HomeRegion):
		return nil, noRegion(c.HomeRegion, c.Regions)
	}
	return []proto.Message{&eventv1.OrganizationHomeMoved{Organization: s.ID, From: s.HomeRegion, To: c.HomeRegion}}, nil
}
