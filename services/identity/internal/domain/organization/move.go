package organization

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
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
// Errors: NOT_FOUND; INVALID_FIELD for a region that the deployment does not
// have. None writes anything.
func (c MoveHome) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.ID == "":
		return nil, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such organization")
	case s.HomeRegion == c.HomeRegion:
		return nil, nil
	case !slices.Contains(c.Regions, c.HomeRegion):
		return nil, noRegion(c.HomeRegion, c.Regions)
	}
	return []proto.Message{&eventv1.OrganizationHomeMoved{Organization: s.ID, From: s.HomeRegion, To: c.HomeRegion}}, nil
}
