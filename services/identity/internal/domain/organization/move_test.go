package organization_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
)

func TestMoveHome(t *testing.T) {
	org := id.New(id.Organization)
	created := &eventv1.OrganizationCreated{Organization: org, Slug: "acme", Name: "Acme", HomeRegion: "eu-west"}
	moved := func(from, to string) *eventv1.OrganizationHomeMoved {
		return &eventv1.OrganizationHomeMoved{Organization: org, From: from, To: to}
	}
	to := func(region string, regions ...string) organization.MoveHome {
		return organization.MoveHome{HomeRegion: region, Regions: regions}
	}
	for name, tc := range map[string]struct {
		given []proto.Message
		when  organization.MoveHome
		then  proto.Message // nil: no event
		want  commonv1.Reason
	}{
		"moves":                     {[]proto.Message{created}, to("us-east", "eu-west", "us-east"), moved("eu-west", "us-east"), 0},
		"moves back":                {[]proto.Message{created, moved("eu-west", "us-east")}, to("eu-west", "eu-west", "us-east"), moved("us-east", "eu-west"), 0},
		"is there":                  {[]proto.Message{created}, to("eu-west", "eu-west", "us-east"), nil, 0},
		"is where no region is now": {[]proto.Message{created}, to("eu-west", "us-east"), nil, 0},
		"is deleted":                {[]proto.Message{created, &eventv1.OrganizationDeleted{}}, to("us-east", "us-east"), nil, commonv1.Reason_ORGANIZATION_STATE},
		"no such organization":      {nil, to("us-east", "eu-west", "us-east"), nil, commonv1.Reason_NOT_FOUND},
		"no such region":            {[]proto.Message{created}, to("mars", "eu-west", "us-east"), nil, commonv1.Reason_INVALID_FIELD},
		"neither of the two":        {nil, to("mars", "eu-west", "us-east"), nil, commonv1.Reason_NOT_FOUND},
	} {
		t.Run(name, func(t *testing.T) {
			var state organization.State
			for _, e := range tc.given {
				state.Apply(e)
			}
			events, err := tc.when.Decide(state)
			switch {
			case tc.want != 0:
				if !fault.Is(err, tc.want) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.want)
				}
			case err != nil:
				t.Fatal(err)
			case tc.then == nil:
				if len(events) != 0 {
					t.Fatalf("Decide = %v, want no event", events)
				}
			case len(events) != 1 || !proto.Equal(events[0], tc.then):
				t.Fatalf("Decide = %v, want %v", events, tc.then)
			default:
				state.Apply(events[0])
				if !state.Equal(organization.State{ID: org, Slug: "acme", Name: "Acme", HomeRegion: tc.when.HomeRegion, Status: organization.Active}) {
					t.Errorf("state after the event: %+v", state)
				}
			}
		})
	}
}

func TestUnknownRegionIsNamed(t *testing.T) {
	state := organization.State{ID: id.New(id.Organization), HomeRegion: "eu-west", Status: organization.Active}
	_, err := organization.MoveHome{HomeRegion: "mars", Regions: []string{"eu-west", "us-east"}}.Decide(state)
	f, ok := fault.As(err)
	if !ok || f.Meta["field"] != "home_region" {
		t.Fatalf("Decide: %v, want a fault of the field home_region", err)
	}
	for _, name := range []string{"mars", "eu-west", "us-east"} {
		if !strings.Contains(f.Detail, name) {
			t.Errorf("%q does not name %s", f.Detail, name)
		}
	}
}
