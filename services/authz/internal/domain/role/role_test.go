package role_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/role"
)

var (
	scale   = role.Permission{Resource: "service:prod", Relation: "can_scale"}
	query   = role.Permission{Resource: "service:prod", Relation: "can_query"}
	backups = role.Permission{Resource: "service:prod", Relation: "can_manage_backups"}
)

func touch(r authzcore.Relationship) relationship.Update {
	return relationship.Update{Operation: authzv1.Operation_OPERATION_TOUCH, Relationship: r}
}

func remove(r authzcore.Relationship) relationship.Update {
	return relationship.Update{Operation: authzv1.Operation_OPERATION_DELETE, Relationship: r}
}

func many(n int) []authzcore.Relationship {
	out := make([]authzcore.Relationship, n)
	for i := range out {
		out[i] = role.Assignment("ops", fmt.Sprintf("user:%d", i), 0)
	}
	return out
}

func TestRoles(t *testing.T) {
	define := func(permissions ...role.Permission) role.Define {
		return role.Define{Role: "ops", Name: "Operations", Description: "night shift", Permissions: permissions}
	}
	has := func(permissions ...role.Permission) role.State {
		s := role.State{Exists: true, Name: "Operations", Description: "night shift"}
		for _, p := range permissions {
			s.Permissions = append(s.Permissions, p.Of("ops"))
		}
		return s
	}
	defined := &eventv1.RoleDefined{Role: "ops", Name: "Operations", Description: "night shift"}
	conditional := scale.Of("ops")
	conditional.Terms.Condition = "office_hours"
	expiring := conditional
	expiring.Terms.Expires = 100
	self := role.Assignment("ops", "role:ops#assignee", 0)
	for name, tc := range map[string]struct {
		when    func() (role.Change, error)
		event   proto.Message
		updates []relationship.Update
		want    commonv1.Reason
	}{
		"a new role": {
			when:  func() (role.Change, error) { return define(scale, query).Create(role.State{}) },
			event: defined, updates: []relationship.Update{touch(scale.Of("ops")), touch(query.Of("ops"))},
		},
		"a new role without permissions": {
			when: func() (role.Change, error) { return define().Create(role.State{}) }, event: defined,
		},
		"a new role takes over what was there, and no more": {
			when: func() (role.Change, error) {
				return define(scale, query).Create(role.State{Permissions: has(query, backups).Permissions})
			},
			event: defined, updates: []relationship.Update{remove(backups.Of("ops")), touch(scale.Of("ops"))},
		},
		"a role that exists": {
			when: func() (role.Change, error) { return define(scale).Create(has()) }, want: commonv1.Reason_ALREADY_EXISTS,
		},
		"a permission named twice": {
			when: func() (role.Change, error) { return define(scale, query, scale).Create(role.State{}) }, want: commonv1.Reason_INVALID_FIELD,
		},
		"other permissions": {
			when:    func() (role.Change, error) { return define(query, backups).Update(has(scale, query)) },
			updates: []relationship.Update{remove(scale.Of("ops")), touch(backups.Of("ops"))},
		},
		"another name": {
			when: func() (role.Change, error) {
				return role.Define{Role: "ops", Name: "Ops", Permissions: []role.Permission{scale}}.Update(has(scale))
			},
			event: &eventv1.RoleDefined{Role: "ops", Name: "Ops"},
		},
		"nothing new": {when: func() (role.Change, error) { return define(scale).Update(has(scale)) }},
		"a permission with a condition keeps it": {
			when: func() (role.Change, error) {
				return define(scale).Update(role.State{Exists: true, Name: "Operations", Description: "night shift", Permissions: []authzcore.Relationship{conditional}})
			},
		},
		"a permission that expires later keeps its terms": {
			when: func() (role.Change, error) {
				return define(scale).Update(role.State{Exists: true, Name: "Operations", Description: "night shift", At: time.Unix(99, 0), Permissions: []authzcore.Relationship{expiring}})
			},
		},
		"a permission that has expired is written again": {
			when: func() (role.Change, error) {
				return define(scale).Update(role.State{Exists: true, Name: "Operations", Description: "night shift", At: time.Unix(100, 0), Permissions: []authzcore.Relationship{expiring}})
			},
			updates: []relationship.Update{touch(scale.Of("ops"))},
		},
		"an update of none": {
			when: func() (role.Change, error) { return define(scale).Update(role.State{}) }, want: commonv1.Reason_NOT_FOUND,
		},
		"an update of too many permissions": {
			when: func() (role.Change, error) {
				return define(scale).Update(role.State{Exists: true, Permissions: many(role.MaxRelationships + 1)})
			},
			want: commonv1.Reason_ROLE_IN_USE,
		},
		"a deletion": {
			when: func() (role.Change, error) {
				s := has(scale)
				s.Assignments = many(2)
				return role.Delete("ops", s)
			},
			event:   &eventv1.RoleDeleted{Role: "ops"},
			updates: []relationship.Update{remove(scale.Of("ops")), remove(many(2)[0]), remove(many(2)[1])},
		},
		"a deletion of a role that is assigned to itself": {
			when: func() (role.Change, error) {
				return role.Delete("ops", role.State{Exists: true, Permissions: []authzcore.Relationship{self}, Assignments: []authzcore.Relationship{self}})
			},
			event: &eventv1.RoleDeleted{Role: "ops"}, updates: []relationship.Update{remove(self)},
		},
		"a deletion of none": {
			when: func() (role.Change, error) { return role.Delete("ops", role.State{}) }, want: commonv1.Reason_NOT_FOUND,
		},
		"a deletion with as many assignments as can be": {
			when: func() (role.Change, error) {
				_, err := role.Delete("ops", role.State{Exists: true, Assignments: many(role.MaxRelationships)})
				return role.Change{}, err
			},
		},
		"a deletion with too many assignments": {
			when: func() (role.Change, error) {
				return role.Delete("ops", role.State{Exists: true, Assignments: many(role.MaxRelationships + 1)})
			},
			want: commonv1.Reason_ROLE_IN_USE,
		},
		"an assignment": {
			when:    func() (role.Change, error) { return role.Assign("ops", "user:ada", 1_900_000_000, has()) },
			updates: []relationship.Update{touch(role.Assignment("ops", "user:ada", 1_900_000_000))},
		},
		"an assignment of none": {
			when: func() (role.Change, error) { return role.Assign("ops", "user:ada", 0, role.State{}) }, want: commonv1.Reason_NOT_FOUND,
		},
		"an assignment's end": {
			when:    func() (role.Change, error) { return role.Unassign("ops", "user:ada", has()) },
			updates: []relationship.Update{remove(role.Assignment("ops", "user:ada", 0))},
		},
		"an assignment's end of none": {
			when: func() (role.Change, error) { return role.Unassign("ops", "user:ada", role.State{}) }, want: commonv1.Reason_NOT_FOUND,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.when()
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || got.Event != nil || got.Updates != nil {
					t.Fatalf("%+v, %v; want %v and no change", got, err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(role.Change{Event: tc.event, Updates: tc.updates}, got, protocmp.Transform()); diff != "" {
				t.Errorf("change (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSupported(t *testing.T) {
	for name, tc := range map[string]struct {
		types string
		want  commonv1.Reason
	}{
		"assignee":    {"type role\n  relations\n    define assignee: [user]\n", 0},
		"no type":     {"", commonv1.Reason_ROLE_UNSUPPORTED},
		"no relation": {"type role\n  relations\n    define member: [user]\n", commonv1.Reason_ROLE_UNSUPPORTED},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := authzcore.Compile(authzcore.NewNames(), []authzcore.File{{Path: "m.fga", Content: "model\n  schema 1.1\ntype user\n" + tc.types}})
			if err != nil {
				t.Fatal(err)
			}
			if err := role.Supported(m); tc.want == 0 && err != nil || tc.want != 0 && !fault.Is(err, tc.want) {
				t.Errorf("Supported = %v, want %v", err, tc.want)
			}
		})
	}
}
