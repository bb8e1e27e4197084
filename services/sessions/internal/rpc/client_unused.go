package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// DeleteUnused deletes up to limit clients at home in a region that nobody uses, and says
// how many those were. Whether nobody does is looked at again under the lock of the
// owner's log; one that is used in that moment is gone all the same.
func (s *Clients) DeleteUnused(ctx context.Context, region string, limit int) (deleted int, err error) {
	unused, err := store.ListUnusedClients(ctx, s.DB.Pool(), region, s.now().Add(-client.UnusedFor), limit)
	if err != nil {
		return 0, err
	}
	caller := principal.Principal{Kind: principal.Service, ID: "sessions"}
	for _, c := range unused {
		gone := false
		_, err := s.Log.Commit(ctx, eventlog.Request{Log: ownerLog(c.Organization)}, func(ctx context.Context, tx pgx.Tx) error {
			gone = false
			head, err := s.lock(ctx, tx, c.Organization)
			if err != nil {
				return err
			}
			row, err := store.FindClientOf(ctx, tx, c.Organization, c.ID)
			if err != nil {
				return err
			}
			events, err := client.DeleteUnused{UsedAt: row.UsedAt, At: s.now()}.Decide(row.State)
			if err != nil || len(events) == 0 {
				return err
			}
			gone = true
			_, _, err = s.record(ctx, tx, head, caller, row, store.ClientChange{Events: events})
			return err
		})
		if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			return deleted, err
		}
		if err == nil && gone {
			deleted++
		}
	}
	return deleted, nil
}
