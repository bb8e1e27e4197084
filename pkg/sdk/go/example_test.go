package meridian_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// A product asks before it does something, and never answers from before a write
// that it knows of.
func ExampleClient_Check() { //nolint:testableexamples // needs a deployment
	ctx := context.Background()
	client := meridian.New("https://meridian.example", os.Getenv("MERIDIAN_TOKEN"))
	organization := "org_01jz0000000000000000000000"
	revision, err := client.Write(ctx, organization, meridian.Touch("table:orders", "reader", "user:zoe"))
	if err != nil {
		log.Fatal(err)
	}
	decision, err := client.Check(ctx, meridian.Question{
		Organization: organization, Subject: "user:zoe", Permission: "can_select", Resource: "table:orders", AtLeast: revision,
	})
	if err != nil || !decision.Allowed {
		log.Fatal("denied")
	}
}

// Somebody becomes a user and a member. Each request has an idempotency key: the
// client repeats it safely, here or in another region. To repeat it from another
// process, keep the key.
func ExampleClient_users() { //nolint:testableexamples // needs a deployment
	ctx := context.Background()
	client := meridian.Open(meridian.Config{
		URLs:  []string{"https://eu.meridian.example", "https://us.meridian.example"},
		Token: os.Getenv("MERIDIAN_TOKEN"),
	})
	created, err := client.Users.CreateUser(ctx, &identityv1.CreateUserRequest{
		Email: "anna@acme.example", Name: "Anna", IdempotencyKey: rand.Text(),
	})
	if meridian.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		log.Fatal("the address has a user")
	}
	if err != nil {
		log.Fatal(err)
	}
	added, err := client.Memberships.AddMember(ctx, &identityv1.AddMemberRequest{
		Organization: "org_01jz0000000000000000000000", User: created.GetUser().GetId(),
		Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN, IdempotencyKey: rand.Text(),
	})
	if err != nil {
		log.Fatal(err)
	}
	// What is asked with this revision knows of the membership.
	fmt.Println(added.GetRevision())
}

// Lists come in pages.
func ExampleClient_members() { //nolint:testableexamples // needs a deployment
	ctx := context.Background()
	client := meridian.New("https://meridian.example", os.Getenv("MERIDIAN_TOKEN"))
	request := &identityv1.ListMembersRequest{Organization: "org_01jz0000000000000000000000", PageSize: 200}
	for {
		page, err := client.Memberships.ListMembers(ctx, request)
		if err != nil {
			log.Fatal(err)
		}
		for _, member := range page.GetMemberships() {
			fmt.Println(member.GetUser(), member.GetName())
		}
		if request.Cursor = page.GetNextCursor(); request.GetCursor() == "" {
			return
		}
	}
}
