package authz_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

const peopleModel = `model
  schema 1.1

type user

type service_account

type organization
  relations
    define member: [user]
    define admin: [user]
    define service_account: [service_account]
    define owner: [group#member]
    define can_manage: admin or owner

type group
  relations
    define member: [user, service_account, group#member]

type role
  relations
    define assignee: [user]

type document
  relations
    define reader: [group#member, role#assignee]
`

const (
	asMember = eventv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER
	asAdmin  = eventv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN
)

// said appends events of identity to an organization's log and returns the token of
// the last.
func (f *fixture) said(t *testing.T, org string, events ...proto.Message) string {
	t.Helper()
	head := f.head(t, org)
	f.append(t, org, head, events...)
	return tokenOf(t, org, head+uint64(len(events)))
}

// peopled is an organization with a model for people.
func (f *fixture) peopled(t testing.TB) string {
	t.Helper()
	org := id.New(id.Organization)
	f.append(t, org, 0, &eventv1.OrganizationCreated{Organization: org, Slug: org, Name: org, HomeRegion: region})
	f.assign(t, org, peopleModel)
	return org
}

// exported are all relationships of an organization at a revision, sorted.
func (f *fixture) exported(t testing.TB, org, token string) (out []string) {
	t.Helper()
	stream, err := f.relationships.ExportRelationships(t.Context(), &authzv1.ExportRelationshipsRequest{Organization: org, Freshness: atLeast(token)})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for stream.Receive() {
		for _, r := range stream.Msg().GetRelationships() {
			out = append(out, r.GetResource()+"#"+r.GetRelation()+"@"+r.GetSubject())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// What identity records is what checks are answered by, from its revision on.
func TestFactsDecide(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.peopled(t)
	anna, bea, bot := id.New(id.User), id.New(id.User), id.New(id.ServiceAccount)
	outer, inner := id.New(id.Group), id.New(id.Group)
	f.write(t, org, touch, relationship("document:plan", "reader", "group:"+outer+"#member"))
	const reads, isMember, manages, isAccount = "reader document:plan", "member organization", "can_manage organization", "service_account organization"
	steps := []struct {
		name        string
		event       proto.Message
		allow, deny []string // subject, permission, type of resource
	}{
		{"joined", &eventv1.MembershipCreated{Organization: org, User: anna, Role: asAdmin}, []string{"anna " + isMember, "anna " + manages}, []string{"bea " + isMember}},
		{"another", &eventv1.MembershipCreated{Organization: org, User: bea, Role: asMember}, []string{"bea " + isMember}, []string{"bea " + manages}},
		{"promoted", &eventv1.MembershipRoleChanged{Organization: org, User: bea, Role: asAdmin}, []string{"bea " + manages}, nil},
		{"demoted", &eventv1.MembershipRoleChanged{Organization: org, User: bea, Role: asMember}, []string{"bea " + isMember}, []string{"bea " + manages}},
		{"account", &eventv1.ServiceAccountCreated{Organization: org, ServiceAccount: bot}, []string{"bot " + isAccount}, []string{"bot " + reads}},
		{"group", &eventv1.GroupCreated{Organization: org, Group: inner, Name: "inner"}, nil, []string{"bea " + reads}},
		{"members", &eventv1.GroupMembersChanged{Group: inner, Added: []string{bea, bot}}, nil, []string{"bea " + reads, "bot " + reads}},
		{"nested", &eventv1.GroupMembersChanged{Group: outer, Added: []string{inner}}, []string{"bea " + reads, "bot " + reads}, []string{"anna " + reads}},
		{"out of the inner", &eventv1.GroupMembersChanged{Group: inner, Removed: []string{bea}}, []string{"bot " + reads}, []string{"bea " + reads}},
		{"the inner out", &eventv1.GroupMembersChanged{Group: outer, Removed: []string{inner}}, nil, []string{"bot " + reads}},
		{"suspended", &eventv1.MembershipSuspended{Organization: org, User: anna}, nil, []string{"anna " + isMember, "anna " + manages}},
		{"demoted while suspended", &eventv1.MembershipRoleChanged{Organization: org, User: anna, Role: asMember, Suspended: true}, nil, []string{"anna " + isMember, "anna " + manages}},
		{"promoted while suspended", &eventv1.MembershipRoleChanged{Organization: org, User: anna, Role: asAdmin, Suspended: true}, nil, []string{"anna " + isMember, "anna " + manages}},
		{"resumed", &eventv1.MembershipResumed{Organization: org, User: anna, Role: asAdmin}, []string{"anna " + isMember, "anna " + manages}, nil},
		{"removed", &eventv1.MembershipRemoved{Organization: org, User: anna}, nil, []string{"anna " + isMember, "anna " + manages}},
		{"disabled", &eventv1.ServiceAccountDisabled{Organization: org, ServiceAccount: bot}, nil, []string{"bot " + isAccount}},
		{"enabled", &eventv1.ServiceAccountEnabled{Organization: org, ServiceAccount: bot}, []string{"bot " + isAccount}, nil},
		{"deleted", &eventv1.ServiceAccountDeleted{Organization: org, ServiceAccount: bot}, nil, []string{"bot " + isAccount}},
	}
	names := strings.NewReplacer("anna", "user:"+anna, "bea", "user:"+bea, "bot", "service_account:"+bot)
	for _, step := range steps {
		token := f.said(t, org, step.event)
		for want, questions := range map[bool][]string{true: step.allow, false: step.deny} {
			for _, question := range questions {
				part := strings.Fields(names.Replace(question))
				resource := part[2]
				if resource == "organization" {
					resource += ":" + org
				}
				if allowed, err := f.check(t.Context(), org, part[0], part[1], resource, atLeast(token)); err != nil || allowed != want {
					t.Errorf("%s: %s: %v, %v; want %v", step.name, question, allowed, err, want)
				}
			}
		}
	}
	f.verify(t, org)
}

// Facts of identity are not written, imported, or given to roles here, and no
// precondition is stated on them.
func TestFactsAreNotWritten(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.peopled(t)
	usr, grp := "user:"+id.New(id.User), "group:"+id.New(id.Group)
	mine := "organization:" + org
	f.said(t, org, &eventv1.MembershipCreated{Organization: org, User: usr[len("user:"):], Role: asAdmin})
	head := f.head(t, org)
	derived := map[string]*authzv1.Relationship{
		"a member":                  relationship(mine, "member", usr),
		"an administrator":          relationship(mine, "admin", usr),
		"a service account":         relationship(mine, "service_account", "service_account:"+id.New(id.ServiceAccount)),
		"of another organization":   relationship("organization:"+id.New(id.Organization), "member", usr),
		"a member of a group":       relationship(grp, "member", usr),
		"a group in a group":        relationship(grp, "member", "group:"+id.New(id.Group)+"#member"),
		"a group of the product in": relationship(grp, "member", "group:staff#member"),
	}
	fine := relationship("group:staff", "member", usr)
	for name, r := range derived {
		for _, op := range []authzv1.Operation{touch, remove, authzv1.Operation_OPERATION_CREATE} {
			_, err := f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
				Organization: org, IdempotencyKey: f.key(), Updates: []*authzv1.RelationshipUpdate{
					{Operation: touch, Relationship: fine}, {Operation: op, Relationship: r},
				},
			})
			wantReason(t, err, commonv1.Reason_RELATIONSHIP_DERIVED)
			if field := fromConnect(err)["field"]; field != "updates[1].relationship" {
				t.Errorf("%s, %s: field %q", name, op, field)
			}
		}
		stream, err := f.relationships.ImportRelationships(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&authzv1.ImportRelationshipsRequest{Organization: org, Relationships: []*authzv1.Relationship{fine, r}})
		_, err = stream.CloseAndReceive()
		wantReason(t, err, commonv1.Reason_RELATIONSHIP_DERIVED)
		if field := fromConnect(err)["field"]; field != "relationships[1]" {
			t.Errorf("%s, imported: field %q", name, field)
		}
		_, err = f.roles.CreateRole(t.Context(), &authzv1.CreateRoleRequest{
			Organization: org, Role: "ops", Name: "Ops", IdempotencyKey: f.key(),
			Permissions: []*authzv1.RolePermission{{Resource: "document:plan", Relation: "reader"}, {Resource: r.GetResource(), Relation: r.GetRelation()}},
		})
		wantReason(t, err, commonv1.Reason_RELATIONSHIP_DERIVED)
		if field := fromConnect(err)["field"]; field != "permissions[1]" {
			t.Errorf("%s, of a role: field %q", name, field)
		}
		for _, relation := range []string{r.GetRelation(), ""} {
			_, err = f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
				Organization: org, IdempotencyKey: f.key(), Updates: []*authzv1.RelationshipUpdate{{Operation: touch, Relationship: fine}},
				Preconditions: []*authzv1.Precondition{{Filter: &authzv1.RelationshipFilter{Resource: r.GetResource(), Relation: relation}, MustMatch: true}},
			})
			wantReason(t, err, commonv1.Reason_RELATIONSHIP_DERIVED)
			if field := fromConnect(err)["field"]; field != "preconditions[0].filter" {
				t.Errorf("%s, a precondition: field %q", name, field)
			}
		}
	}
	if f.head(t, org) != head {
		t.Error("a refusal was recorded")
	}
	// What the product says of the same types, and of facts as subjects, is its own.
	f.write(t, org, touch, fine)
	f.write(t, org, touch, relationship("group:staff", "member", grp+"#member"))
	token := f.write(t, org, touch, relationship(mine, "owner", grp+"#member"))
	if got := f.exported(t, org, token); len(got) != 5 {
		t.Errorf("relationships %q", got)
	}
	f.verify(t, org)
}

// Facts of identity are read, exported and watched as what is written.
func TestFactsAreSeen(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.peopled(t)
	beginning := tokenOf(t, org, f.head(t, org))
	usr, svc, grp, sub := id.New(id.User), id.New(id.ServiceAccount), id.New(id.Group), id.New(id.Group)
	token := f.said(t, org,
		&eventv1.MembershipCreated{Organization: org, User: usr, Role: asAdmin},
		&eventv1.ServiceAccountCreated{Organization: org, ServiceAccount: svc},
		&eventv1.GroupCreated{Organization: org, Group: grp, Name: "grp"},
		&eventv1.GroupMembersChanged{Group: grp, Added: []string{usr, svc, sub}},
	)
	want := []string{
		"organization:" + org + "#member@user:" + usr, "organization:" + org + "#admin@user:" + usr,
		"organization:" + org + "#service_account@service_account:" + svc,
		"group:" + grp + "#member@user:" + usr, "group:" + grp + "#member@service_account:" + svc, "group:" + grp + "#member@group:" + sub + "#member",
	}
	read, err := f.relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{
		Organization: org, Filter: &authzv1.RelationshipFilter{Resource: "group:" + grp}, Freshness: atLeast(token),
	})
	if err != nil || len(read.GetRelationships()) != 3 {
		t.Errorf("read %v, %v; want the 3 members of the group", read.GetRelationships(), err)
	}
	if got := f.exported(t, org, token); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("exported %q, want %q", got, want)
	}
	all, ofGroup := f.watch(t, org, beginning), f.watch(t, org, beginning, &authzv1.RelationshipFilter{Resource: "group:" + grp, Subject: "user:" + usr})
	var written []string
	for _, r := range want {
		written = append(written, "written "+r)
	}
	if got := all.changes(t, len(want)); !slices.Equal(got, written) {
		t.Errorf("watched %q, want %q", got, written)
	}
	f.said(t, org, &eventv1.GroupMembersChanged{Group: grp, Removed: []string{usr, svc, sub}}, &eventv1.GroupDeleted{Group: grp},
		&eventv1.MembershipRemoved{Organization: org, User: usr})
	if got := all.changes(t, 5); !slices.Contains(got, "deleted "+want[0]) || !slices.Contains(got, "deleted "+want[5]) {
		t.Errorf("watched %q", got)
	}
	if got := ofGroup.changes(t, 2); !slices.Equal(got, []string{"written " + want[3], "deleted " + want[3]}) {
		t.Errorf("watched of the group %q", got)
	}
	f.verify(t, org)
}

// A model that has no place for facts of identity loses no stored relationship, and
// facts that were recorded before hold when a model has one.
func TestFactsAreNoOrphans(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	usr := id.New(id.User)
	token := f.said(t, org, &eventv1.MembershipCreated{Organization: org, User: usr, Role: asMember},
		&eventv1.GroupMembersChanged{Group: id.New(id.Group), Added: []string{usr}})
	if _, err := f.check(t.Context(), org, "user:"+usr, "member", "organization:"+org, atLeast(token)); err == nil {
		t.Error("a type that the model does not have was checked")
	}
	token = f.assign(t, org, peopleModel)
	if allowed, err := f.check(t.Context(), org, "user:"+usr, "member", "organization:"+org, atLeast(token)); err != nil || !allowed {
		t.Errorf("a fact from before the model: %v, %v; want allow", allowed, err)
	}
	bare := "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define reader: [user]\n"
	diff, err := f.models.DiffModels(t.Context(), &authzv1.DiffModelsRequest{
		Organization: org, Files: []*authzv1.ModelFile{{Path: "model.fga", Content: bare}}, Freshness: fullyConsistent(),
	})
	if err != nil || diff.GetOrphaned() != 0 || diff.GetRelationships() != 2 {
		t.Errorf("DiffModels: %d orphans of %d, %v; want none of 2", diff.GetOrphaned(), diff.GetRelationships(), err)
	}
	f.assign(t, org, bare)
	token = f.assign(t, org, peopleModel)
	if allowed, err := f.check(t.Context(), org, "user:"+usr, "member", "organization:"+org, atLeast(token)); err != nil || !allowed {
		t.Errorf("after a model without a place for it: %v, %v; want allow", allowed, err)
	}
	// A relationship of the same kind that the product wrote is one.
	f.write(t, org, touch, relationship("group:staff", "member", "user:"+usr))
	published, err := f.models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
		Name: "test", Files: []*authzv1.ModelFile{{Path: "model.fga", Content: bare}}, IdempotencyKey: f.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = f.tryAssign(t, &authzv1.AssignModelRequest{Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}})
	wantReason(t, err, commonv1.Reason_MODEL_ORPHANS)
	if meta := fromConnect(err); meta["orphaned"] != "1" || !strings.HasPrefix(meta["example"], "group:staff#member") {
		t.Errorf("orphans %v", meta)
	}
	f.verify(t, org)
}
