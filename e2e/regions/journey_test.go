package regions_test

import (
	"strings"
	"testing"
	"time"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Every region takes writes of every organization, wherever that is at home, and
// every region answers at the revision that they got, and without one within the
// default staleness.
func (d deployment) testJourney(t *testing.T) {
	for i, home := range names() {
		organization := d.organization(t, names()[(i+1)%len(names())], home, "journey-"+home)
		for _, writer := range names() {
			user := "user:" + writer
			revision := write(t, d.in(writer), organization, user)
			written := time.Now()
			for _, reader := range names() {
				allowed(t, d.in(reader), organization, user, revision)
				arrives(t, d.in(reader), organization, user, written)
			}
		}
		for _, region := range names() {
			client := d.near(region)
			user := "user:near-" + region
			allowed(t, client, organization, user, write(t, client, organization, user))
			d.verify(t, region, organization)
		}
	}
}

func (d deployment) testNoSuchRegion(t *testing.T) {
	organization := d.organization(t, west, west, "no-such-region")
	_, create := d.in(south).Organizations.CreateOrganization(calls(t), &identityv1.CreateOrganizationRequest{
		Slug: "on-mars", Name: "On Mars", HomeRegion: "mars", IdempotencyKey: "on-mars",
	})
	_, move := d.in(south).Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
		Organization: organization, HomeRegion: "mars", IdempotencyKey: "to-mars",
	})
	for name, err := range map[string]error{"CreateOrganization": create, "MoveHome": move} {
		e, ok := meridian.AsError(err)
		if !ok || e.Reason != commonv1.Reason_INVALID_FIELD || e.Meta["field"] != "home_region" {
			t.Errorf("%s: %v, want INVALID_FIELD of home_region", name, err)
			continue
		}
		for _, word := range append(names(), "mars") {
			if !strings.Contains(e.Error(), word) {
				t.Errorf("%s: %q does not name %s", name, e.Error(), word)
			}
		}
	}
	found, err := d.in(east).Organizations.GetOrganization(calls(t), &identityv1.GetOrganizationRequest{Organization: organization})
	if err != nil || found.GetOrganization().GetHomeRegion() != west {
		t.Errorf("after the refused move: %v, %v", found, err)
	}
}
