package facts_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/id"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/facts"
)

const (
	member = eventv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER
	admin  = eventv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN
)

func TestChanges(t *testing.T) {
	const (
		isMember  = "+organization:org_1#member@user:usr_1"
		noMember  = "-organization:org_1#member@user:usr_1"
		isAdmin   = "+organization:org_1#admin@user:usr_1"
		noAdmin   = "-organization:org_1#admin@user:usr_1"
		isAccount = "+organization:org_1#service_account@service_account:svc_1"
		noAccount = "-organization:org_1#service_account@service_account:svc_1"
	)
	for name, tc := range map[string]struct {
		event proto.Message
		want  []string
	}{
		"a member":                 {&eventv1.MembershipCreated{Organization: "org_1", User: "usr_1", Role: member}, []string{isMember}},
		"an administrator":         {&eventv1.MembershipCreated{Organization: "org_1", User: "usr_1", Role: admin}, []string{isMember, isAdmin}},
		"promoted":                 {&eventv1.MembershipRoleChanged{Organization: "org_1", User: "usr_1", Role: admin}, []string{isAdmin}},
		"demoted":                  {&eventv1.MembershipRoleChanged{Organization: "org_1", User: "usr_1", Role: member}, []string{noAdmin}},
		"promoted while suspended": {&eventv1.MembershipRoleChanged{Organization: "org_1", User: "usr_1", Role: admin, Suspended: true}, nil},
		"suspended":                {&eventv1.MembershipSuspended{Organization: "org_1", User: "usr_1"}, []string{noMember, noAdmin}},
		"suspended everywhere":     {&eventv1.MembershipSuspended{Organization: "org_1", User: "usr_1", Everywhere: true}, []string{noMember, noAdmin}},
		"resumed":                  {&eventv1.MembershipResumed{Organization: "org_1", User: "usr_1", Role: member}, []string{isMember}},
		"resumed, an admin":        {&eventv1.MembershipResumed{Organization: "org_1", User: "usr_1", Role: admin}, []string{isMember, isAdmin}},
		"removed":                  {&eventv1.MembershipRemoved{Organization: "org_1", User: "usr_1"}, []string{noMember, noAdmin}},
		"a service account":        {&eventv1.ServiceAccountCreated{Organization: "org_1", ServiceAccount: "svc_1"}, []string{isAccount}},
		"renamed":                  {&eventv1.ServiceAccountChanged{ServiceAccount: "svc_1", Name: "x"}, nil},
		"disabled":                 {&eventv1.ServiceAccountDisabled{Organization: "org_1", ServiceAccount: "svc_1"}, []string{noAccount}},
		"enabled":                  {&eventv1.ServiceAccountEnabled{Organization: "org_1", ServiceAccount: "svc_1"}, []string{isAccount}},
		"deleted":                  {&eventv1.ServiceAccountDeleted{Organization: "org_1", ServiceAccount: "svc_1"}, []string{noAccount}},
		"members of a group": {
			&eventv1.GroupMembersChanged{Group: "grp_1", Added: []string{"usr_1", "svc_1", "grp_2"}, Removed: []string{"usr_2", "svc_2", "grp_3"}},
			[]string{
				"+group:grp_1#member@user:usr_1", "+group:grp_1#member@service_account:svc_1", "+group:grp_1#member@group:grp_2#member",
				"-group:grp_1#member@user:usr_2", "-group:grp_1#member@service_account:svc_2", "-group:grp_1#member@group:grp_3#member",
			},
		},
		"suspended, in groups": {
			&eventv1.MembershipSuspended{Organization: "org_1", User: "usr_1", Groups: []string{"grp_1", "grp_2"}},
			[]string{noMember, noAdmin, "-group:grp_1#member@user:usr_1", "-group:grp_2#member@user:usr_1"},
		},
		"resumed, in groups": {
			&eventv1.MembershipResumed{Organization: "org_1", User: "usr_1", Role: member, Groups: []string{"grp_1"}},
			[]string{isMember, "+group:grp_1#member@user:usr_1"},
		},
		"disabled, in groups": {
			&eventv1.ServiceAccountDisabled{Organization: "org_1", ServiceAccount: "svc_1", Groups: []string{"grp_1"}},
			[]string{noAccount, "-group:grp_1#member@service_account:svc_1"},
		},
		"enabled, in groups": {
			&eventv1.ServiceAccountEnabled{Organization: "org_1", ServiceAccount: "svc_1", Groups: []string{"grp_1"}},
			[]string{isAccount, "+group:grp_1#member@service_account:svc_1"},
		},
		"members some of whom are paused": {
			&eventv1.GroupMembersChanged{Group: "grp_1", Added: []string{"usr_1", "usr_2"}, Paused: []string{"usr_1"}},
			[]string{"+group:grp_1#member@user:usr_2"},
		},
		"a group deleted": {&eventv1.GroupDeleted{Group: "grp_1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			changes, known := facts.Changes(tc.event)
			var got []string
			for _, c := range changes {
				sign := "+"
				if c.Delete {
					sign = "-"
				}
				got = append(got, sign+c.Relationship.String())
			}
			if !known || !slices.Equal(got, tc.want) {
				t.Errorf("%q, %v; want %q", got, known, tc.want)
			}
		})
	}
}

// Whoever adds an event of identity says here what it is to authorization.
func TestEveryEventIsDeclared(t *testing.T) {
	parts := []protoreflect.Name{"OrganizationSettings"} // of events
	declared := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("meridian.identity.event.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Messages().Len() {
			name := f.Messages().Get(i).FullName()
			if slices.Contains(parts, name.Name()) {
				continue
			}
			found, err := protoregistry.GlobalTypes.FindMessageByName(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, known := facts.Changes(found.New().Interface()); !known {
				t.Errorf("%s is not declared in facts.Changes: does it shape a relationship?", name)
			}
			declared++
		}
		return true
	})
	if declared < 40 {
		t.Errorf("%d events looked at", declared)
	}
	if changes, known := facts.Changes(&eventv1.OrganizationSettings{}); known || changes != nil {
		t.Error("a message that is no event is known")
	}
}

// What events say is what Derived keeps others from writing.
func TestDerived(t *testing.T) {
	org, grp, usr, svc := id.New(id.Organization), id.New(id.Group), id.New(id.User), id.New(id.ServiceAccount)
	for _, event := range []proto.Message{
		&eventv1.MembershipCreated{Organization: org, User: usr, Role: admin},
		&eventv1.MembershipRemoved{Organization: org, User: usr},
		&eventv1.ServiceAccountCreated{Organization: org, ServiceAccount: svc},
		&eventv1.GroupMembersChanged{Group: grp, Added: []string{usr, svc, id.New(id.Group)}},
	} {
		changes, _ := facts.Changes(event)
		for _, c := range changes {
			if !facts.Derived(c.Relationship.Resource, c.Relationship.Relation) {
				t.Errorf("%s can be written", c.Relationship)
			}
			if err := authzcore.ParseRelationship(c.Relationship); err != nil {
				t.Errorf("%s is no relationship: %v", c.Relationship, err)
			}
		}
	}
	for name, tc := range map[string]struct {
		resource, relation string
		want               bool
	}{
		"any of an organization":          {"organization:" + org, "", true},
		"any of a group":                  {"group:" + grp, "", true},
		"another relation":                {"organization:" + org, "can_invite", false},
		"an admin of a group":             {"group:" + grp, "admin", false},
		"a group of the product":          {"group:staff", "member", false},
		"an organization of the product":  {"organization:acme", "member", false},
		"a group with an organization id": {"group:" + org, "member", false},
		"another type":                    {"team:" + grp, "member", false},
		"an id in capitals":               {"group:" + strings.ToUpper(grp), "member", false},
		"nothing":                         {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := facts.Derived(tc.resource, tc.relation); got != tc.want {
				t.Errorf("Derived(%q, %q) = %v", tc.resource, tc.relation, got)
			}
		})
	}
}
