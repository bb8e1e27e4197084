package rpc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/serve"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/facts"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

const (
	// A watcher that was told nothing for checkpointAfter is told how far it is,
	// at the next tick: more often than the second that it is promised.
	checkpointAfter = 600 * time.Millisecond
	checkpointTick  = 200 * time.Millisecond
	// staleAfter is from what age on the head of the log is read, because the
	// streams may not bring what is new.
	staleAfter = 2 * time.Second
	// catchUpTimeout bounds one attempt to reach the head.
	catchUpTimeout = 10 * time.Second
)

// Watch implements RelationshipService.
//
// A watcher is fed as a graph is: from the streams, which the process reads once
// for all, and from the events table when something is missing. It holds one
// batch; a reader that is slow holds up only itself.
func (s *Relationships) Watch(
	ctx context.Context, req *authzv1.WatchRequest, stream *connect.ServerStream[authzv1.WatchResponse],
) error {
	w := &watch{organization: req.GetOrganization(), send: stream.Send, batches: make(chan []eventlog.Recorded), taken: make(chan struct{})}
	for i, f := range req.GetFilters() {
		filter, err := parseFilter(f)
		if err != nil {
			return engineFault(err, fmt.Sprintf("filters[%d].", i))
		}
		w.filters = append(w.filters, filter)
	}
	reset, err := s.begin(ctx, w, req.GetAfter())
	switch {
	case err != nil:
		return err
	case reset != nil:
		return stream.Send(&authzv1.WatchResponse{Kind: &authzv1.WatchResponse_Reset_{Reset_: reset}})
	}
	if req.GetAfter() == "" {
		if err := s.watchable(ctx, w); err != nil {
			return err
		}
	}
	attachment := s.Follower.Attach(w.organization, w.sequence, w.apply)
	defer attachment.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.keepUp(ctx, attachment)
	return w.run(ctx, attachment)
}

// begin finds where a watcher starts, or that it is too late for it.
//
// Errors: NOT_FOUND, REVISION_MALFORMED, REVISION_UNKNOWN.
func (s *Relationships) begin(ctx context.Context, w *watch, after string) (*authzv1.WatchReset, error) {
	if after != "" {
		revisions, err := revision.Parse(after)
		if err != nil {
			return nil, fault.New(fault.Invalid, commonv1.Reason_REVISION_MALFORMED, "after is not a revision token").
				With("field", "after").With("rule", "revision_token")
		}
		var named bool
		if w.sequence, named = revision.Find(revisions, w.organization); !named {
			return nil, revisionUnknown("after is not a token of this organization")
		}
	}
	head, err := s.Graphs.Head(ctx, w.organization)
	switch {
	case err != nil:
		return nil, err
	case after == "":
		w.sequence = head
	case w.sequence > head:
		return nil, revisionUnknown("after names a revision that the log has not reached")
	}
	return s.tooOld(ctx, w, head)
}

// watchable checks that the model has the names of the filters of a watcher that
// begins now. The graph is loaded only when it has not, for what an older model
// had may be stored.
//
// Errors: TYPE_UNKNOWN, RELATION_UNKNOWN, those of freshness.
func (s *Relationships) watchable(ctx context.Context, w *watch) error {
	if len(w.filters) == 0 {
		return nil
	}
	current, err := store.FindAssignment(ctx, s.DB.Pool(), w.organization)
	if fault.Is(err, commonv1.Reason_MODEL_NOT_ASSIGNED) {
		return nil
	}
	if err != nil {
		return err
	}
	model, err := s.Models.Get(ctx, current.Model)
	if err != nil {
		return err
	}
	for i, f := range w.filters {
		unknown := ofModel(model, f, fmt.Sprintf("filters[%d].", i))
		if unknown == nil {
			continue
		}
		view, _, err := s.Graphs.View(ctx, w.organization, graphs.Freshness{Level: graphs.AtLeast, Sequence: w.sequence})
		if err != nil {
			return err
		}
		leave, err := s.turn(ctx, w.organization, f)
		if err != nil {
			return err
		}
		found, _, err := view.Read(ctx, f, authzcore.Relationship{}, 1)
		leave()
		switch {
		case err != nil:
			return engineFault(err, fmt.Sprintf("filters[%d].", i))
		case len(found) == 0:
			return unknown
		}
	}
	return nil
}

func revisionUnknown(detail string) error {
	return fault.New(fault.Precondition, commonv1.Reason_REVISION_UNKNOWN, detail).With("field", "after")
}

// tooOld returns a reset when the event after the watcher's place is older than
// what is kept for watchers.
func (s *Relationships) tooOld(ctx context.Context, w *watch, head uint64) (*authzv1.WatchReset, error) {
	from := s.Clock().Add(-s.WatchRetention)
	// old says whether the event with a sequence is too old; they are ordered by
	// time.
	old := func(sequence uint64) (bool, error) {
		events, err := s.Log.Read(ctx, s.DB.Pool(), w.organization, sequence, 1)
		return len(events) > 0 && events[0].Time().Before(from), err
	}
	if w.sequence == head {
		return nil, nil //nolint:nilnil // no reset is an answer
	}
	if tooOld, err := old(w.sequence + 1); err != nil || !tooOld {
		return nil, err
	}
	first, last := w.sequence+1, head // first is too old; after last nothing is
	for first < last {
		middle := first + (last-first+1)/2
		tooOld, err := old(middle)
		switch {
		case err != nil:
			return nil, err
		case tooOld:
			first = middle
		default:
			last = middle - 1
		}
	}
	oldest, err := revision.Token(revision.Revision{Log: w.organization, Sequence: first})
	return &authzv1.WatchReset{Oldest: oldest}, err
}

// keepUp lets the events table be asked while the streams are away, until ctx
// ends. All watchers of a log share the reads of its head.
func (s *Relationships) keepUp(ctx context.Context, attachment *project.Attachment) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if age, known := attachment.Age(); known && age < staleAfter {
			continue
		}
		soon, cancel := context.WithTimeout(ctx, catchUpTimeout)
		if head, err := s.Graphs.Head(soon, attachment.Log()); err == nil {
			_ = attachment.Wait(soon, head) // what halts it ends the watch
		}
		cancel()
	}
}

// watch is one watcher.
type watch struct {
	organization string
	filters      []authzcore.Filter
	send         func(*authzv1.WatchResponse) error

	// batches go from the attachment to the stream; taken says that one was sent.
	batches chan []eventlog.Recorded
	taken   chan struct{}

	// sequence is that of the last event that was sent, or did not match.
	sequence uint64
	// said is when the watcher was told anything.
	said time.Time
}

// apply hands a batch over and waits until it was sent.
func (w *watch) apply(ctx context.Context, batch []eventlog.Recorded) error {
	select {
	case w.batches <- batch:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-w.taken:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run sends changes and checkpoints until the stream ends.
func (w *watch) run(ctx context.Context, attachment *project.Attachment) error {
	if err := w.checkpoint(); err != nil {
		return err
	}
	ticker := time.NewTicker(checkpointTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return serve.Ended(ctx)
		case batch := <-w.batches:
			if err := w.changes(batch); err != nil {
				return err
			}
			select {
			case w.taken <- struct{}{}:
			case <-ctx.Done():
			}
		case <-ticker.C:
			if err := attachment.Err(); err != nil {
				return fault.New(fault.Unavailable, commonv1.Reason_EVENT_CORRUPT,
					"the organization's log has an event that cannot be read").Because(err)
			}
			if time.Since(w.said) < checkpointAfter {
				continue
			}
			if err := w.checkpoint(); err != nil {
				return err
			}
		}
	}
}

func (w *watch) checkpoint() error {
	token, err := revision.Token(revision.Revision{Log: w.organization, Sequence: w.sequence})
	if err != nil {
		return err
	}
	w.said = time.Now()
	return w.send(&authzv1.WatchResponse{Kind: &authzv1.WatchResponse_Checkpoint{Checkpoint: token}})
}

// changes sends what matches of a batch, one message for each event.
func (w *watch) changes(batch []eventlog.Recorded) error {
	for _, recorded := range batch {
		message, err := w.message(recorded)
		if err != nil {
			return err
		}
		w.sequence = recorded.Envelope.GetSequence()
		if message == nil {
			continue
		}
		w.said = time.Now()
		if err := w.send(&authzv1.WatchResponse{Kind: &authzv1.WatchResponse_Changes{Changes: message}}); err != nil {
			return err
		}
	}
	return nil
}

// message is what an event says to the watcher, nil for nothing.
func (w *watch) message(recorded eventlog.Recorded) (*authzv1.WatchChanges, error) {
	said, err := changesOf(recorded)
	if err != nil {
		return nil, err
	}
	var changes []*authzv1.WatchChange
	for _, c := range said {
		if len(w.filters) > 0 && !slices.ContainsFunc(w.filters, func(f authzcore.Filter) bool { return matches(f, c.relationship) }) {
			continue
		}
		message, err := relationshipMessage(c.relationship)
		if err != nil {
			return nil, err
		}
		changes = append(changes, &authzv1.WatchChange{Kind: c.kind, Relationship: message})
	}
	if len(changes) == 0 {
		return nil, nil //nolint:nilnil // nothing is an answer
	}
	sequence := recorded.Envelope.GetSequence()
	token, err := revision.Token(revision.Revision{Log: w.organization, Sequence: sequence})
	return &authzv1.WatchChanges{
		Revision: token, Sequence: sequence, Time: timestamppb.New(recorded.Time()), Changes: changes,
	}, err
}

// watched is what an event does to one relationship.
type watched struct {
	relationship authzcore.Relationship
	kind         authzv1.WatchKind
}

// relationshipsWritten is the only type of authz's events that changes
// relationships.
var relationshipsWritten = string((&eventv1.RelationshipsWritten{}).ProtoReflect().Descriptor().FullName())

// changesOf are the changes of relationships that an event says, written ones and
// facts of identity.
//
// Errors: EVENT_CORRUPT for an event of identity that is not known.
func changesOf(recorded eventlog.Recorded) (out []watched, err error) {
	derived := strings.HasPrefix(recorded.Envelope.GetType(), facts.Prefix)
	if !derived && recorded.Envelope.GetType() != relationshipsWritten {
		return nil, nil
	}
	event, err := recorded.Message()
	if err != nil {
		return nil, err
	}
	if derived {
		changes, known := facts.Changes(event)
		if !known {
			return nil, fault.New(fault.Unavailable, commonv1.Reason_EVENT_CORRUPT, "the organization's log has an event that is not known here")
		}
		for _, c := range changes {
			kind := authzv1.WatchKind_WATCH_KIND_WRITTEN
			if c.Delete {
				kind = authzv1.WatchKind_WATCH_KIND_DELETED
			}
			out = append(out, watched{c.Relationship, kind})
		}
		return out, nil
	}
	written, _ := event.(*eventv1.RelationshipsWritten)
	for _, c := range written.GetChanges() {
		r, err := relationship.Recorded(c)
		if err != nil {
			return nil, err
		}
		out = append(out, watched{r, kindOf(c)})
	}
	return out, nil
}

func kindOf(c *eventv1.RelationshipChange) authzv1.WatchKind {
	switch {
	case c.GetExpired():
		return authzv1.WatchKind_WATCH_KIND_EXPIRED
	case c.GetDeleted():
		return authzv1.WatchKind_WATCH_KIND_DELETED
	}
	return authzv1.WatchKind_WATCH_KIND_WRITTEN
}
