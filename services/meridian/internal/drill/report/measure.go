package report

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

// Functions returns how each function fared, by group and name. of says which
// function an operation belongs to; an empty name leaves it out. fault is when
// the fault began, since the drill's start.
func Functions(ops []history.Op, fault time.Duration, of func(history.Op) (group, name string)) []Function {
	type function struct{ group, name string }
	calls := make(map[function][]history.Op)
	for _, op := range ops {
		if group, name := of(op); name != "" {
			calls[function{group, name}] = append(calls[function{group, name}], op)
		}
	}
	out := make([]Function, 0, len(calls))
	for f, ops := range calls {
		out = append(out, fared(Function{Group: f.group, Name: f.name}, ops, fault))
	}
	slices.SortFunc(out, func(a, b Function) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// fared fills in what the calls of a function say.
func fared(f Function, ops []history.Op, fault time.Duration) Function {
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, func(a, b history.Op) int { return cmp.Compare(a.End, b.End) })
	var took []time.Duration
	for _, op := range ops {
		switch op.Outcome {
		case history.OK, history.Exists:
			f.Succeeded++
			took = append(took, op.End-op.Start)
		case history.Refused:
			f.Refused++
		case history.Failed:
			f.Failed++
		case history.Unknown:
			f.Unknown++
		}
	}
	f.Attempts = len(ops)
	f.Availability = 100 * float64(f.Succeeded) / float64(f.Attempts)
	f.RTO, f.Recovered = recovery(ops, fault)
	f.LongestOutage = Millis(longestOutage(ops))
	f.P50, f.P99 = percentiles(took)
	return f
}

// succeeded says whether a call did what it was for: a create is also answered
// when it hears that somebody was faster.
func succeeded(op history.Op) bool { return op.Outcome == history.OK || op.Outcome == history.Exists }

// recovery is the time from the fault to the first success after the last call
// that did not succeed and was under way when the fault began, or later. ops are
// by end.
func recovery(ops []history.Op, fault time.Duration) (rto *Millis, recovered bool) {
	for i, op := range slices.Backward(ops) {
		if succeeded(op) {
			continue
		}
		if op.End < fault {
			break
		}
		last := ops[min(i+1, len(ops)-1)]
		after := Millis(last.End - fault)
		return &after, succeeded(last)
	}
	return nil, true
}

// longestOutage is the longest time without a success. ops are by end.
func longestOutage(ops []history.Op) time.Duration {
	var longest, began, success time.Duration
	out := false
	for _, op := range ops {
		failed := !succeeded(op)
		if failed && !out {
			// A call that waited long may have done so beside others that succeeded.
			began = max(op.Start, success)
		}
		if failed || out {
			longest = max(longest, op.End-began)
		}
		if out = failed; !failed {
			success = op.End
		}
	}
	return longest
}

// percentiles are the 50th and the 99th, by nearest rank; 0 of nothing.
func percentiles(took []time.Duration) (p50, p99 Millis) {
	if len(took) == 0 {
		return 0, 0
	}
	took = slices.Sorted(slices.Values(took))
	rank := func(p float64) Millis {
		return Millis(took[int(math.Ceil(p*float64(len(took))))-1])
	}
	return rank(0.50), rank(0.99)
}

// NewBudget sums functions. allowed is the share of attempts that may fail.
func NewBudget(functions []Function, allowed float64) Budget {
	b := Budget{Allowed: allowed}
	for _, f := range functions {
		b.Attempts += f.Attempts
		b.Failures += f.Attempts - f.Succeeded
	}
	if b.Attempts > 0 {
		b.Used = float64(b.Failures) / float64(b.Attempts)
	}
	return b
}

// ForbiddenAllows are the checks that were allowed at a revision at which the
// access was revoked: the last write up to there is a delete, and no touch of
// unknown outcome was called by then.
func ForbiddenAllows(ops []history.Op) []history.Op {
	all := byRelationship(ops)
	var out []history.Op
	for _, op := range ops {
		if op.Kind != history.KindCheck || !op.Allowed || op.Outcome != history.OK {
			continue
		}
		r := all[keyOf(op)]
		before := 0
		for before < len(r.writes) && r.writes[before].Revision <= op.Revision {
			before++
		}
		perhaps := slices.ContainsFunc(r.unknown, func(touch history.Op) bool { return touch.Start <= op.End })
		if before > 0 && r.writes[before-1].Kind == history.KindDelete && !perhaps {
			out = append(out, op)
		}
	}
	return out
}

// relationship is what was done to one.
type relationship struct {
	// writes changed it, by revision; checks are of minimal latency, by end.
	writes, checks []history.Op
	// unknown are touches that may have been done.
	unknown []history.Op
}

type relationshipKey struct{ organization, name string }

func keyOf(op history.Op) relationshipKey { return relationshipKey{op.Organization, op.Relationship} }

func byRelationship(ops []history.Op) map[relationshipKey]*relationship {
	all := make(map[relationshipKey]*relationship)
	for _, op := range ops {
		r := all[keyOf(op)]
		if r == nil {
			r = &relationship{}
			all[keyOf(op)] = r
		}
		write := op.Kind == history.KindTouch || op.Kind == history.KindDelete
		switch {
		case write && op.Outcome == history.OK && !op.Unchanged:
			r.writes = append(r.writes, op)
		case op.Kind == history.KindTouch && op.Outcome == history.Unknown:
			r.unknown = append(r.unknown, op)
		case op.Kind == history.KindCheck && op.Outcome == history.OK && op.Freshness == history.MinimizeLatency:
			r.checks = append(r.checks, op)
		}
	}
	for _, r := range all {
		slices.SortFunc(r.writes, func(a, b history.Op) int { return cmp.Compare(a.Revision, b.Revision) })
		slices.SortFunc(r.checks, func(a, b history.Op) int { return cmp.Compare(a.End, b.End) })
	}
	return all
}

// Latencies returns how long after their acknowledgement writes were visible,
// and deletes enforced, in each region: until the first check of minimal latency
// there whose revision is not older and, for a delete, that was denied. Only
// writes by clients in the home region count, who learn of the commit at once.
// The times are as exact as checks are frequent; a write that the next one
// replaced before any check saw it counts for visible only.
func Latencies(ops []history.Op, delays []Delay) []Latency {
	took := make(map[Latency][]time.Duration)
	for _, r := range byRelationship(ops) {
		for i, write := range r.writes {
			if write.Region != write.Home {
				continue
			}
			next := uint64(math.MaxUint64)
			if i+1 < len(r.writes) {
				next = r.writes[i+1].Revision
			}
			r.follow(write, next, took)
		}
	}
	out := make([]Latency, 0, len(took))
	for l, times := range took {
		l.Count = len(times)
		l.P50, l.P99 = percentiles(times)
		for _, d := range delays {
			if d.From == l.Home && d.To == l.Region {
				l.OneWay = d.OneWay
			}
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Latency) int {
		return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Home, b.Home), cmp.Compare(a.Region, b.Region))
	})
	return out
}

// follow adds how long a write took to be seen in each region.
func (r *relationship) follow(write history.Op, next uint64, took map[Latency][]time.Duration) {
	seen := make(map[Latency]bool)
	add := func(what string, check history.Op) {
		l := Latency{What: what, Home: write.Home, Region: check.Region}
		if !seen[l] {
			seen[l] = true
			took[l] = append(took[l], max(check.End-write.End, 0))
		}
	}
	for _, check := range r.checks {
		if check.Revision < write.Revision {
			continue
		}
		add(VisibleAfter, check)
		if write.Kind == history.KindDelete && !check.Allowed && check.Revision < next {
			add(EnforcedAfter, check)
		}
	}
}

// MaxAge is the largest age of the answers that were given, not refused.
func (s Staleness) MaxAge() Millis {
	var oldest Millis
	for _, sample := range s.Samples {
		if !sample.Refused {
			oldest = max(oldest, sample.Age)
		}
	}
	return oldest
}
