package activity

import (
	"time"

	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
)

// Observation is what a service saw. None of its texts is longer than the code that
// makes it allows, and but for Client and Trace the code has chosen them.
type Observation struct {
	Kind auditv1.ActivityKind
	// Organization that the client belongs to, or "".
	Organization string
	// Client that it is about, or "".
	Client string
	// Registered: who may has registered the client. Of others anybody can make up as
	// many as they like.
	Registered                           bool
	Issuer, Endpoint, Error, Description string
	// Trace is the W3C trace id, or "".
	Trace string
}

// Record is an observation and how often it was made.
type Record struct {
	Observation

	Count       uint64
	First, Last time.Time
}

// How many different observations are told apart in a minute: those of clients that are
// registered, and all others.
const (
	maxRegistered = 1000
	maxOthers     = 100
)

// minute is how long the same is counted.
const minute = time.Minute

// Fold decides which records are written of what is observed. The first of a kind is
// one at once; what is the same is counted, and is another when the minute is over. What
// comes when too many are told apart is told apart by endpoint, error and issuer alone.
// So however much strangers send, there are few records, and they take the names of
// registered clients from nobody. The counts of all records add up to what was observed.
//
// The zero Fold is ready.
type Fold struct {
	ends               time.Time
	counted            map[Observation]*Record
	order              []*Record
	registered, others int
}

// See takes an observation, and returns the records that are to be written.
func (f *Fold) See(o Observation, at time.Time) []Record {
	out := f.Tick(at)
	if f.counted == nil {
		f.counted, f.ends = map[Observation]*Record{}, at.Add(minute)
	}
	key := f.key(o)
	again := f.counted[key]
	if again == nil {
		again = &Record{Observation: key}
		f.counted[key], f.order = again, append(f.order, again)
		key.Trace = o.Trace
		return append(out, Record{Observation: key, Count: 1, First: at, Last: at})
	}
	if again.Count == 0 {
		again.First, again.Last, again.Trace = at, at, o.Trace
	}
	again.Count++
	if at.After(again.Last) {
		again.Last = at
	}
	return out
}

// key is what an observation is the same by.
func (f *Fold) key(o Observation) Observation {
	o.Trace = ""
	if f.counted[o] != nil {
		return o
	}
	told, most := &f.others, maxOthers
	if o.Registered {
		told, most = &f.registered, maxRegistered
	}
	if *told == most {
		return Observation{Kind: o.Kind, Issuer: o.Issuer, Endpoint: o.Endpoint, Error: o.Error}
	}
	*told++
	return o
}

// Tick returns the records that are to be written because a minute is over.
func (f *Fold) Tick(at time.Time) []Record {
	if at.Before(f.ends) {
		return nil
	}
	return f.End()
}

// End returns what is counted, as if the minute were over.
func (f *Fold) End() (out []Record) {
	for _, r := range f.order {
		if r.Count > 0 {
			out = append(out, *r)
		}
	}
	*f = Fold{}
	return out
}
