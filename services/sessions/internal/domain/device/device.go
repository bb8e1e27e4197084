// Package device decides about devices on which nobody can sign in: they show a code,
// and ask again and again whether somebody has typed it elsewhere.
//
// Source: RFC 8628.
package device

import (
	"strings"
	"time"
)

const (
	// Life is how long a code waits.
	Life = 10 * time.Minute
	// Interval is how long a device waits between two questions.
	Interval = 5 * time.Second
	// Slower is what each question adds that comes too soon.
	Slower = 5 * time.Second
	// maxInterval bounds what that adds up to.
	maxInterval = time.Minute
)

// Alphabet is what user codes are made of: no vowel, so no words, and no digit that
// looks like a letter.
//
// Source: RFC 8628 section 6.1.
const Alphabet = "BCDFGHJKLMNPQRSTVWXZ"

// Length of a user code: 34 bits.
const Length = 8

// Status says how far a device is.
type Status uint8

// The statuses. The zero Status is a device that nobody knows.
const (
	Absent Status = iota
	Waiting
	Allowed
	Denied
)

// State is a device that waits.
type State struct {
	Status    Status
	Client    string
	Interval  time.Duration
	PolledAt  time.Time
	ExpiresAt time.Time
}

// Codes of what a device is told.
//
// Source: RFC 8628 section 3.5.
const (
	Pending  = "authorization_pending"
	SlowDown = "slow_down"
	Refused  = "access_denied"
	Expired  = "expired_token"
	Unknown  = "invalid_grant"
)

// Poll is a device's question.
type Poll struct {
	Client string
	At     time.Time
}

// Decide returns the device after the question, and what it is told: "" means that it
// gets its tokens.
//
// Source: RFC 8628 section 3.5.
func (c Poll) Decide(s State) (State, string) {
	switch {
	case s.Status == Absent || s.Client != c.Client:
		return s, Unknown
	case !c.At.Before(s.ExpiresAt):
		return s, Expired
	case s.Status == Denied:
		return s, Refused
	case s.Status == Allowed:
		return s, ""
	case c.At.Sub(s.PolledAt) < s.Interval:
		s.PolledAt, s.Interval = c.At, min(s.Interval+Slower, maxInterval)
		return s, SlowDown
	default:
		s.PolledAt = c.At
		return s, Pending
	}
}

// Canonical is a code as it is kept: people type it in small letters, and with hyphens.
// "" for what is none.
func Canonical(typed string) string {
	if len(typed) > 4*Length {
		return ""
	}
	code := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	if len(code) != Length || strings.Trim(code, Alphabet) != "" {
		return ""
	}
	return code
}

// Shown is a code as people read it.
func Shown(code string) string { return code[:Length/2] + "-" + code[Length/2:] }
