package report

import (
	"fmt"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

// Verdict is whether a drill went as promised.
type Verdict string

// All verdicts. A drill is Inconclusive when nothing was found wrong and a
// history could not be decided.
const (
	Passed       Verdict = "passed"
	Failed       Verdict = "failed"
	Inconclusive Verdict = "inconclusive"
)

// Judge sets Verdict and Reasons. A drill passes when nothing acknowledged is
// missing, all copies agree, nothing forbidden was allowed, the history holds and
// every threshold is met.
func (r *Report) Judge() {
	r.Verdict, r.Reasons = Passed, nil
	fail := func(format string, args ...any) {
		r.Verdict, r.Reasons = Failed, append(r.Reasons, fmt.Sprintf(format, args...))
	}
	v := &r.Verification
	if n := r.RPO.Missing; n > 0 {
		fail("%s acknowledged and missing", count(n, "event"))
	}
	if n := v.ForbiddenAllows; n > 0 {
		fail("%s allowed after the access was revoked", count(n, "check"))
	}
	for _, l := range v.Logs {
		if l.Differences > 0 {
			fail("%s in log %s", count(l.Differences, "difference"), l.Log)
		}
	}
	if !v.ChainsEqual {
		fail("hash chains differ")
	}
	for _, m := range v.History.Models {
		if m.Verdict == history.Violated {
			fail("the history of %s is violated in %d of %d partitions", m.Model, m.Violated, m.Partitions)
		}
	}
	for _, t := range r.Thresholds {
		if !t.OK {
			fail("%s is %s, must be %s", t.Name, t.Value, t.Limit)
		}
	}
	for _, m := range v.History.Models {
		if m.Verdict != history.Undecided {
			continue
		}
		r.Reasons = append(r.Reasons, fmt.Sprintf("the history of %s is undecided in %d of %d partitions", m.Model, m.Undecided, m.Partitions))
		if r.Verdict == Passed {
			r.Verdict = Inconclusive
		}
	}
}
