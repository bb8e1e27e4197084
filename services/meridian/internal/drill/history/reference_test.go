package history_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

// reference decides a small history of one relationship by trying every order
// and every set of unknown writes. It knows nothing of the order that revisions
// claim, and leaves nothing out.
type reference struct {
	ops  []history.Op
	done []bool
}

func (r *reference) holds() bool {
	r.done = make([]bool, len(r.ops))
	return r.from(false, 0, math.MinInt64)
}

// from says whether what is not done can follow on a value, a revision that the
// log has at least, and a time.
func (r *reference) from(present bool, revision uint64, now time.Duration) bool {
	left := false
	for i, op := range r.ops {
		if r.done[i] {
			continue
		}
		left = left || op.Outcome == history.OK
		begin, end := r.window(op)
		if at := max(now, begin); at <= end {
			if value, reached, ok := after(op, present, revision); ok {
				r.done[i] = true
				if r.from(value, reached, at) {
					return true
				}
				r.done[i] = false
			}
		}
	}
	return !left
}

// after is the value and the revision after an operation; false when it cannot
// be next.
func after(op history.Op, present bool, revision uint64) (value bool, reached uint64, ok bool) {
	wants := op.Kind == history.KindTouch || op.Kind == history.KindCheck && op.Allowed
	switch {
	case op.Outcome == history.Unknown && wants == present:
		return present, revision, true
	case op.Outcome == history.Unknown:
		return wants, revision + 1, true
	case op.Kind == history.KindCheck || op.Unchanged:
		return present, op.Revision, wants == present && op.Revision >= revision && op.Revision >= op.AtLeast
	default:
		return wants, op.Revision, wants != present && op.Revision > revision
	}
}

func (r *reference) window(op history.Op) (begin, end time.Duration) {
	switch {
	case op.Outcome == history.Unknown:
		return op.Start, math.MaxInt64
	case op.Kind != history.KindCheck || op.Freshness == history.FullyConsistent:
		return op.Start, op.End
	case op.Freshness == history.MinimizeLatency && op.MaxAge > 0:
		return op.Start - op.MaxAge, op.End
	}
	begin = math.MinInt64
	for _, write := range r.ops {
		gave := write.Kind != history.KindCheck && write.Outcome == history.OK && !write.Unchanged && write.Revision == op.AtLeast
		if gave && op.Freshness == history.AtLeast && (begin == math.MinInt64 || write.Start < begin) {
			begin = min(write.Start, op.Start)
		}
	}
	return begin, op.End
}

// anyOp is an operation of no system at all.
func anyOp(random *rand.Rand) history.Op {
	start := random.IntN(12)
	revision := uint64(1 + random.IntN(5))
	o := op(history.KindTouch, start, start+random.IntN(6), history.OK, revision)
	switch n := random.IntN(10); {
	case n < 2:
		o.Kind = history.KindDelete
	case n < 7:
		o.Kind, o.Allowed = history.KindCheck, random.IntN(2) == 0
		o.Freshness = []history.Freshness{history.MinimizeLatency, history.AtLeast, history.FullyConsistent}[random.IntN(3)]
		switch o.Freshness {
		case history.AtLeast:
			o.AtLeast = uint64(1 + random.IntN(int(revision)))
		case history.MinimizeLatency:
			o.MaxAge = time.Duration(random.IntN(3)) * 2 * time.Millisecond
		case history.FullyConsistent:
		}
		return o
	}
	switch random.IntN(5) {
	case 0, 1:
		o.Outcome, o.Revision = history.Unknown, 0
	case 2:
		o.Unchanged = true
	}
	return o
}

// What the models leave out of the search must change no verdict: on histories
// at random they say what trying everything says.
func TestAgainstReference(t *testing.T) {
	const histories = 10_000
	random := rand.New(rand.NewPCG(1, 2))
	verdicts := make(map[history.Verdict]int)
	for i := range histories {
		ops := make([]history.Op, 1+random.IntN(6))
		for j := range ops {
			ops[j] = anyOp(random)
		}
		want := history.Violated
		if (&reference{ops: ops}).holds() {
			want = history.Holds
		}
		got := history.Check(ops, patience).Models[0].Verdict
		if got != want {
			t.Fatalf("history %d: %s, must be %s: %v", i, got, want, ops)
		}
		verdicts[got]++
	}
	if verdicts[history.Holds] < histories/10 || verdicts[history.Violated] < histories/10 {
		t.Errorf("the histories are too much alike: %v", verdicts)
	}
	t.Logf("%v", verdicts)
}

// The same for slugs.
func TestSlugsAgainstReference(t *testing.T) {
	const histories = 10_000
	random := rand.New(rand.NewPCG(1, 2))
	verdicts := make(map[history.Verdict]int)
	for i := range histories {
		ops := make([]history.Op, 1+random.IntN(5))
		for j := range ops {
			start := random.IntN(8)
			ops[j] = create(start, start+random.IntN(8), []history.Outcome{history.OK, history.Exists, history.Exists, history.Unknown}[random.IntN(4)])
		}
		want := history.Violated
		if slugHolds(ops) {
			want = history.Holds
		}
		got := history.Check(ops, patience).Models[3].Verdict
		if got != want {
			t.Fatalf("history %d: %s, must be %s: %v", i, got, want, ops)
		}
		verdicts[got]++
	}
	t.Logf("%v", verdicts)
}

// slugHolds says whether there is at most one winner, and one who is or may be
// the winner called before anybody was told that the slug exists.
func slugHolds(ops []history.Op) bool {
	var winners, perhaps []history.Op
	told := time.Duration(math.MaxInt64)
	for _, op := range ops {
		switch op.Outcome {
		case history.OK:
			winners = append(winners, op)
		case history.Unknown:
			perhaps = append(perhaps, op)
		default:
			told = min(told, op.End)
		}
	}
	switch {
	case len(winners) > 1:
		return false
	case len(winners) == 1:
		return winners[0].Start <= told
	}
	for _, op := range perhaps {
		if op.Start <= told {
			return true
		}
	}
	return told == math.MaxInt64
}
