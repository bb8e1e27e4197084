// Package graphs keeps the authorization graphs of a process: one for each
// organization that is asked about, loaded from a snapshot and the log, kept
// up to date by the log, written back as a snapshot, evicted when cold.
package graphs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/project"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/facts"
	"github.com/meridian-iam/meridian/services/authz/internal/models"
)

// mark is a place in the log with the hash of the event there.
type mark struct {
	sequence uint64
	hash     [32]byte
}

// replica is one organization's graph.
type replica struct {
	organization string
	models       *models.Registry
	graph        atomic.Pointer[authzcore.Graph]
	attachment   *project.Attachment
	maxBytes     uint64
	clock        func() time.Time

	// ready is closed when loading ended; err says how, and is read after.
	ready chan struct{}
	err   error

	used atomic.Int64 // unix nanoseconds of the last question

	// mu keeps the graph and the mark of its last event together.
	mu      sync.Mutex
	applied *mark

	snapshot atomic.Uint64 // sequence of the newest snapshot on disk
	// tooLarge is when the graph outgrew its memory, in unix nanoseconds; 0: it
	// did not. It was let go then.
	tooLarge atomic.Int64
}

// apply feeds a batch of the organization's log into the graph. Its error
// halts the replica.
func (r *replica) apply(ctx context.Context, batch []eventlog.Recorded) error {
	if r.tooLarge.Load() != 0 {
		return nil
	}
	applied := make([]authzcore.Applied, len(batch))
	for i, recorded := range batch {
		applied[i].Sequence = recorded.Envelope.GetSequence()
		if err := r.changes(ctx, recorded, &applied[i]); err != nil {
			return fmt.Errorf("event %d: %w", applied[i].Sequence, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	graph := r.graph.Load()
	if err := graph.ApplyBatch(applied); err != nil {
		return err
	}
	if graph.View().Size().Bytes > r.maxBytes {
		r.outgrow()
		return nil
	}
	last := batch[len(batch)-1]
	r.applied = &mark{sequence: last.Envelope.GetSequence(), hash: last.Hash}
	return nil
}

// outgrow lets a graph go that has no room. Every question is told so until the
// registry forgets the replica and the next question tries again.
func (r *replica) outgrow() {
	r.tooLarge.Store(r.clock().UnixNano())
	r.graph.Store(authzcore.NewGraph(r.models.Names()))
	r.applied = nil
}

// changes reads what one event changes in the graph.
func (r *replica) changes(ctx context.Context, recorded eventlog.Recorded, into *authzcore.Applied) error {
	name := protoreflect.FullName(recorded.Envelope.GetType())
	derived := strings.HasPrefix(string(name), facts.Prefix)
	if !derived && !strings.HasPrefix(string(name), "meridian.authz.event.v1.") {
		// Facts of these services shape no graph, but an event that this binary does
		// not know may be one that does.
		if _, err := protoregistry.GlobalTypes.FindMessageByName(name); err != nil {
			return fmt.Errorf("unknown event type %s: %w", name, err)
		}
		return nil
	}
	event, err := recorded.Message()
	if err != nil {
		return err
	}
	if derived {
		var known bool
		if into.Changes, known = facts.Changes(event); !known {
			return fmt.Errorf("event type %s is not known to the graph", name)
		}
		return nil
	}
	switch e := event.(type) {
	case *eventv1.ModelAssigned:
		into.Model, err = r.model(ctx, e.GetModel())
		return err
	case *eventv1.RelationshipsWritten:
		into.Changes = make([]authzcore.Change, len(e.GetChanges()))
		for i, c := range e.GetChanges() {
			r, err := relationship.Recorded(c)
			if err != nil {
				return err
			}
			into.Changes[i] = authzcore.Change{Relationship: r, Delete: c.GetDeleted()}
		}
		return nil
	case *eventv1.RoleDefined, *eventv1.RoleDeleted:
		return nil // what a role is made of comes as relationships
	default:
		return fmt.Errorf("event type %s is not known to the graph", name)
	}
}

// model waits for a model: a database that is away for a while must not halt
// the graph for good.
func (r *replica) model(ctx context.Context, id string) (*authzcore.Model, error) {
	wait := 50 * time.Millisecond
	for {
		model, err := r.models.Get(ctx, id)
		f, isFault := fault.As(err)
		if err == nil || !isFault || f.Kind != fault.Unavailable && f.Kind != fault.Deadline {
			return model, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
			wait = min(2*wait, 2*time.Second)
		}
	}
}

// saved returns a state of the graph and the mark of its last event, nil when
// there is none.
func (r *replica) saved() (*authzcore.View, *mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.graph.Load().View(), r.applied
}

// halted says why the graph follows its log no longer, or nil. It stays so
// until a binary that can read the event takes over.
func (r *replica) halted() error {
	if err := r.attachment.Err(); err != nil {
		return fault.New(fault.Unavailable, commonv1.Reason_EVENT_CORRUPT,
			"the organization's graph stopped at an event that it cannot apply").Because(err)
	}
	return nil
}

// wait waits until the graph has reached a sequence.
func (r *replica) wait(ctx context.Context, sequence uint64) error {
	err := r.attachment.Wait(ctx, sequence)
	if halted := r.halted(); err != nil && halted != nil {
		return halted
	}
	return err
}

// view returns the graph as it is now.
func (r *replica) view() (*authzcore.View, error) {
	if err := r.halted(); err != nil {
		return nil, err
	}
	view := r.graph.Load().View() // before the look at tooLarge, which is set before the graph goes
	if r.tooLarge.Load() != 0 {
		return nil, fault.New(fault.Exhausted, commonv1.Reason_GRAPH_TOO_LARGE,
			"the organization's graph does not fit into the memory given to it").With("limit_bytes", fmt.Sprint(r.maxBytes))
	}
	if view.Model() == nil {
		return nil, model.NotAssigned()
	}
	return view, nil
}
