package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// locking locks an organization's log: lockOwner or lockOpenOwner.
type locking func(ctx context.Context, tx pgx.Tx, log *eventlog.Store, organization string) (eventlog.Head, error)

// lockOwner locks an organization's log until the transaction ends, so that what
// is read then is what the next event follows.
//
// Errors: NOT_FOUND for an absent organization.
func lockOwner(ctx context.Context, tx pgx.Tx, log *eventlog.Store, organization string) (eventlog.Head, error) {
	head, err := log.Lock(ctx, tx, organization)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return eventlog.Head{}, principal.OrganizationNotFound()
	}
	return head, err
}

// lockOpenOwner is lockOwner for an organization that something is to be made in.
//
// Errors: NOT_FOUND, ORGANIZATION_STATE.
func lockOpenOwner(ctx context.Context, tx pgx.Tx, log *eventlog.Store, organization string) (eventlog.Head, error) {
	head, err := lockOwner(ctx, tx, log, organization)
	if err != nil {
		return eventlog.Head{}, err
	}
	o, err := store.FindOrganization(ctx, tx, organization)
	if err != nil {
		return eventlog.Head{}, err
	}
	return head, o.Open()
}
