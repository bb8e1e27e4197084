// Package signingkey decides when keys that tokens are signed with are made, sign, rest
// and go. A key is published before it signs, and verifies until all that it signed has
// expired.
package signingkey

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// Status says what a key is used for.
type Status = sessionsv1.SigningKeyState

// The statuses.
const (
	Initial  = sessionsv1.SigningKeyState_SIGNING_KEY_STATE_INITIAL
	Active   = sessionsv1.SigningKeyState_SIGNING_KEY_STATE_ACTIVE
	Inactive = sessionsv1.SigningKeyState_SIGNING_KEY_STATE_INACTIVE
	Deleted  = sessionsv1.SigningKeyState_SIGNING_KEY_STATE_DELETED
)

// State is a key as the platform's log tells it. The zero State is one that does not
// exist.
type State struct {
	KID       string
	Region    string
	Algorithm string
	Status    Status
	PublicJWK string
	// ActiveAt is when it signs from; DeleteAt when it goes, zero while it signs.
	ActiveAt, DeleteAt time.Time
	// Emergency: it was removed before its time.
	Emergency bool
}

// Apply folds one event; events about other keys change nothing.
func (s *State) Apply(event proto.Message) {
	if e, ok := event.(*eventv1.SigningKeyCreated); ok && s.KID == "" {
		*s = State{
			KID: e.GetKid(), Region: e.GetRegion(), Algorithm: e.GetAlgorithm(), Status: Initial, PublicJWK: e.GetPublicJwk(),
			ActiveAt: e.GetActiveAt().AsTime(),
		}
		return
	}
	if about, ok := event.(interface{ GetKid() string }); !ok || about.GetKid() != s.KID {
		return
	}
	switch e := event.(type) {
	case *eventv1.SigningKeyActivated:
		s.Status = Active
	case *eventv1.SigningKeyDeactivated:
		s.Status, s.DeleteAt = Inactive, e.GetDeleteAt().AsTime()
	case *eventv1.SigningKeyDeleted:
		s.Status, s.Emergency = Deleted, e.GetEmergency()
	}
}

// Policy says how long a key is what.
type Policy struct {
	// Publish is how long a key is published before it signs: at least twice what a
	// verifier may take to see it, the max-age of the key set and the pause of its
	// refresh.
	Publish time.Duration
	// Life is how long it signs.
	Life time.Duration
	// Keep is how long it verifies afterwards: at least the longest life of a token.
	Keep time.Duration
}

// Standard is the policy: a month, and 20 minutes before it.
func Standard() Policy {
	return Policy{Publish: 20 * time.Minute, Life: 30 * 24 * time.Hour, Keep: time.Hour}
}

// Make says that a key is to be made, to sign from a time on.
type Make struct {
	Due      bool
	ActiveAt time.Time
}

// Plan is what to do now.
type Plan struct {
	Make Make
	// Activate, Deactivate and Delete are kids, "" or none for nothing. What is to be
	// deactivated and deleted goes on until the events are recorded.
	Activate   string
	Deactivate []string
	Delete     []string
}

// Next returns what to do now with the keys of one region and algorithm. Done again
// after that it returns the rest, until nothing is left.
//
// One signs at any time after the first was made: it goes on, however long, until
// another may take its place.
func Next(keys []State, p Policy, now time.Time) Plan {
	var plan Plan
	active, waiting := -1, -1
	for i, k := range keys {
		switch {
		case k.Status == Active && (active < 0 || keys[active].ActiveAt.Before(k.ActiveAt)):
			active = i
		case k.Status == Initial && (waiting < 0 || k.ActiveAt.Before(keys[waiting].ActiveAt)):
			waiting = i
		case k.Status == Inactive && !now.Before(k.DeleteAt):
			plan.Delete = append(plan.Delete, k.KID)
		}
	}
	switch {
	case waiting >= 0 && (active < 0 || !now.Before(keys[waiting].ActiveAt)):
		// Without one that signs it does not wait: no verifier has another.
		plan.Activate = keys[waiting].KID
	case waiting >= 0:
	case active < 0:
		plan.Make = Make{Due: true, ActiveAt: now}
	case !now.Before(keys[active].ActiveAt.Add(p.Life - p.Publish)):
		plan.Make = Make{Due: true, ActiveAt: later(keys[active].ActiveAt.Add(p.Life), now.Add(p.Publish))}
	}
	for i, k := range keys {
		if k.Status == Active && (plan.Activate != "" || i != active) {
			plan.Deactivate = append(plan.Deactivate, k.KID)
		}
	}
	slices.Sort(plan.Deactivate)
	slices.Sort(plan.Delete)
	return plan
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
