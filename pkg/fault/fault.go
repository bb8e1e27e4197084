// Package fault holds the one error type that crosses a boundary.
//
// Middle layers wrap with %w and the name of the operation. One interceptor
// (package serve) turns a Fault into a Connect error; every other error becomes
// an internal error without text.
package fault

import (
	"errors"
	"maps"
	"strings"
	"time"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Kind is the class of a fault. Each kind has one Connect code.
type Kind uint8

// The kinds. The zero Kind is not valid.
const (
	_ Kind = iota
	// Invalid: the request breaks a rule (invalid_argument).
	Invalid
	// Unauthenticated: the caller is not known (unauthenticated).
	Unauthenticated
	// Denied: the caller may not call this (permission_denied).
	Denied
	// NotFound: absent, or not the caller's (not_found).
	NotFound
	// Exists: present already (already_exists).
	Exists
	// Precondition: the state does not allow it (failed_precondition).
	Precondition
	// Conflict: something else won, after retries (aborted).
	Conflict
	// Exhausted: a limit or quota is reached (resource_exhausted).
	Exhausted
	// Unavailable: try again later; nothing was written (unavailable).
	Unavailable
	// Deadline: the time is over; nothing was written (deadline_exceeded).
	Deadline
	// Cancelled: the caller went away (canceled).
	Cancelled
	// UnknownOutcome: it may or may not be written (unknown). Repeat with the
	// same idempotency key to find out.
	UnknownOutcome
	// Unimplemented: there is no such procedure (unimplemented).
	Unimplemented
	// Internal: a defect (internal). Its detail is never sent.
	Internal
)

// Fault is an error with a reason that clients can switch on.
type Fault struct {
	Kind   Kind
	Reason commonv1.Reason
	// Detail is for people: what is wrong and what to do. No secret, no
	// personal datum, no text of a database.
	Detail string
	// Meta goes into ErrorInfo: "field" and "rule" for invalid input.
	Meta map[string]string
	// RetryAfter is when to try again; 0 means no hint.
	RetryAfter time.Duration

	cause error
}

// New returns a fault.
func New(kind Kind, reason commonv1.Reason, detail string) *Fault {
	return &Fault{Kind: kind, Reason: reason, Detail: detail}
}

// Field returns an INVALID_FIELD fault that names the field and the rule.
func Field(field, rule, detail string) *Fault {
	return New(Invalid, commonv1.Reason_INVALID_FIELD, field+": "+detail).With("field", field).With("rule", rule)
}

// With returns a copy of f with one more metadata entry.
func (f *Fault) With(key, value string) *Fault {
	g := *f
	g.Meta = make(map[string]string, len(f.Meta)+1)
	maps.Copy(g.Meta, f.Meta)
	g.Meta[key] = value
	return &g
}

// Retry returns a copy of f that tells the client when to try again.
func (f *Fault) Retry(after time.Duration) *Fault {
	g := *f
	g.RetryAfter = after
	return &g
}

// Because returns a copy of f that remembers the error behind it, for logs and
// errors.Is. It is never sent to a client.
func (f *Fault) Because(err error) *Fault {
	g := *f
	g.cause = err
	return &g
}

// Error is for logs: reason, detail and cause.
func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.Reason.String())
	b.WriteString(": ")
	b.WriteString(f.Detail)
	if f.cause != nil {
		b.WriteString(": ")
		b.WriteString(f.cause.Error())
	}
	return b.String()
}

// Unwrap returns the error behind the fault, or nil.
func (f *Fault) Unwrap() error { return f.cause }

// As returns the first fault in err's chain.
func As(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}

// Is says whether err's first fault has the reason.
func Is(err error, reason commonv1.Reason) bool {
	f, ok := As(err)
	return ok && f.Reason == reason
}
