package store

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
)

// organizationFold rebuilds the row of the log's organization.
type organizationFold struct {
	log   string
	state organization.State
}

func (f *organizationFold) apply(event proto.Message) bool {
	switch event.(type) {
	case *eventv1.OrganizationCreated, *eventv1.OrganizationHomeMoved, *eventv1.OrganizationRenamed,
		*eventv1.OrganizationSettingsChanged, *eventv1.OrganizationSuspended, *eventv1.OrganizationResumed,
		*eventv1.OrganizationDeletionScheduled, *eventv1.OrganizationDeletionCancelled, *eventv1.OrganizationDeleted:
		f.state.Apply(event)
		return true
	}
	return false
}

func (f *organizationFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	row, err := FindOrganization(ctx, q, f.log)
	if err != nil {
		return fmt.Sprintf("organization row: %v", err), nil
	}
	if !row.Equal(f.state) {
		return fmt.Sprintf("organization row %+v, log says %+v", row.State, f.state), nil
	}
	return "", nil
}
