// Package history holds what clients did and saw while a drill ran, and finds
// answers that no correct system could have given.
package history

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Op is one call by one client. A write that was repeated under one idempotency
// key until its outcome was known is one Op, from the first call to the last
// answer.
type Op struct {
	// Client names who called, as "checks-eu-west". It waits for an answer
	// before it calls again.
	Client string `json:"client"`
	// Region is where the client is, Home the home region of the organization.
	Region string `json:"region"`
	Home   string `json:"home,omitempty"`

	Kind Kind `json:"kind"`
	// Organization is an organization's id; empty for KindCreate.
	Organization string `json:"organization,omitempty"`
	// Relationship is resource#relation@subject, of KindTouch, KindDelete and
	// KindCheck. It is absent at first, and nothing else changes it.
	Relationship string `json:"relationship,omitempty"`
	// IdempotencyKey is what the calls of one keyed write share.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	// Slug is what KindCreate asked for.
	Slug string `json:"slug,omitempty"`
	// Freshness is of a check.
	Freshness Freshness `json:"freshness,omitempty"`
	// AtLeast is the revision of the token that a check carried; 0 none.
	AtLeast uint64 `json:"at_least,omitempty"`
	// MaxAge is how old the answer to a MinimizeLatency check may be; 0 for any
	// age.
	MaxAge time.Duration `json:"max_age_ns,omitempty"`

	// Start and End are when the client called and had its answer, by one
	// monotonic clock, since the drill's start.
	Start time.Duration `json:"start_ns"`
	End   time.Duration `json:"end_ns"`

	Outcome Outcome `json:"outcome"`
	// Reason is why it was refused or failed, for people.
	Reason string `json:"reason,omitempty"`
	// Revision is that of a write's token, in the organization's log, or where a
	// check was evaluated. An Op of an organization with Outcome OK has one.
	Revision uint64 `json:"revision,omitempty"`
	// Unchanged says that a touch or a delete found what it wanted. It appended
	// nothing, and Revision is where the log ended.
	Unchanged bool `json:"unchanged,omitempty"`
	// Allowed is a check's decision.
	Allowed bool `json:"allowed,omitempty"`
}

// Kind is what a call does. Calls of other kinds than these may be recorded;
// no model looks at them.
type Kind string

// What is checked.
const (
	// KindTouch makes a relationship present, KindDelete absent, in a commit of
	// its own.
	KindTouch  Kind = "touch"
	KindDelete Kind = "delete"
	KindCheck  Kind = "check"
	// KindKeyedWrite is a write that is made several times, perhaps at once, with
	// one idempotency key; each call is an Op.
	KindKeyedWrite Kind = "keyed_write"
	// KindCreate makes an organization with a slug.
	KindCreate Kind = "create"
)

// Outcome is what a client knows of its call.
type Outcome string

// All outcomes. Refused and Failed are certainly not done.
const (
	OK Outcome = "ok"
	// Exists is the answer to a create that somebody else was faster.
	Exists Outcome = "exists"
	// Refused is a no of the system: too old to answer, a region that cannot
	// write, a limit.
	Refused Outcome = "refused"
	// Failed is no answer at all to a call that never reached the system.
	Failed Outcome = "failed"
	// Unknown may be done, now or later, or not.
	Unknown Outcome = "unknown"
)

// Freshness is what a check asked for.
type Freshness string

// All levels.
const (
	MinimizeLatency Freshness = "minimize_latency"
	AtLeast         Freshness = "at_least"
	FullyConsistent Freshness = "fully_consistent"
)

// changes says whether o moves a relationship, or may have.
func (o Op) changes() bool { return (o.Kind == KindTouch || o.Kind == KindDelete) && !o.Unchanged }

// present is the value that a write or a check found or left: whether the
// relationship is there.
func (o Op) present() bool { return o.Kind == KindTouch || o.Kind == KindCheck && o.Allowed }

// String is a line for people, as
// "1.2s–1.25s checks-eu-west (eu-west) check doc:1#viewer@user:a at_least 7: allowed at 9".
func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v–%v %s (%s) %s", o.Start.Round(time.Microsecond), o.End.Round(time.Microsecond), o.Client, o.Region, o.call())
	b.WriteString(": " + o.answer())
	return b.String()
}

func (o Op) call() string {
	words := []string{string(o.Kind)}
	for _, word := range []string{o.Relationship, o.IdempotencyKey, o.Slug} {
		if word != "" {
			words = append(words, word)
		}
	}
	switch {
	case o.Kind != KindCheck:
	case o.Freshness == AtLeast:
		words = append(words, fmt.Sprintf("%s %d", o.Freshness, o.AtLeast))
	default:
		words = append(words, string(o.Freshness))
	}
	return strings.Join(words, " ")
}

func (o Op) answer() string {
	text := string(o.Outcome)
	switch {
	case o.Outcome != OK:
	case o.Kind == KindCheck && o.Allowed:
		text = "allowed"
	case o.Kind == KindCheck:
		text = "denied"
	case o.Unchanged:
		text = "unchanged"
	}
	if o.Revision != 0 {
		text += fmt.Sprintf(" at %d", o.Revision)
	}
	if o.Reason != "" {
		text += " (" + o.Reason + ")"
	}
	return text
}

// Recorder collects operations. Its zero value is ready, and any number of
// goroutines may use it.
type Recorder struct {
	mu  sync.Mutex
	ops []Op
}

// Add records an operation.
func (r *Recorder) Add(op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
}

// Ops returns what was recorded so far, by start.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	ops := slices.Clone(r.ops)
	r.mu.Unlock()
	slices.SortStableFunc(ops, byStart)
	return ops
}

func byStart(a, b Op) int { return cmp.Compare(a.Start, b.Start) }

// Write writes operations, one line of JSON each.
func Write(w io.Writer, ops []Op) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for _, op := range ops {
		if err := lines.Encode(op); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
	}
	return nil
}
