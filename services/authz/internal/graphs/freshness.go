package graphs

import (
	"context"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sabotage"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Level says how fresh an answer must be.
type Level uint8

// The levels, as in meridian.common.v1.Freshness.
const (
	MinimizeLatency Level = iota
	AtLeast
	FullyConsistent
)

// DefaultStaleness is how old an answer may be when the caller does not say.
const DefaultStaleness = 5 * time.Second

// Freshness is what a caller asks for.
type Freshness struct {
	Level Level
	// Sequence is the least revision, for AtLeast.
	Sequence uint64
	// MaxStaleness bounds the age; 0 means DefaultStaleness for
	// MinimizeLatency and no bound for AtLeast.
	MaxStaleness time.Duration
}

// futureAfter is how long a revision may be awaited before the log itself is
// asked whether there is such a revision.
const futureAfter = 150 * time.Millisecond

// View returns an organization's graph that is as fresh as asked, and its age.
//
// Errors: NOT_FOUND, MODEL_NOT_ASSIGNED, REVISION_UNKNOWN,
// REVISION_NOT_VISIBLE, REPLICA_STALE, GRAPH_TOO_LARGE, EVENT_CORRUPT.
func (r *Registry) View(ctx context.Context, organization string, f Freshness) (*authzcore.View, time.Duration, error) {
	view, age, err := r.view(ctx, organization, f)
	if fault.Is(err, commonv1.Reason_STOPPING) && r.life.Err() == nil {
		// The graph was evicted under the question: another is loaded.
		return r.view(ctx, organization, f)
	}
	return view, age, err
}

func (r *Registry) view(ctx context.Context, organization string, f Freshness) (*authzcore.View, time.Duration, error) {
	rep, err := r.replica(ctx, organization)
	if err != nil {
		return nil, 0, err
	}
	var age time.Duration
	switch f.Level {
	case FullyConsistent:
		age, err = r.catchUp(ctx, rep)
	case AtLeast:
		age, err = r.atLeast(ctx, rep, f)
	case MinimizeLatency:
		bound := f.MaxStaleness
		if bound == 0 {
			bound = DefaultStaleness
		}
		age, err = r.within(ctx, rep, bound)
	}
	if err != nil {
		return nil, 0, err
	}
	view, err := rep.view()
	return view, age, err
}

func (r *Registry) atLeast(ctx context.Context, rep *replica, f Freshness) (time.Duration, error) {
	if err := r.await(ctx, rep, f.Sequence); err != nil {
		return 0, err
	}
	if f.MaxStaleness > 0 {
		return r.within(ctx, rep, f.MaxStaleness)
	}
	age, _ := rep.attachment.Age()
	return age, nil
}

// within lets a young replica through and brings an old one up to the head.
func (r *Registry) within(ctx context.Context, rep *replica, bound time.Duration) (time.Duration, error) {
	age, known := rep.attachment.Age()
	if known && age <= bound {
		return age, nil
	}
	fresh, err := r.catchUp(ctx, rep)
	if err == nil {
		return fresh, nil
	}
	if halted := rep.halted(); halted != nil {
		return 0, halted
	}
	return 0, fault.New(fault.Unavailable, commonv1.Reason_REPLICA_STALE,
		"the replica is older than the call allows, and its log cannot be reached").
		With("max_staleness", bound.String()).Retry(time.Second).Because(err)
}

// catchUp reads the log's head with a strong read and waits for it.
func (r *Registry) catchUp(ctx context.Context, rep *replica) (time.Duration, error) {
	asked := r.clock()
	head, err := r.head(ctx, rep.organization)
	if err != nil {
		return 0, err
	}
	if err := rep.wait(ctx, head); err != nil {
		return 0, err
	}
	return r.clock().Sub(asked), nil
}

// await waits for a revision that a token names, and finds out early when
// there is none.
func (r *Registry) await(ctx context.Context, rep *replica, sequence uint64) error {
	if rep.attachment.Sequence() >= sequence || sabotage.Off(sabotage.TokenWait) {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, futureAfter)
	err := rep.wait(soon, sequence)
	cancel()
	if err == nil || !fault.Is(err, commonv1.Reason_REVISION_NOT_VISIBLE) || ctx.Err() != nil {
		return err
	}
	if head, err := r.head(ctx, rep.organization); err == nil && head < sequence {
		return fault.New(fault.Precondition, commonv1.Reason_REVISION_UNKNOWN,
			"the revision token names a revision that the log has not reached").With("field", "freshness.at_least")
	}
	return rep.wait(ctx, sequence)
}
