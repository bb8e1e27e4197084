package assignment

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/facts"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
)

// survey says which of an organization's relationships one model allows and
// another does not, as of a revision.
type survey struct {
	from, to string
	sequence uint64
	orphaned uint64
	example  authzcore.Relationship
	why      error
}

// unsurveyedError ends a transaction that needs a survey it does not have.
type unsurveyedError struct{ from, to string }

func (e *unsurveyedError) Error() string {
	return fmt.Sprintf("what model %s allows and %s does not is not known", e.from, e.to)
}

// maxTail is how many events after a survey are looked at inside a transaction.
const maxTail = 50

// look makes a survey from the organization's graph.
func (a *Assigner) look(ctx context.Context, organization string, needed *unsurveyedError) (*survey, error) {
	from, to, err := a.pair(ctx, needed.from, needed.to)
	if err != nil {
		return nil, err
	}
	view, _, err := a.Graphs.View(ctx, organization, graphs.Freshness{Level: graphs.FullyConsistent})
	if err != nil {
		return nil, err
	}
	out := &survey{from: needed.from, to: needed.to, sequence: view.Sequence()}
	for _, o := range view.Orphans(from, to, facts.Derived) {
		out.orphaned += o.Count
		if out.why == nil {
			out.example, out.why = o.Examples[0], o.Why
		}
	}
	return out, nil
}

// keeps returns MODEL_ORPHANS when a relationship that the log holds at its head
// would not be allowed any more, and unsurveyedError when that cannot be said.
func (a *Assigner) keeps(ctx context.Context, tx pgx.Tx, head eventlog.Head, from, to string, seen *survey) error {
	before, after, err := a.pair(ctx, from, to)
	if err != nil {
		return err
	}
	switch {
	case authzcore.Keeps(before, after):
		return nil
	case seen == nil || seen.from != from || seen.to != to || head.Sequence-seen.sequence > maxTail:
		return &unsurveyedError{from, to}
	case seen.orphaned > 0:
		return orphans(seen.orphaned, seen.example, seen.why)
	}
	return a.tail(ctx, tx, head, seen.sequence, before, after)
}

// tail looks at what was written since a survey.
func (a *Assigner) tail(ctx context.Context, tx pgx.Tx, head eventlog.Head, after uint64, from, to *authzcore.Model) error {
	refused := map[authzcore.Relationship]error{}
	for after < head.Sequence {
		events, err := a.Log.Read(ctx, tx, head.Log, after+1, maxTail)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return fmt.Errorf("log %s: nothing follows event %d of %d", head.Log, after, head.Sequence)
		}
		if err := judge(events, from, to, refused); err != nil {
			return err
		}
		after += uint64(len(events)) // a read is bounded in bytes too
	}
	for r, why := range refused {
		return orphans(uint64(len(refused)), r, why)
	}
	return nil
}

// judge adds what events write to refused, if it would not be allowed any more,
// and takes out what they remove.
func judge(events []eventlog.Recorded, from, to *authzcore.Model, refused map[authzcore.Relationship]error) error {
	for _, recorded := range events {
		event, err := recorded.Message()
		if err != nil {
			return err
		}
		written, ok := event.(*eventv1.RelationshipsWritten)
		if !ok {
			continue
		}
		for _, c := range written.GetChanges() {
			r, err := relationship.Recorded(c)
			if err != nil {
				return err
			}
			delete(refused, r.Key())
			if c.GetDeleted() {
				continue
			}
			if why := authzcore.Orphan(r, from, to); why != nil {
				refused[r.Key()] = why
			}
		}
	}
	return nil
}

// pair returns two compiled models.
func (a *Assigner) pair(ctx context.Context, from, to string) (before, after *authzcore.Model, err error) {
	if before, err = a.Models.Get(ctx, from); err != nil {
		return nil, nil, err
	}
	after, err = a.Models.Get(ctx, to)
	return before, after, err
}

func orphans(count uint64, example authzcore.Relationship, why error) error {
	return fault.New(fault.Precondition, commonv1.Reason_MODEL_ORPHANS,
		fmt.Sprintf("%d stored relationships would not be allowed any more (%v); remove them, or allow orphans", count, why)).
		With("orphaned", strconv.FormatUint(count, 10)).With("example", example.String())
}
