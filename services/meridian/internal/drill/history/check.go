package history

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what a check of a history found.
type Verdict string

// All verdicts.
const (
	// Holds means that a correct system could have answered so.
	Holds Verdict = "ok"
	// Violated means that none could.
	Violated Verdict = "violated"
	// Undecided means that there was not enough time.
	Undecided Verdict = "unknown"
)

// Report is what all models found.
type Report struct {
	Models []Result `json:"models"`
}

// Result is what one model found.
type Result struct {
	// Model is relationships, revisions, idempotency keys or slugs.
	Model string `json:"model"`
	// Operations is how many it is about: calls that were refused or failed say
	// nothing.
	Operations int `json:"operations"`
	// Partitions were checked each on its own; some of them were Violated or
	// Undecided.
	Partitions int     `json:"partitions"`
	Violated   int     `json:"violated"`
	Undecided  int     `json:"undecided"`
	Verdict    Verdict `json:"verdict"`
	// Violations explains the first few.
	Violations []Violation `json:"violations,omitempty"`
}

// Violation is why a partition of a history is wrong.
type Violation struct {
	// Partition is an organization with a relationship or an idempotency key, an
	// organization, or a slug.
	Partition string `json:"partition"`
	// Ops contradict each other, by start: without any one of them, or were a
	// write of them of unknown outcome, there would be no contradiction. There
	// may be more if the time did not suffice.
	Ops []Op `json:"ops"`
	// Maybe are the writes of unknown outcome that could not resolve it either.
	Maybe []Op `json:"maybe,omitempty"`

	model model
	steps []step
}

// explained is how many violations of a model are.
const explained = 3

// Verdict is the worst of the models'.
func (r Report) Verdict() Verdict {
	worst := Holds
	for _, m := range r.Models {
		if m.Verdict == Violated {
			return Violated
		}
		if m.Verdict == Undecided {
			worst = Undecided
		}
	}
	return worst
}

// Check checks a history against all models. It takes the timeout at most, a
// quarter of it to explain what it finds.
func Check(ops []Op, timeout time.Duration) Report {
	start := time.Now()
	h := newPast(ops)
	var out Report
	wrong := make(map[int][]Violation)
	for i, m := range models() {
		result, violations := m.check(h, start.Add(timeout*3/4))
		out.Models = append(out.Models, result)
		wrong[i] = violations
	}
	for i, m := range models() {
		for _, v := range wrong[i][:min(explained, len(wrong[i]))] {
			out.Models[i].Violations = append(out.Models[i].Violations, m.explain(v, start.Add(timeout)))
		}
	}
	return out
}

// check decides every partition, and returns the violated ones with all their
// steps.
func (m model) check(h *past, deadline time.Time) (Result, []Violation) {
	parts := m.parts(h)
	out := Result{Model: m.name, Partitions: len(parts), Verdict: Holds}
	var violations []Violation
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		out.Operations += len(parts[key])
		switch m.decide(parts[key], deadline) {
		case Violated:
			violations = append(violations, Violation{Partition: key, model: m, steps: parts[key]})
		case Undecided:
			out.Undecided++
		case Holds:
		}
	}
	out.Violated = len(violations)
	switch {
	case out.Violated > 0:
		out.Verdict = Violated
	case out.Undecided > 0:
		out.Verdict = Undecided
	}
	return out, violations
}

// decide asks Porcupine.
func (m model) decide(steps []step, deadline time.Time) Verdict {
	left := time.Until(deadline)
	if left <= 0 {
		return Undecided // to Porcupine, no time is all the time
	}
	switch porcupine.CheckEventsTimeout(m.rule, m.events(steps), left) {
	case porcupine.Ok:
		return Holds
	case porcupine.Illegal:
		return Violated
	case porcupine.Unknown:
	}
	return Undecided
}

// explain finds the operations of a violated partition that contradict each
// other.
func (m model) explain(v Violation, deadline time.Time) Violation {
	steps := slices.Clone(v.steps)
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.End, b.End) })
	relaxed := make([]bool, len(steps))
	m.narrow(steps, relaxed, 0, len(steps), deadline)
	var last time.Duration
	for i, s := range steps {
		if !relaxed[i] && s.Outcome != Unknown {
			v.Ops = append(v.Ops, s.Op)
			last = max(last, s.End)
		}
	}
	v.steps = nil
	for i, s := range steps {
		switch {
		case s.Outcome != Unknown && !relaxed[i]:
			v.steps = append(v.steps, s)
		case s.Outcome == Unknown && s.Start <= last:
			v.steps = append(v.steps, s)
			v.Maybe = append(v.Maybe, s.Op)
		}
	}
	slices.SortStableFunc(v.Ops, byStart)
	slices.SortStableFunc(v.Maybe, byStart)
	return v
}

// narrow relaxes those of steps[low:high] without which the rest is still
// violated, later ones first. It halves, so few contradicting steps among many
// are found fast. After the deadline it leaves the rest as it is.
func (m model) narrow(steps []step, relaxed []bool, low, high int, deadline time.Time) {
	if low == high || time.Until(deadline) <= 0 {
		return
	}
	before := slices.Clone(relaxed[low:high])
	for i := low; i < high; i++ {
		relaxed[i] = true
	}
	if m.decide(m.remaining(steps, relaxed), deadline) == Violated {
		return
	}
	copy(relaxed[low:high], before)
	if high-low == 1 {
		return
	}
	middle := (low + high) / 2
	m.narrow(steps, relaxed, middle, high, deadline)
	m.narrow(steps, relaxed, low, middle, deadline)
}

// remaining is what is known when some steps are relaxed.
func (m model) remaining(steps []step, relaxed []bool) []step {
	var out []step
	for i, s := range steps {
		left := true
		if relaxed[i] && s.Outcome != Unknown {
			s, left = m.relax(s)
		}
		if left {
			out = append(out, s)
		}
	}
	return out
}

// WriteHTML draws the operations of the violation over time, for a browser.
func (v Violation) WriteHTML(w io.Writer) error {
	_, info := porcupine.CheckEventsVerbose(v.model.rule, v.model.events(v.steps), time.Minute)
	if err := porcupine.Visualize(v.model.rule, info, w); err != nil {
		return fmt.Errorf("draw %s: %w", v.Partition, err)
	}
	return nil
}
