package authzcore

import (
	"context"
	"maps"
	"slices"
	"time"
)

// asked is what a question is asked under, and what was found out about it.
type asked struct {
	context map[string]any
	at      time.Time
	// now is at in Unix seconds, once it was needed.
	now int64
	// typed has the context in the types of a condition's parameters.
	typed map[*condition]*settled
	// lacking are parameters that conditions needed and nobody gave.
	lacking map[string]bool
	// failure is the error of conditions that could not be evaluated: of several
	// the one whose text comes first.
	failure error
}

func (a *asked) set(under *Circumstances) {
	if under != nil {
		a.context, a.at = under.Context, under.At
	}
}

func (a *asked) reset() { *a = asked{} }

// undecided: the answer may depend on what could not be evaluated.
func (a *asked) undecided() bool { return a.lacking != nil || a.failure != nil }

func (a *asked) missing() []string { return slices.Sorted(maps.Keys(a.lacking)) }

// clock returns when the question is asked, in Unix seconds.
func (a *asked) clock() int64 {
	if a.now == 0 {
		at := a.at
		if at.IsZero() {
			at = time.Now()
		}
		a.now = at.Unix()
	}
	return a.now
}

// outcome is whether the terms of a relationship are fulfilled.
type outcome uint8

const (
	unmet outcome = iota
	met
	// unknown: parameters are missing.
	unknown
	// broken: the condition cannot be evaluated.
	broken
	// ended: the context did, before the condition was evaluated.
	ended
)

// condition evaluates a condition with the relationship's own values and, for
// what they leave open, the question's. An unknown one comes with the parameters
// that it lacks, a broken one with its error.
func (a *asked) condition(ctx context.Context, of *condition, t *terms) (x outcome, missing []string, err error) {
	values, missing, err := of.merge(t.cast(of), a.cast(of))
	switch {
	case err != nil:
		return broken, nil, err
	case missing != nil:
		return unknown, missing, nil
	}
	ok, err := of.evaluate(ctx, values)
	switch {
	case err != nil && ctx.Err() != nil:
		return ended, nil, err
	case err != nil:
		return broken, nil, err
	case ok:
		return met, nil, nil
	default:
		return unmet, nil, nil
	}
}

// cast returns the question's context in the types of a condition.
func (a *asked) cast(of *condition) *settled {
	if s, done := a.typed[of]; done {
		return s
	}
	s := of.cast(a.context)
	if a.typed == nil {
		a.typed = map[*condition]*settled{}
	}
	a.typed[of] = s
	return s
}

func (a *asked) lack(missing []string) {
	if a.lacking == nil {
		a.lacking = map[string]bool{}
	}
	for _, name := range missing {
		a.lacking[name] = true
	}
}

func (a *asked) fail(err error) {
	if a.failure == nil || err.Error() < a.failure.Error() {
		a.failure = err
	}
}

// mood is what counts as met.
type mood struct {
	// hopeful: conditions that lack parameters; brave: those that cannot be
	// evaluated.
	hopeful, brave bool
}

// not is the mood on the other side of a subtraction.
func (m mood) not() mood { return mood{!m.hopeful, !m.brave} }

// key marks the memo's keys by the mood of the answer.
func (m mood) key() uint64 {
	var out uint64
	if m.hopeful {
		out |= 1 << 63
	}
	if m.brave {
		out |= 1 << 62
	}
	return out
}

// flip goes to the other side of a subtraction, and back. Where no relationship
// has terms the mood does not matter.
func (c *checker) flip() {
	if c.flips {
		c.mood = c.mood.not()
	}
}

// member says whether a stored member of a set, of a kind, is one under the
// model, the circumstances and the mood.
func (c *checker) member(r *rule, in uint32, s *set, ref uint32, kind int) bool {
	if s.guarded == 0 {
		return r.plain.has(kind)
	}
	switch c.outcome(r, in, ref, kind) {
	case met:
		return true
	case unknown:
		return c.mood.hopeful
	case broken:
		return c.mood.brave
	default:
		return false
	}
}

// outcome says whether a member of a guarded set is one.
func (c *checker) outcome(r *rule, in, ref uint32, kind int) outcome {
	t, allowed := c.view.allowedTerms(r, in, ref, kind)
	switch {
	case !allowed:
		return unmet
	case t == nil:
		return met
	default:
		return c.holds(t)
	}
}

// allowedTerms returns the terms of a member of a guarded set, nil for none, and
// whether the rule allows the member with them.
func (v *View) allowedTerms(r *rule, in, ref uint32, kind int) (t *terms, allowed bool) {
	if t = v.termsOf(in, ref); t == nil {
		return nil, r.plain.has(kind)
	}
	return t, r.allows(kind, t.condition)
}

// holds says whether a relationship with these terms holds, and keeps what its
// condition lacks or fails with.
func (c *checker) holds(t *terms) outcome {
	x, missing, err := c.judge(t)
	switch x {
	case unknown:
		c.under.lack(missing)
	case broken:
		c.under.fail(err)
	default:
	}
	return x
}

// judge says whether a relationship with these terms holds. A condition counts
// as a visit; one that is not evaluated any more is not met.
func (c *checker) judge(t *terms) (x outcome, missing []string, err error) {
	if t.Expires != 0 && c.under.clock() >= t.Expires {
		return unmet, nil, nil
	}
	if t.condition == 0 {
		return met, nil, nil
	}
	if c.count(); c.evaluated%polledConditions == 0 {
		c.poll()
	}
	c.evaluated++
	if c.over != denied {
		return unmet, nil, nil
	}
	x, missing, err = c.under.condition(c.ctx, c.model.conditions[t.condition], t)
	if x == ended {
		c.over = stopped
		return unmet, nil, nil
	}
	return x, missing, err
}
