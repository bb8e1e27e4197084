// Package throttle decides how fast secrets may be guessed, letters asked for and
// authentications started.
//
// Failures are counted in buckets. Each lets some attempts through and then makes
// the next one wait, twice as long each time; with quiet it forgets. Nobody is
// locked out of an account by others, so an account as such never refuses. A
// device where the user signed in before has a bucket of its own and knows no
// other. Everybody else shares one with who comes from the same network. When
// many networks guess at one account, each of them has to wait once before it is
// heard, for a bounded time: then it is heard, whatever the others do.
//
// What remains possible are about 110 guesses a day at one password from each
// network. A second factor, of which there are only a million, has one bucket for
// all devices that are not known; to fill it takes the password.
package throttle

import (
	"time"
)

// Kind names what a bucket counts, in metrics.
type Kind string

// Action is what is done.
type Action int

// The actions.
const (
	// Guess is a first factor, Second another one that can be guessed.
	Guess Action = iota
	Second
	// Letter is a code or link by email.
	Letter
	// Begin is a new authentication.
	Begin
	// Invite is the letter of an invitation.
	Invite
)

// Source is where an action comes from.
type Source struct {
	// Identifier is what was typed to say who one is, in one form; empty: nothing.
	// Whether it belongs to anybody changes nothing.
	Identifier string
	// User is the id of the user whom another proof led to, for Second.
	User string
	// Device is the id of a device that the user signed in with; empty: it is not
	// known.
	Device string
	// Network is where the browser is: a /24 of IPv4, a /64 of IPv6.
	Network string
	// Organization is whose the action is, for Invite.
	Organization string
}

// Limit is what a bucket lets through.
type Limit struct {
	// Free attempts wait for nothing. The next waits for First, each further one
	// twice as long, for Max at most. One failure is forgotten after each Forget.
	Free               int
	First, Max, Forget time.Duration
	// Pressure: instead of refusing, it makes those wait who come new to the bucket
	// with Held.
	Pressure, Held bool
}

// Counter names a bucket: its kind, and what it is about. Parts hold personal
// data: what is stored is a keyed hash.
type Counter struct {
	Kind  Kind
	Parts []string
	Limit Limit
}

// Bucket is what is stored of a counter. The zero Bucket has counted nothing.
type Bucket struct {
	Failures     int
	BlockedUntil time.Time
	// UpdatedAt is up to when failures were forgotten.
	UpdatedAt time.Time
}

// Counters are the buckets of an action, always the same ones in the same order.
func Counters(a Action, s Source) []Counter {
	switch {
	case a == Begin:
		return []Counter{{"start_network", []string{s.Network}, begun()}}
	case a == Invite:
		return []Counter{{"invitation", []string{s.Organization, s.Identifier}, invitations()}}
	case a == Letter && s.Device != "":
		return []Counter{{"letter_device", []string{s.Identifier, s.Device}, letters(false)}}
	case a == Letter:
		return []Counter{
			{"letter_network", []string{s.Network}, crowd(50)},
			{"letter_identifier", []string{s.Identifier}, pressure(20)},
			{"letter_network_identifier", []string{s.Identifier, s.Network}, letters(true)},
		}
	case a == Second && s.Device != "":
		return []Counter{{"second_device", []string{s.User, s.Device}, guesses(false)}}
	case a == Second:
		return []Counter{
			{"network", []string{s.Network}, crowd(100)},
			{"second_user", []string{s.User}, guesses(false)},
		}
	case s.Identifier == "":
		return []Counter{{"network", []string{s.Network}, crowd(100)}}
	case s.Device != "":
		return []Counter{{"device", []string{s.Identifier, s.Device}, guesses(false)}}
	default:
		return []Counter{
			{"network", []string{s.Network}, crowd(100)},
			{"identifier", []string{s.Identifier}, pressure(50)},
			{"network_identifier", []string{s.Identifier, s.Network}, guesses(true)},
		}
	}
}

// Cleared are the buckets that a user who is let in has no more failures in: those
// of where the user is, not those that others fill.
func Cleared(s Source) []Counter {
	all := append(Counters(Guess, s), Counters(Second, s)...)
	var own []Counter
	for _, c := range all {
		if c.Kind != "network" && !c.Limit.Pressure {
			own = append(own, c)
		}
	}
	return own
}

func guesses(held bool) Limit {
	return Limit{Free: 5, First: time.Second, Max: 15 * time.Minute, Forget: 30 * time.Minute, Held: held}
}

func letters(held bool) Limit {
	return Limit{Free: 5, First: 30 * time.Second, Max: 15 * time.Minute, Forget: 30 * time.Minute, Held: held}
}

// invitations are the letters of one organization to one address: others invite it
// whatever that organization does.
func invitations() Limit {
	return Limit{Free: 5, First: time.Minute, Max: time.Hour, Forget: time.Hour}
}

// crowd is for all who share a network, guilty or not.
func crowd(free int) Limit {
	return Limit{Free: free, First: time.Second, Max: 5 * time.Minute, Forget: 36 * time.Second}
}

func pressure(free int) Limit {
	return Limit{Free: free, First: time.Second, Max: MaxPressure, Forget: 5 * time.Minute, Pressure: true}
}

func begun() Limit {
	return Limit{Free: 1000, First: time.Second, Max: time.Minute, Forget: time.Second}
}

const (
	// MaxPressure is how long somebody from a quiet network waits at most, before
	// the first attempt, because of what others do.
	MaxPressure = 30 * time.Second
	// waited is how long it counts that one has waited.
	waited = 10 * time.Minute
)

// Admit decides about one attempt. Zero: it goes on, and next has it counted as a
// failure already, which Forgive takes back. Else it must wait that long; next is
// to be stored then too.
func Admit(counters []Counter, buckets []Bucket, at time.Time) (wait time.Duration, next []Bucket) {
	next = make([]Bucket, len(buckets))
	var press time.Duration
	for i, c := range counters {
		next[i] = c.Limit.at(buckets[i], at)
		if c.Limit.Pressure {
			press = max(press, c.Limit.delay(next[i].Failures))
			continue
		}
		wait = max(wait, next[i].BlockedUntil.Sub(at))
	}
	if wait > 0 {
		return wait, next
	}
	for i, c := range counters {
		if c.Limit.Held && press > 0 && next[i].BlockedUntil.Before(at.Add(-waited)) {
			next[i].BlockedUntil = at.Add(press)
			return press, next
		}
	}
	for i, c := range counters {
		next[i] = c.Limit.count(next[i], at)
		if c.Limit.Held && press > 0 {
			next[i].BlockedUntil = later(next[i].BlockedUntil, at.Add(press))
		}
	}
	return 0, next
}

// Forgive takes back the failure that Admit counted.
func Forgive(counters []Counter, buckets []Bucket, at time.Time) []Bucket {
	next := make([]Bucket, len(buckets))
	for i, c := range counters {
		next[i] = c.Limit.at(buckets[i], at)
		next[i].Failures = max(next[i].Failures-1, 0)
		if next[i].Failures <= c.Limit.Free {
			next[i].BlockedUntil = earlier(next[i].BlockedUntil, at)
		}
	}
	return next
}

// Blocked says whether a bucket makes the next attempt wait longer than the
// attempt before: a lockout, in metrics.
func (c Counter) Blocked(b Bucket) bool { return b.Failures > c.Limit.Free }

// at is the bucket at a time: with quiet it forgets. Where the clock was put back,
// a block lasts Max from then on at most.
func (l Limit) at(b Bucket, now time.Time) Bucket {
	b.BlockedUntil = earlier(b.BlockedUntil, now.Add(l.Max))
	if quiet := now.Sub(b.UpdatedAt); b.Failures > 0 && quiet > 0 {
		forgotten := int64(quiet / l.Forget)
		b.Failures = int(max(int64(b.Failures)-forgotten, 0))
		b.UpdatedAt = b.UpdatedAt.Add(time.Duration(forgotten) * l.Forget)
	}
	if b.Failures == 0 || now.Before(b.UpdatedAt) {
		b.UpdatedAt = now
	}
	return b
}

// count counts a failure, up to where the delay grows no more: so it shrinks as
// soon as something is forgotten.
func (l Limit) count(b Bucket, now time.Time) Bucket {
	if l.delay(b.Failures) < l.Max {
		b.Failures++
	}
	if d := l.delay(b.Failures); d > 0 && !l.Pressure {
		b.BlockedUntil = later(b.BlockedUntil, now.Add(d))
	}
	return b
}

// delay is how long the next attempt waits after so many failures.
func (l Limit) delay(failures int) time.Duration {
	over := failures - l.Free
	if over <= 0 {
		return 0
	}
	return min(l.First<<min(over-1, 30), l.Max)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}
