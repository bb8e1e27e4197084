package rpc

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/page"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/pinned"
)

const (
	standardFound = 100
	// The part of a call's time that is kept for the answer: a tenth, within
	// these bounds.
	leastAnswerTime = 10 * time.Millisecond
	mostAnswerTime  = 500 * time.Millisecond
)

// query is one question with many answers.
type query struct {
	organization  string
	freshness     *commonv1.Freshness
	circumstances *authzv1.Circumstances
	// text says what is listed, without the circumstances.
	text []string
	// find returns all answers, sorted by name.
	find func(ctx context.Context, view *authzcore.View, c authzcore.Circumstances) ([]authzcore.Found, error)
}

// listing is one page.
type listing struct {
	found      []authzcore.Found
	next       string
	incomplete authzv1.Incomplete
	evaluated  *commonv1.Evaluated
	model      string
	moved      bool
}

func (l *listing) complete() bool { return l.incomplete == authzv1.Incomplete_INCOMPLETE_UNSPECIFIED }

// page returns a page of a query: of the list that the page before was cut
// from, as long as it is kept and as fresh as asked, else of a new one that is
// not older.
func (s *Lookups) page(ctx context.Context, q query, size uint32, cursor string) (*listing, error) {
	text, err := queryText(q.circumstances, q.text...)
	if err != nil {
		return nil, err
	}
	from, err := placeIn(text, cursor)
	if err != nil {
		return nil, err
	}
	fresh, err := parseFreshness(q.organization, q.freshness)
	if err != nil {
		return nil, err
	}
	most := page.Size(size, standardFound)
	key := pinned.Key{Organization: q.organization, Query: text, Sequence: from.sequence, At: from.at}
	if kept, ok := s.Pinned.Get(key); ok && serves(fresh, key.Sequence, s.age(key, kept)) {
		return s.cut(key, kept, from, most)
	}
	return s.anew(ctx, q, text, notBefore(fresh, from), from, most)
}

// serves says whether a list of a revision, so old now, is as fresh as asked.
// Without a bound of its own a page may be as old as the list that it belongs to.
func serves(fresh graphs.Freshness, sequence uint64, age time.Duration) bool {
	return fresh.Level != graphs.FullyConsistent && fresh.Sequence <= sequence &&
		(fresh.MaxStaleness == 0 || age <= fresh.MaxStaleness)
}

// age is how old a kept list is now.
func (s *Lookups) age(key pinned.Key, list *pinned.Result) time.Duration {
	return list.Age + s.Clock().Sub(time.Unix(0, key.At))
}

// notBefore is the freshness of a page: what was asked for, and not older than
// the page before.
func notBefore(fresh graphs.Freshness, from place) graphs.Freshness {
	if !from.started() || fresh.Level == graphs.FullyConsistent {
		return fresh
	}
	if fresh.Level == graphs.MinimizeLatency && fresh.MaxStaleness == 0 {
		fresh.MaxStaleness = graphs.DefaultStaleness
	}
	fresh.Level, fresh.Sequence = graphs.AtLeast, max(fresh.Sequence, from.sequence)
	return fresh
}

// anew makes a new list and returns a page of it.
func (s *Lookups) anew(ctx context.Context, q query, text string, fresh graphs.Freshness, from place, most int) (*listing, error) {
	view, evaluated, err := viewAt(ctx, s.Graphs, q.organization, fresh)
	if err != nil {
		return nil, err
	}
	return s.pageOf(ctx, q, text, view, evaluated, from, most)
}

// pageOf computes a list, keeps it for the pages to come, and returns one.
func (s *Lookups) pageOf(
	ctx context.Context, q query, text string, view *authzcore.View, evaluated *commonv1.Evaluated, from place, most int,
) (*listing, error) {
	now := s.Clock()
	result := &pinned.Result{Model: view.Model().ID(), Age: evaluated.GetAge().AsDuration()}
	key := pinned.Key{Organization: q.organization, Query: text, Sequence: view.Sequence(), At: now.UnixNano()}
	work, cancel := withAnswerTime(ctx)
	defer cancel()
	var err error
	result.Found, err = s.compute(work, q, view, now)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return s.interrupted(evaluated, result, text, from, most)
	}
	if err != nil {
		return nil, atRevision(err, evaluated)
	}
	out, err := s.cut(key, result, from, most)
	if err != nil {
		return nil, err
	}
	out.moved = from.started() && from.sequence != key.Sequence
	if out.next != "" {
		s.Pinned.Put(key, result)
	}
	return out, nil
}

// compute finds all answers, in the organization's turn.
func (s *Lookups) compute(ctx context.Context, q query, view *authzcore.View, now time.Time) ([]authzcore.Found, error) {
	view, c, err := under(view, q.circumstances)
	if err != nil {
		return nil, err
	}
	c.At = now
	leave, err := s.Lanes.Enter(ctx, q.organization)
	if err != nil {
		return nil, err
	}
	defer leave()
	found, err := q.find(ctx, view, c)
	if err != nil {
		return found, engineFault(err, "")
	}
	return found, nil
}

// cut cuts a page out of a list.
func (s *Lookups) cut(key pinned.Key, list *pinned.Result, from place, most int) (*listing, error) {
	evaluated, err := evaluatedAt(key.Organization, key.Sequence, s.age(key, list))
	if err != nil {
		return nil, err
	}
	out := &listing{found: after(list.Found, from.after), evaluated: evaluated, model: list.Model}
	if len(out.found) > most {
		out.found = out.found[:most]
		last := place{sequence: key.Sequence, at: key.At, after: out.found[most-1].Name}
		out.next, out.incomplete = last.cursor(key.Query), authzv1.Incomplete_INCOMPLETE_PAGE
	}
	return out, nil
}

// interrupted is the page when the time is over: what was found until then, and
// a cursor with which it begins again.
func (s *Lookups) interrupted(evaluated *commonv1.Evaluated, list *pinned.Result, text string, from place, most int) (*listing, error) {
	again := place{sequence: evaluated.GetSequence(), after: from.after}
	out := &listing{
		found: after(list.Found, from.after), evaluated: evaluated, model: list.Model,
		next: again.cursor(text), incomplete: authzv1.Incomplete_INCOMPLETE_DEADLINE,
		moved: from.started() && from.sequence != evaluated.GetSequence(),
	}
	out.found = out.found[:min(most, len(out.found))]
	return out, nil
}

// after returns what comes after a name, in order of names.
func after(found []authzcore.Found, name string) []authzcore.Found {
	if name == "" {
		return found
	}
	return found[sort.Search(len(found), func(i int) bool { return found[i].Name > name }):]
}

// withAnswerTime returns a context that ends early enough for an answer.
func withAnswerTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	keep := min(max(time.Until(deadline)/10, leastAnswerTime), mostAnswerTime)
	return context.WithDeadline(ctx, deadline.Add(-keep))
}
