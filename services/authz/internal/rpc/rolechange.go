package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/role"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// roleChange is one change of a role inside its transaction.
type roleChange struct {
	ctx           context.Context //nolint:containedctx // lives as long as the transaction
	tx            pgx.Tx
	relationships *Relationships
	caller        principal.Principal
	model         *authzcore.Model
	organization  string
	homeRegion    string
	id            string
	now           time.Time

	row   store.Role
	state role.State
}

// read fills the state with all but the assignments.
func (r *roleChange) read() error {
	row, err := store.FindRole(r.ctx, r.tx, r.organization, r.id)
	if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return err
	}
	r.row = row
	r.state = role.State{Exists: err == nil, Name: row.Name, Description: row.Description, At: r.now}
	return nil
}

func (r *roleChange) readPermissions() (err error) {
	r.state.Permissions, err = store.Permissions(r.ctx, r.tx, r.organization, []string{role.Holders(r.id)}, role.MaxRelationships+1)
	return err
}

// define creates or updates the role and returns it.
func (r *roleChange) define(d role.Define, decide func(role.State) (role.Change, error)) (*authzv1.Role, string, error) {
	if err := role.Supported(r.model); err != nil {
		return nil, "", err
	}
	if err := r.readPermissions(); err != nil {
		return nil, "", err
	}
	change, err := decide(r.state)
	if err != nil {
		return nil, "", err
	}
	if err := r.allowed(d, change); err != nil {
		return nil, "", err
	}
	if change.Event != nil || len(change.Updates) > 0 {
		if !r.state.Exists {
			r.row.CreatedAt = r.now
		}
		r.row = store.Role{ID: d.Role, Name: d.Name, Description: d.Description, CreatedAt: r.row.CreatedAt, UpdatedAt: r.now}
		if err := store.PutRole(r.ctx, r.tx, r.organization, r.homeRegion, r.row); err != nil {
			return nil, "", err
		}
	}
	token, err := r.apply(change)
	out := roleMessage(r.row)
	for _, p := range d.Permissions {
		out.Permissions = append(out.Permissions, &authzv1.RolePermission{Resource: p.Resource, Relation: p.Relation})
	}
	slices.SortFunc(out.GetPermissions(), func(a, b *authzv1.RolePermission) int {
		return strings.Compare(a.GetResource()+"\x00"+a.GetRelation(), b.GetResource()+"\x00"+b.GetRelation())
	})
	return out, token, err
}

// allowed says whether the model lets the role have what it is given now. What
// it has already stays as it is.
func (r *roleChange) allowed(d role.Define, change role.Change) error {
	given := map[authzcore.Relationship]bool{}
	for _, u := range change.Updates {
		given[u.Relationship] = u.Operation == authzv1.Operation_OPERATION_TOUCH
	}
	for i, p := range d.Permissions {
		if !given[p.Of(d.Role)] {
			continue
		}
		if err := r.model.Validate(p.Of(d.Role)); err != nil {
			return permissionFault(err, fmt.Sprintf("permissions[%d].", i))
		}
	}
	return nil
}

// permissionFault says of a permission what the model says of its relationship:
// that the role may not have it lies in the relation.
func permissionFault(err error, prefix string) error {
	if forbidden, ok := errors.AsType[*authzcore.ForbiddenError](err); ok {
		return fault.New(fault.Invalid, commonv1.Reason_RELATIONSHIP_FORBIDDEN, prefix+"relation: "+forbidden.Detail).
			With("field", prefix+"relation").With("rule", forbidden.Rule)
	}
	return engineFault(err, prefix)
}

func (r *roleChange) delete() (string, error) {
	if err := r.readPermissions(); err != nil {
		return "", err
	}
	var err error
	r.state.Assignments, err = store.Assignments(r.ctx, r.tx, r.organization, role.Object(r.id), role.Assignee, "", role.MaxRelationships+1)
	if err != nil {
		return "", err
	}
	change, err := role.Delete(r.id, r.state)
	if err != nil {
		return "", err
	}
	if err := store.DeleteRole(r.ctx, r.tx, r.organization, r.id); err != nil {
		return "", err
	}
	return r.apply(change)
}

// apply writes the relationships of a change and records it all.
func (r *roleChange) apply(c role.Change) (string, error) {
	outcome, err := r.relationships.change(
		r.ctx, r.tx, r.organization, r.homeRegion, relationship.Write{Updates: c.Updates}, nil)
	if err != nil {
		return "", expiryFault(err)
	}
	var events []proto.Message
	if c.Event != nil {
		events = append(events, c.Event)
	}
	return r.relationships.record(r.ctx, r.tx, r.organization, r.caller, outcome, events...)
}

// expiryFault says of an assignment what is said of a relationship: that its
// time is over.
func expiryFault(err error) error {
	if f, ok := fault.As(err); ok && f.Reason == commonv1.Reason_INVALID_FIELD && strings.HasSuffix(f.Meta["field"], "expires_at") {
		return fault.Field("expires_at", f.Meta["rule"], f.Detail)
	}
	return err
}
