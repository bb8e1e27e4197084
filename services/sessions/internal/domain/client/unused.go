package client

import (
	"time"

	"google.golang.org/protobuf/proto"
)

const (
	// usedEvery is how exactly it is known when a client was used last: not each use is
	// written.
	usedEvery = 24 * time.Hour
	// UnusedFor is how long ago it is written that a client was used when it is deleted,
	// unless it stays: it was not for 30 days.
	UnusedFor = 30*24*time.Hour + usedEvery
)

// Used says whether it is to be written that a client is used, which was written last at
// a time; zero: the client stays.
func Used(last, at time.Time) bool { return !last.IsZero() && at.Sub(last) >= usedEvery }

// DeleteUnused removes a client that nobody uses.
type DeleteUnused struct {
	// UsedAt is when it was used last, to the day; zero: it stays, used or not.
	UsedAt, At time.Time
}

// Decide returns the event that removes the client; none when it stays.
func (c DeleteUnused) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" || !s.Settings.GetDeleteUnused() || c.UsedAt.IsZero() || c.At.Sub(c.UsedAt) < UnusedFor {
		return nil, nil
	}
	return Delete{}.Decide(s)
}
