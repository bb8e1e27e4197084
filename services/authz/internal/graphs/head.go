package graphs

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// headTimeout bounds one read of a head, however long its callers wait.
const headTimeout = 5 * time.Second

// heads shares reads of heads: of any number of callers who ask for one log at
// once, one read answers all. A caller shares only a read that begins after
// it asked, so that it misses no commit that it could know of.
type heads struct {
	mu    sync.Mutex
	lanes map[string]*headLane
}

// headLane is one log's.
type headLane struct {
	next *headRead // the read that has not begun; nil when nobody waits
}

type headRead struct {
	done     chan struct{}
	sequence uint64
	err      error
}

// read returns what fetch returns, called after read was.
func (h *heads) read(ctx context.Context, log string, fetch func(ctx context.Context, log string) (uint64, error)) (uint64, error) {
	h.mu.Lock()
	if h.lanes == nil {
		h.lanes = map[string]*headLane{}
	}
	lane := h.lanes[log]
	if lane == nil {
		lane = &headLane{}
		h.lanes[log] = lane
		go h.serve(log, lane, fetch) //nolint:gosec // G118: it reads for all who ask, not for this caller
	}
	if lane.next == nil {
		lane.next = &headRead{done: make(chan struct{})}
	}
	mine := lane.next
	h.mu.Unlock()
	select {
	case <-mine.done:
		return mine.sequence, mine.err
	case <-ctx.Done():
		return 0, fault.New(fault.Deadline, commonv1.Reason_DEADLINE, "the log's head was not read in time").Because(ctx.Err())
	}
}

// serve reads until nobody waits.
func (h *heads) serve(log string, lane *headLane, fetch func(ctx context.Context, log string) (uint64, error)) {
	for {
		h.mu.Lock()
		read := lane.next
		lane.next = nil
		if read == nil {
			delete(h.lanes, log)
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), headTimeout)
		read.sequence, read.err = fetch(ctx, log)
		cancel()
		close(read.done)
	}
}

// Head reads the head of an organization's log. Any number who ask at once share
// one read.
//
// Errors: NOT_FOUND, and those of the database.
func (r *Registry) Head(ctx context.Context, organization string) (uint64, error) {
	head, err := r.head(ctx, organization)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return 0, principal.OrganizationNotFound()
	}
	return head, err
}

// head reads the head of an organization's log with a strong read: inside a
// serializable transaction that could write, so that no replica of the
// database may answer from its own past.
func (r *Registry) head(ctx context.Context, organization string) (uint64, error) {
	return r.heads.read(ctx, organization, func(ctx context.Context, log string) (uint64, error) {
		var head eventlog.Head
		err := r.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			head, err = r.Store.Head(ctx, tx, log)
			return err
		})
		return head.Sequence, err
	})
}
