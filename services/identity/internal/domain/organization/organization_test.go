package organization_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
)

func TestCreate(t *testing.T) {
	org := id.New(id.Organization)
	good := organization.Create{ID: org, Slug: "acme", Name: "Acme", HomeRegion: "eu-west", Regions: []string{"eu-west"}}
	for name, tc := range map[string]struct {
		given []proto.Message
		when  func(*organization.Create)
		want  commonv1.Reason
	}{
		"opens":             {},
		"exists already":    {given: []proto.Message{&eventv1.OrganizationCreated{Organization: org}}, want: commonv1.Reason_ALREADY_EXISTS},
		"no such region":    {when: func(c *organization.Create) { c.HomeRegion = "mars" }, want: commonv1.Reason_INVALID_FIELD},
		"id of a user":      {when: func(c *organization.Create) { c.ID = id.New(id.User) }, want: commonv1.Reason_INVALID_FIELD},
		"name of nothing":   {when: func(c *organization.Create) { c.Name = "\u200b" }, want: commonv1.Reason_INVALID_FIELD},
		"deployment is new": {when: func(c *organization.Create) { c.Regions = nil }, want: commonv1.Reason_INVALID_FIELD},
	} {
		t.Run(name, func(t *testing.T) {
			var state organization.State
			for _, e := range tc.given {
				state.Apply(e)
			}
			command := good
			if tc.when != nil {
				tc.when(&command)
			}
			events, err := command.Decide(state)
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.want)
				}
				return
			}
			if err != nil || len(events) != 1 {
				t.Fatalf("Decide = %v, %v; want one event", events, err)
			}
			state.Apply(events[0])
			if !state.Equal(organization.State{ID: org, Slug: "acme", Name: "Acme", HomeRegion: "eu-west", Status: organization.Active}) {
				t.Errorf("state after the event: %+v", state)
			}
		})
	}
}
