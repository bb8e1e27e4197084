package madeup_test

import (
	"fmt"
	"testing"

	"buf.build/go/protovalidate"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/madeup"
)

// Every user keeps the contract and is another one; each organization has one
// administrator, and a batch of users is spread over as many organizations as
// there are.
func TestUsers(t *testing.T) {
	var ids []string
	for n := range 250 {
		ids = append(ids, fmt.Sprintf("org_%026d", n))
	}
	const users = 5000
	f := madeup.Fill{Prefix: "seed"}
	emails, names, admins, sizes := map[string]bool{}, map[string]bool{}, map[string]int{}, map[int]int{}
	for n := range users {
		u := f.User(n, ids)
		if err := protovalidate.Validate(u); err != nil {
			t.Fatal(err)
		}
		emails[u.GetEmail()], names[u.GetName()] = true, true
		in := map[string]bool{}
		for _, m := range u.GetMemberships() {
			in[m.GetOrganization()] = true
			if m.GetRole() == identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN {
				admins[m.GetOrganization()]++
			}
		}
		if len(in) != len(u.GetMemberships()) {
			t.Fatalf("user %d is in one organization twice", n)
		}
		sizes[len(in)]++
	}
	if len(emails) != users || len(names) < 800 {
		t.Errorf("%d addresses, %d names", len(emails), len(names))
	}
	if len(admins) != len(ids) {
		t.Errorf("%d of %d organizations have an administrator", len(admins), len(ids))
	}
	if sizes[1] != 4750 || sizes[2] != 200 || sizes[3] != 50 {
		t.Errorf("numbers of memberships: %v", sizes)
	}
	if got := f.User(99, ids[:2]).GetMemberships(); len(got) != 2 {
		t.Errorf("of two organizations a user is in %v", got)
	}
	if got := f.User(99, nil).GetMemberships(); len(got) != 0 {
		t.Errorf("of no organizations a user is in %v", got)
	}
}

func TestBounds(t *testing.T) {
	client := meridian.New("http://127.0.0.1:1", "token")
	for _, f := range []madeup.Fill{{Organizations: -1}, {Users: -1}, {Organizations: madeup.MaxOrganizations + 1}, {Users: madeup.MaxUsers + 1}} {
		f.Client, f.Parallel = client, 1
		if _, err := f.Run(t.Context()); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}
