package authz_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

const roleModel = `model
  schema 1.1

type user

type group
  relations
    define member: [user]

type role
  relations
    define assignee: [user, group#member]

type service
  relations
    define owner: [user]
    define can_scale: [role#assignee] or owner
    define can_query: [role#assignee] or owner
`

func permission(resource, relation string) *authzv1.RolePermission {
	return &authzv1.RolePermission{Resource: resource, Relation: relation}
}

func (f *fixture) createRole(t testing.TB, org, role string, permissions ...*authzv1.RolePermission) *authzv1.CreateRoleResponse {
	t.Helper()
	answer, err := f.roles.CreateRole(t.Context(), &authzv1.CreateRoleRequest{
		Organization: org, Role: role, Name: "Role " + role, Description: "does things", Permissions: permissions, IdempotencyKey: f.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (f *fixture) assignRole(t testing.TB, org, role, subject string) string {
	t.Helper()
	answer, err := f.roles.AssignRole(t.Context(), &authzv1.AssignRoleRequest{Organization: org, Role: role, Subject: subject, IdempotencyKey: f.key()})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetRevision()
}

func (f *fixture) wantCheck(t testing.TB, org, subject, permission, at string, want bool) {
	t.Helper()
	if got, err := f.check(t.Context(), org, subject, permission, "service:prod", atLeast(at)); err != nil || got != want {
		t.Errorf("%s %s: %v, %v; want %v", subject, permission, got, err, want)
	}
}

func permissionsText(permissions []*authzv1.RolePermission) string {
	var out []string
	for _, p := range permissions {
		out = append(out, p.GetResource()+"#"+p.GetRelation())
	}
	return strings.Join(out, " ")
}

// A role gives its permissions to those who have it, from commit to commit.
func TestLifeOfARole(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.opened(t)
	f.assign(t, org, roleModel)
	created := f.createRole(t, org, "ops", permission("service:prod", "can_scale"), permission("service:prod", "can_query"))
	if r := created.GetRole(); permissionsText(r.GetPermissions()) != "service:prod#can_query service:prod#can_scale" || r.GetCreatedAt() == nil {
		t.Errorf("created %v", r)
	}
	at := f.assignRole(t, org, "ops", "user:ada")
	f.wantCheck(t, org, "user:ada", "can_scale", at, true)
	f.write(t, org, touch, relationship("group:night", "member", "user:ben"))
	at = f.assignRole(t, org, "ops", "group:night#member")
	f.wantCheck(t, org, "user:ben", "can_query", at, true)

	updated, err := f.roles.UpdateRole(t.Context(), &authzv1.UpdateRoleRequest{
		Organization: org, Role: "ops", Name: "Operations", Permissions: []*authzv1.RolePermission{permission("service:prod", "can_query")}, IdempotencyKey: f.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.wantCheck(t, org, "user:ada", "can_scale", updated.GetRevision(), false)
	f.wantCheck(t, org, "user:ada", "can_query", updated.GetRevision(), true)
	got, err := f.roles.GetRole(t.Context(), &authzv1.GetRoleRequest{Organization: org, Role: "ops"})
	if r := got.GetRole(); err != nil || r.GetName() != "Operations" || r.GetDescription() != "" || permissionsText(r.GetPermissions()) != "service:prod#can_query" ||
		!r.GetCreatedAt().AsTime().Equal(created.GetRole().GetCreatedAt().AsTime()) || !r.GetUpdatedAt().AsTime().After(r.GetCreatedAt().AsTime()) {
		t.Errorf("get: %v, %v", got, err)
	}

	for range 2 { // the second takes away what is not there
		taken, err := f.roles.UnassignRole(t.Context(), &authzv1.UnassignRoleRequest{Organization: org, Role: "ops", Subject: "user:ada", IdempotencyKey: f.key()})
		if err != nil {
			t.Fatal(err)
		}
		f.wantCheck(t, org, "user:ada", "can_query", taken.GetRevision(), false)
		f.wantCheck(t, org, "user:ben", "can_query", taken.GetRevision(), true)
	}
	deleted, err := f.roles.DeleteRole(t.Context(), &authzv1.DeleteRoleRequest{Organization: org, Role: "ops", IdempotencyKey: f.key()})
	if err != nil {
		t.Fatal(err)
	}
	f.wantCheck(t, org, "user:ben", "can_query", deleted.GetRevision(), false)
	left, err := f.relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{Organization: org, Freshness: atLeast(deleted.GetRevision())})
	if err != nil || len(left.GetRelationships()) != 1 {
		t.Errorf("left: %v, %v; want the group's member only", left, err)
	}
	_, err = f.roles.GetRole(t.Context(), &authzv1.GetRoleRequest{Organization: org, Role: "ops"})
	wantReason(t, err, commonv1.Reason_NOT_FOUND)
	f.createRole(t, org, "ops") // its id is free
	f.verify(t, org)
}

func TestRoleChangesAreOneEventEach(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.opened(t)
	f.assign(t, org, roleModel)
	before := f.head(t, org)
	f.createRole(t, org, "ops", permission("service:prod", "can_scale"))
	if head := f.head(t, org); head != before+2 {
		t.Errorf("the head went from %d to %d, want a role and its relationships", before, head)
	}
	request := &authzv1.UpdateRoleRequest{
		Organization: org, Role: "ops", Name: "Role ops", Description: "does things",
		Permissions: []*authzv1.RolePermission{permission("service:prod", "can_scale")}, IdempotencyKey: f.key(),
	}
	for range 2 {
		if _, err := f.roles.UpdateRole(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	if head := f.head(t, org); head != before+2 {
		t.Errorf("the head is %d after an update of nothing, want %d", head, before+2)
	}
	request.Name = "Other"
	_, err := f.roles.UpdateRole(t.Context(), request)
	wantReason(t, err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED)
}

func TestListRoles(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, other := f.opened(t), f.opened(t)
	f.assign(t, org, roleModel)
	f.assign(t, other, roleModel)
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("r%d", i))
		f.createRole(t, org, want[i], permission(fmt.Sprintf("service:s%d", i), "can_scale"))
		f.assignRole(t, org, "r0", fmt.Sprintf("user:u%d", i))
	}
	f.createRole(t, other, "theirs", permission("service:s0", "can_scale"))
	var got []string
	for cursor := ""; ; {
		page, err := f.roles.ListRoles(t.Context(), &authzv1.ListRolesRequest{Organization: org, PageSize: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.GetRoles() {
			got = append(got, r.GetId())
			if permissionsText(r.GetPermissions()) != "service:s"+r.GetId()[1:]+"#can_scale" {
				t.Errorf("%s has %v", r.GetId(), r.GetPermissions())
			}
		}
		if cursor = page.GetNextCursor(); cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("roles %v, want %v", got, want)
	}
	var subjects []string
	cursor := ""
	for {
		page, err := f.roles.ListRoleAssignments(t.Context(), &authzv1.ListRoleAssignmentsRequest{Organization: org, Role: "r0", PageSize: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.GetAssignments() {
			subjects = append(subjects, a.GetSubject())
		}
		if page.GetNextCursor() == "" {
			break
		}
		cursor = page.GetNextCursor()
	}
	if strings.Join(subjects, " ") != "user:u0 user:u1 user:u2 user:u3 user:u4" {
		t.Errorf("assignments %v", subjects)
	}
	_, err := f.roles.ListRoleAssignments(t.Context(), &authzv1.ListRoleAssignmentsRequest{Organization: org, Role: "r1", Cursor: cursor})
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
	_, err = f.roles.ListRoles(t.Context(), &authzv1.ListRolesRequest{Organization: other, Cursor: cursor})
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
}

func TestRolesRefuse(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, plain, bare := f.opened(t), f.organization(t), f.opened(t)
	f.assign(t, org, roleModel)
	f.createRole(t, org, "ops")
	before := f.head(t, org)
	create := func(change func(*authzv1.CreateRoleRequest)) func() error {
		return func() error {
			req := &authzv1.CreateRoleRequest{Organization: org, Role: "new", Name: "New", IdempotencyKey: f.key()}
			change(req)
			_, err := f.roles.CreateRole(t.Context(), req)
			return err
		}
	}
	with := func(permissions ...*authzv1.RolePermission) func() error {
		return create(func(r *authzv1.CreateRoleRequest) { r.Permissions = permissions })
	}
	assign := func(change func(*authzv1.AssignRoleRequest)) func() error {
		return func() error {
			req := &authzv1.AssignRoleRequest{Organization: org, Role: "ops", Subject: "user:ada", IdempotencyKey: f.key()}
			change(req)
			_, err := f.roles.AssignRole(t.Context(), req)
			return err
		}
	}
	good := permission("service:prod", "can_scale")
	tooMany := make([]*authzv1.RolePermission, 501)
	for i := range tooMany {
		tooMany[i] = permission(fmt.Sprintf("service:s%d", i), "can_scale")
	}
	for name, tc := range map[string]struct {
		call  func() error
		want  commonv1.Reason
		field string
	}{
		"id with upper case":   {create(func(r *authzv1.CreateRoleRequest) { r.Role = "Ops" }), commonv1.Reason_INVALID_FIELD, "role"},
		"id of 64":             {create(func(r *authzv1.CreateRoleRequest) { r.Role = strings.Repeat("a", 64) }), commonv1.Reason_INVALID_FIELD, "role"},
		"no name":              {create(func(r *authzv1.CreateRoleRequest) { r.Name = "" }), commonv1.Reason_INVALID_FIELD, "name"},
		"long description":     {create(func(r *authzv1.CreateRoleRequest) { r.Description = strings.Repeat("x", 501) }), commonv1.Reason_INVALID_FIELD, "description"},
		"exists":               {create(func(r *authzv1.CreateRoleRequest) { r.Role = "ops" }), commonv1.Reason_ALREADY_EXISTS, "role"},
		"absent organization":  {create(func(r *authzv1.CreateRoleRequest) { r.Organization = id.New(id.Organization) }), commonv1.Reason_NOT_FOUND, ""},
		"no model":             {create(func(r *authzv1.CreateRoleRequest) { r.Organization = bare }), commonv1.Reason_MODEL_NOT_ASSIGNED, ""},
		"a model without role": {create(func(r *authzv1.CreateRoleRequest) { r.Organization = plain }), commonv1.Reason_ROLE_UNSUPPORTED, ""},
		"too many permissions": {with(tooMany...), commonv1.Reason_INVALID_FIELD, "permissions"},
		"malformed resource":   {with(good, permission("service", "can_scale")), commonv1.Reason_INVALID_FIELD, "permissions[1].resource"},
		"unknown type":         {with(good, permission("servce:prod", "can_scale")), commonv1.Reason_TYPE_UNKNOWN, "permissions[1].resource"},
		"unknown relation":     {with(good, permission("service:prod", "can_fly")), commonv1.Reason_RELATION_UNKNOWN, "permissions[1].relation"},
		"not for roles":        {with(good, permission("service:prod", "owner")), commonv1.Reason_RELATIONSHIP_FORBIDDEN, "permissions[1].relation"},
		"twice":                {with(good, good), commonv1.Reason_INVALID_FIELD, "permissions[1]"},
		"update of none": {func() error {
			_, err := f.roles.UpdateRole(t.Context(), &authzv1.UpdateRoleRequest{Organization: org, Role: "none", Name: "x", IdempotencyKey: f.key()})
			return err
		}, commonv1.Reason_NOT_FOUND, ""},
		"delete of none": {func() error {
			_, err := f.roles.DeleteRole(t.Context(), &authzv1.DeleteRoleRequest{Organization: org, Role: "none", IdempotencyKey: f.key()})
			return err
		}, commonv1.Reason_NOT_FOUND, ""},
		"assign none":                  {assign(func(r *authzv1.AssignRoleRequest) { r.Role = "none" }), commonv1.Reason_NOT_FOUND, ""},
		"assign to a type that is not": {assign(func(r *authzv1.AssignRoleRequest) { r.Subject = "robot:r" }), commonv1.Reason_TYPE_UNKNOWN, "subject"},
		"assign to what may not":       {assign(func(r *authzv1.AssignRoleRequest) { r.Subject = "user:*" }), commonv1.Reason_RELATIONSHIP_FORBIDDEN, "subject"},
		"assign to nobody":             {assign(func(r *authzv1.AssignRoleRequest) { r.Subject = "user:" }), commonv1.Reason_INVALID_FIELD, "subject"},
		"unassign none": {func() error {
			_, err := f.roles.UnassignRole(t.Context(), &authzv1.UnassignRoleRequest{Organization: org, Role: "none", Subject: "user:ada", IdempotencyKey: f.key()})
			return err
		}, commonv1.Reason_NOT_FOUND, ""},
		"unassign nobody": {func() error {
			_, err := f.roles.UnassignRole(t.Context(), &authzv1.UnassignRoleRequest{Organization: org, Role: "ops", Subject: "ada", IdempotencyKey: f.key()})
			return err
		}, commonv1.Reason_INVALID_FIELD, "subject"},
		"assignments of none": {func() error {
			_, err := f.roles.ListRoleAssignments(t.Context(), &authzv1.ListRoleAssignmentsRequest{Organization: org, Role: "none"})
			return err
		}, commonv1.Reason_NOT_FOUND, ""},
		"roles of an absent organization": {func() error {
			_, err := f.roles.ListRoles(t.Context(), &authzv1.ListRolesRequest{Organization: id.New(id.Organization)})
			return err
		}, commonv1.Reason_NOT_FOUND, ""},
		"a cursor of nothing": {func() error {
			_, err := f.roles.ListRoles(t.Context(), &authzv1.ListRolesRequest{Organization: org, Cursor: "x"})
			return err
		}, commonv1.Reason_INVALID_FIELD, "cursor"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.call()
			wantReason(t, err, tc.want)
			if got := metaOf(t, err)["field"]; got != tc.field {
				t.Errorf("field is %q, want %q", got, tc.field)
			}
		})
	}
	if after := f.head(t, org); after != before {
		t.Errorf("refused calls moved the head from %d to %d", before, after)
	}
}
