package rpc_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// listMembers reads all pages, and says how many there were.
func (f *fixture) listMembers(t *testing.T, ctx context.Context, req *identityv1.ListMembersRequest) (names []string, pages int) {
	t.Helper()
	for range 1000 {
		answer, err := f.memberships.ListMembers(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		if req.GetPageSize() != 0 && len(answer.GetMemberships()) > int(req.GetPageSize()) {
			t.Errorf("a page of %d has %d", req.GetPageSize(), len(answer.GetMemberships()))
		}
		for _, m := range answer.GetMemberships() {
			names = append(names, m.GetName())
		}
		pages++
		if req.Cursor = answer.GetNextCursor(); req.GetCursor() == "" {
			return names, pages
		}
	}
	t.Fatal("the list does not end")
	return nil, 0
}

func TestListMembers(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org, other := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex")
	for i, name := range []string{"Anna Andersson", "Bob Anders", "Carla", "Dana Lee"} {
		user := f.user(t, ctx, fmt.Sprintf("user%d@example.com", i), name)
		role := plain
		if i%2 == 0 {
			role = administrator
		}
		f.member(t, ctx, org, user, role)
		if name == "Dana Lee" {
			if _, err := f.memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: org, User: user, IdempotencyKey: key()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.member(t, ctx, other, f.user(t, ctx, "eve@example.com", "Eve Anders"), administrator)
	f.user(t, ctx, "nowhere@example.com", "Anna Nowhere")
	suspended := identityv1.MembershipState_MEMBERSHIP_STATE_SUSPENDED
	scim := identityv1.MembershipSource_MEMBERSHIP_SOURCE_SCIM
	for name, tc := range map[string]struct {
		request *identityv1.ListMembersRequest
		want    []string
	}{
		"all":                      {&identityv1.ListMembersRequest{}, []string{"Anna Andersson", "Bob Anders", "Carla", "Dana Lee"}},
		"administrators":           {&identityv1.ListMembersRequest{Role: administrator}, []string{"Anna Andersson", "Carla"}},
		"suspended":                {&identityv1.ListMembersRequest{State: suspended}, []string{"Dana Lee"}},
		"suspended administrators": {&identityv1.ListMembersRequest{State: suspended, Role: administrator}, nil},
		"from a directory":         {&identityv1.ListMembersRequest{Source: scim}, nil},
		"by name":                  {&identityv1.ListMembersRequest{Search: "an"}, []string{"Bob Anders", "Anna Andersson"}},
		"by two words":             {&identityv1.ListMembersRequest{Search: "anna and"}, []string{"Anna Andersson"}},
		"by name and role":         {&identityv1.ListMembersRequest{Search: "an", Role: plain}, []string{"Bob Anders"}},
		"by a name elsewhere":      {&identityv1.ListMembersRequest{Search: "eve"}, nil},
		"by address":               {&identityv1.ListMembersRequest{Search: " USER1@example.com"}, []string{"Bob Anders"}},
		"by address and role":      {&identityv1.ListMembersRequest{Search: "user1@example.com", Role: administrator}, nil},
		"by an address elsewhere":  {&identityv1.ListMembersRequest{Search: "eve@example.com"}, nil},
		"by an address nowhere":    {&identityv1.ListMembersRequest{Search: "nobody@example.com"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tc.request.Organization = org
			for size := range uint32(3) {
				tc.request.PageSize = size
				if got, _ := f.listMembers(t, adminOf(t, org), tc.request); fmt.Sprint(got) != fmt.Sprint(tc.want) {
					t.Errorf("pages of %d: %v, want %v", size, got, tc.want)
				}
			}
		})
	}
	for name, tc := range map[string]struct {
		request *identityv1.ListMembersRequest
		reason  commonv1.Reason
		field   string
	}{
		"half an address":         {&identityv1.ListMembersRequest{Organization: org, Search: "user1@"}, commonv1.Reason_INVALID_FIELD, "search"},
		"forged cursor":           {&identityv1.ListMembersRequest{Organization: org, Cursor: "forged"}, commonv1.Reason_INVALID_FIELD, "cursor"},
		"absent organization":     {&identityv1.ListMembersRequest{Organization: id.New(id.Organization)}, commonv1.Reason_NOT_FOUND, ""},
		"revision that is not":    {&identityv1.ListMembersRequest{Organization: org, AtLeast: token(t, org, 99)}, commonv1.Reason_REVISION_UNKNOWN, "at_least"},
		"revision that is a word": {&identityv1.ListMembersRequest{Organization: org, AtLeast: "x"}, commonv1.Reason_REVISION_MALFORMED, "at_least"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.memberships.ListMembers(ctx, tc.request)
			if got, _ := fault.As(err); !fault.Is(err, tc.reason) || got.Meta["field"] != tc.field {
				t.Errorf("ListMembers: %v, want %v of %q", err, tc.reason, tc.field)
			}
		})
	}
}

// A filter that few pass costs each call the same, and still finds all.
func TestRareMembersAreFound(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	f.crowd(t, org, 3_500)
	scim := identityv1.MembershipSource_MEMBERSHIP_SOURCE_SCIM
	err := f.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE identity.memberships SET source = 2 WHERE organization_id = $1
			AND user_id IN ('usr_0' || lpad('7', 25, '0'), 'usr_0' || lpad('3333', 25, '0'))`, org)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []*identityv1.ListMembersRequest{
		{Organization: org, Source: scim},
		{Organization: org, Source: scim, Search: "ann"},
		{Organization: org, Source: scim, Search: "ann crowd"},
	} {
		names, pages := f.listMembers(t, ctx, request)
		if fmt.Sprint(names) != "[Anna Crowd7 Anna Crowd3333]" && fmt.Sprint(names) != "[Anna Crowd3333 Anna Crowd7]" || pages < 3 || pages > 5 {
			t.Errorf("%v: %v in %d pages; want 2 in 4 or so of 1,000 each", request, names, pages)
		}
	}
}

func TestListUserMemberships(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "ada@example.com", "Ada")
	var want []string
	for i := range 5 {
		org := f.organization(t, ctx, fmt.Sprint("org-", i))
		f.member(t, ctx, org, ada, administrator)
		want = append(want, fmt.Sprintf("%s org-%d admin active", org, i))
	}
	var got []string
	for cursor, first := "", true; first || cursor != ""; first = false {
		answer, err := f.users.ListUserMemberships(ctx, &identityv1.ListUserMembershipsRequest{User: ada, PageSize: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range answer.GetMemberships() {
			got = append(got, fmt.Sprintf("%s %s %s %s", m.GetOrganization(), m.GetSlug(), m.GetRole(), m.GetState()))
		}
		cursor = answer.GetNextCursor()
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

// The same address is one person in each realm.
func TestRealms(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	isolated := func(slug string) string {
		made, err := f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
			Slug: slug, Name: slug, Mode: identityv1.OrganizationMode_ORGANIZATION_MODE_ISOLATED, IdempotencyKey: key(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return made.GetOrganization().GetId()
	}
	realms := []string{"", isolated("acme"), isolated("globex")}
	orgs := []string{f.organization(t, ctx, "shared"), realms[1], realms[2]}
	var people []string
	for i, realm := range realms {
		request := &identityv1.CreateUserRequest{Email: "ada@example.com", Name: fmt.Sprint("Ada ", i), Realm: realm, IdempotencyKey: key()}
		made, err := f.users.CreateUser(ctx, request)
		if err != nil || made.GetUser().GetRealm() != realm {
			t.Fatalf("realm %d: %v, %v", i, made, err)
		}
		people = append(people, made.GetUser().GetId())
		request.IdempotencyKey = key()
		if _, err := f.users.CreateUser(ctx, request); !fault.Is(err, commonv1.Reason_ALREADY_EXISTS) {
			t.Errorf("realm %d: twice: %v", i, err)
		}
		found, err := f.users.FindUser(ctx, &identityv1.FindUserRequest{Email: "ada@example.com", Realm: realm})
		if err != nil || found.GetUser().GetId() != people[i] {
			t.Errorf("realm %d: found %v, %v", i, found, err)
		}
	}
	for i, org := range orgs {
		for j, user := range people {
			_, err := f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
			if i == j && err != nil || i != j && !fault.Is(err, commonv1.Reason_INVALID_FIELD) {
				t.Errorf("organization %d takes the user of realm %d: %v", i, j, err)
			}
		}
		names, _ := f.listMembers(t, ctx, &identityv1.ListMembersRequest{Organization: org, Search: "ada@example.com"})
		if fmt.Sprint(names) != fmt.Sprintf("[Ada %d]", i) {
			t.Errorf("organization %d finds %v", i, names)
		}
		f.verify(t, org)
		f.verify(t, people[i])
	}
}

// Nothing is given to members of an organization that is suspended.
func TestClosedOrganizations(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	ada, bob := f.user(t, ctx, "ada@example.com", "Ada"), f.user(t, ctx, "bob@example.com", "Bob")
	f.member(t, ctx, org, ada, administrator)
	if _, err := f.organizations.SuspendOrganization(ctx, &identityv1.SuspendOrganizationRequest{Organization: org, IdempotencyKey: key()}); err != nil {
		t.Fatal(err)
	}
	for call, err := range map[string]error{
		"add":    second(f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: org, User: bob, IdempotencyKey: key()})),
		"update": second(f.memberships.UpdateMember(ctx, &identityv1.UpdateMemberRequest{Organization: org, User: ada, Role: plain, IdempotencyKey: key()})),
		"resume": second(f.memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})),
	} {
		if !fault.Is(err, commonv1.Reason_ORGANIZATION_STATE) {
			t.Errorf("%s: %v, want ORGANIZATION_STATE", call, err)
		}
	}
	if _, err := f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()}); err != nil {
		t.Errorf("a member is suspended everywhere: %v", err)
	}
	if _, err := f.memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: org, User: ada, IdempotencyKey: key()}); err != nil {
		t.Errorf("a member is removed: %v", err)
	}
	f.verify(t, org)
	f.verify(t, ada)
}

// A user is in 500 organizations and no more; suspended, resumed and erased in one
// commit each.
func TestManyOrganizations(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "ada@example.com", "Ada Lovelace")
	const most = 500
	orgs := make([]string, most+1)
	for i := range orgs {
		orgs[i] = f.organization(t, ctx, fmt.Sprint("org-", i))
		if i < most {
			f.member(t, ctx, orgs[i], ada, plain)
		}
	}
	_, err := f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: orgs[most], User: ada, IdempotencyKey: key()})
	if got, _ := fault.As(err); !fault.Is(err, commonv1.Reason_LIMIT_REACHED) || got.Meta["limit"] != "500" {
		t.Errorf("one too many: %v", err)
	}
	name := "Ada King"
	if _, err := f.users.UpdateUser(ctx, &identityv1.UpdateUserRequest{User: ada, Name: &name, IdempotencyKey: key()}); err != nil {
		t.Errorf("renamed: %v", err)
	}
	suspended, err := f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()})
	if err != nil || len(suspended.GetOrganizationRevisions()) != most {
		t.Errorf("suspended in %d, %v", len(suspended.GetOrganizationRevisions()), err)
	}
	f.verify(t, ada)
	resumed, err := f.users.ResumeUser(ctx, &identityv1.ResumeUserRequest{User: ada, IdempotencyKey: key()})
	if err != nil || len(resumed.GetOrganizationRevisions()) != most {
		t.Errorf("resumed in %d, %v", len(resumed.GetOrganizationRevisions()), err)
	}
	erased, err := f.erase(ctx, ada, false)
	if err != nil || len(erased.GetOrganizationRevisions()) != most {
		t.Errorf("erased in %d, %v", len(erased.GetOrganizationRevisions()), err)
	}
	for _, log := range []string{ada, orgs[0], orgs[most-1], orgs[most]} {
		f.verify(t, log)
	}
}
