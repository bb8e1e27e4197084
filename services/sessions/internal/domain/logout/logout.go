// Package logout decides how clients are told that a session has ended: when they are
// told again, and when not any more.
package logout

import "time"

// Status is how far a client was told: as sessions.v1.LogoutState.
type Status int16

// The statuses.
const (
	Waiting   Status = 1
	Delivered Status = 2
	Failed    Status = 3
)

const (
	// firstPause is before the second attempt; each after it is twice as long, longestPause
	// at most.
	firstPause   = time.Second
	longestPause = time.Hour
	// patience is for how long a client that does not answer well is told.
	patience = 24 * time.Hour
	// Retention is for how long it is kept that a client was told.
	Retention = 7 * 24 * time.Hour
	// TokenLife is how long a logout token is good, in a client whose clock differs.
	TokenLife = 2 * time.Minute
)

// State is one client that is told of one session.
type State struct {
	Status Status
	// Attempts counts those that began.
	Attempts uint32
	NextAt   time.Time
	// Last is what came of the last attempt that ended.
	Last      Answer
	CreatedAt time.Time
}

// New is a client that is to be told of a session that ends now.
func New(at time.Time) State { return State{Status: Waiting, NextAt: at, CreatedAt: at} }

// Answer is what came of an attempt: an HTTP status, or why there was none.
type Answer struct {
	Status  int
	Missing Missing
	// Slow: it began in time, and did not end.
	Slow bool
}

// Missing is why there was no answer.
type Missing string

// Why there was none.
const (
	Timeout     Missing = "timeout"
	Address     Missing = "address"
	Certificate Missing = "certificate"
	Network     Missing = "network"
	NoKey       Missing = "key"
	// NoClient and NoURI: nobody is to be told any more.
	NoClient Missing = "client"
	NoURI    Missing = "uri"
)

// After is the state after an attempt whose answer came at a time.
//
// A client that answers that the request is bad would say so again. Whatever else it
// answers may be of the moment, a redirect too, which is not followed.
//
// Source: OpenID Connect Back-Channel Logout 1.0 sections 2.5 and 2.8.
func (s State) After(a Answer, at time.Time) State {
	s.Last = a
	end := s.CreatedAt.Add(patience)
	switch {
	case a.Status == 200 || a.Status == 204:
		s.Status = Delivered
	case a.Status == 400, a.Missing == NoClient, a.Missing == NoURI, !at.Before(end):
		s.Status = Failed
	default:
		// The last attempt is at the end.
		if s.NextAt = at.Add(pause(s.Attempts)); s.NextAt.After(end) {
			s.NextAt = end
		}
	}
	return s
}

// pause is how long nothing is tried after so many attempts.
func pause(attempts uint32) time.Duration {
	const doublings = 12 // of a second: more than an hour
	return min(firstPause<<min(max(attempts, 1)-1, doublings), longestPause)
}
