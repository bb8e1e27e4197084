package rpc

import (
	"context"
	"fmt"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/role"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// mayGive says whether the user or service account whose rights a call makes use of may
// give permissions away: those that the subject has, or, as an administrator of the organization where
// the model says so, all. Else whoever manages roles could have everything.
//
// Errors: ACCESS_DENIED (field); ROLE_IN_USE, when there are more of them than are
// looked through; those of a check.
func (s *Roles) mayGive(ctx context.Context, organization string, permissions []role.Permission) error {
	caller, err := principal.Require(ctx)
	if err != nil || caller.Subject() == "" || len(permissions) == 0 {
		return err
	}
	view, _, err := viewAt(ctx, s.Relationships.Graphs, organization, graphs.Freshness{Level: graphs.FullyConsistent})
	if err != nil {
		return err
	}
	has := func(permission, resource string) (bool, error) {
		decided, err := decide(ctx, view, authzcore.Question{
			Subject: subjectOf(caller), Permission: permission, Resource: resource,
		}, authzcore.Circumstances{At: s.Clock()}, false)
		return err == nil && decided.Answer == authzcore.Allow, err
	}
	if all, err := has("admin", "organization:"+organization); err == nil && all {
		return nil
	}
	if err := role.Bounded("permissions", len(permissions)); err != nil {
		return err
	}
	for i, p := range permissions {
		switch may, err := has(p.Relation, p.Resource); {
		case err != nil:
			return err
		case !may:
			return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "a subject gives away only what it has").
				With("field", fmt.Sprintf("permissions[%d]", i))
		}
	}
	return nil
}

// subjectOf is the subject of a caller as relationships name it.
func subjectOf(caller principal.Principal) string {
	if caller.Kind == principal.ServiceAccount {
		return "service_account:" + caller.Subject()
	}
	return "user:" + caller.Subject()
}

// mayAssign is mayGive for all that a role has as role:id#assignee. What a model makes
// of role:id itself, or of another relation of it, it does not see.
func (s *Roles) mayAssign(ctx context.Context, organization, name string) error {
	caller, err := principal.Require(ctx)
	if err != nil || caller.Subject() == "" {
		return err
	}
	rows, err := store.Permissions(ctx, s.Relationships.DB.Pool(), organization, []string{role.Holders(name)}, role.MaxRelationships+1)
	if err != nil {
		return err
	}
	permissions := make([]role.Permission, len(rows))
	for i, r := range rows {
		permissions[i] = role.Permission{Resource: r.Resource, Relation: r.Relation}
	}
	return s.mayGive(ctx, organization, permissions)
}
