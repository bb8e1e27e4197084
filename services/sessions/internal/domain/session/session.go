// Package session decides what becomes of sessions: one signed-in continuity of a user
// in one browser.
package session

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// Limit is how many sessions a user may have at once: the oldest ends for another.
const Limit = 100

// SeenEvery is how exact the time of the last use is kept.
const SeenEvery = 5 * time.Minute

// The levels of assurance that a session has.
//
// Source: NIST SP 800-63B section 4.
const (
	AAL1 = "aal1"
	AAL2 = "aal2"
)

// MFA is the method of a session in which a second factor was proved. It may be aal1: one
// beside a letter.
//
// Source: RFC 8176 section 2.
const MFA = "mfa"

// Lives are how long sessions last.
type Lives struct {
	// Idle ends a session that is not used for so long; Absolute ends it in any case.
	Idle, Absolute time.Duration
}

// State is a session. The zero State is one that does not exist, or has ended.
type State struct {
	ID              string
	User            string
	ACR             string
	AMR             []string
	AuthenticatedAt time.Time
	StartedAt       time.Time
	LastSeenAt      time.Time
	ExpiresAt       time.Time
}

// Apply folds one event; events about other sessions change nothing. When it was last
// seen is no event.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.SessionStarted:
		*s = State{
			ID: e.GetSession(), User: e.GetUser(), ACR: e.GetAcr(), AMR: e.GetAmr(), AuthenticatedAt: e.GetAuthenticatedAt().AsTime(),
			StartedAt: e.GetAuthenticatedAt().AsTime(), LastSeenAt: e.GetAuthenticatedAt().AsTime(), ExpiresAt: e.GetExpiresAt().AsTime(),
		}
	case *eventv1.SessionStrengthened:
		if e.GetSession() == s.ID && s.ID != "" {
			s.ACR, s.AMR, s.AuthenticatedAt = e.GetAcr(), e.GetAmr(), e.GetAuthenticatedAt().AsTime()
		}
	case *eventv1.SessionRevoked:
		if e.GetSession() == s.ID {
			*s = State{}
		}
	}
}

// Several says whether a second factor was proved.
func (s State) Several() bool { return s.ACR == AAL2 || slices.Contains(s.AMR, MFA) }

// Live says whether the session goes on: it exists, is used often enough, and is not
// too old.
func (s State) Live(l Lives, at time.Time) bool {
	return s.ID != "" && at.Before(s.ExpiresAt) && at.Before(s.LastSeenAt.Add(l.Idle))
}

// Seen says whether a use is to be recorded.
func (s State) Seen(at time.Time) bool { return at.Sub(s.LastSeenAt) >= SeenEvery }

// Proof is what somebody proved.
type Proof struct {
	User string
	ACR  string
	AMR  []string
	At   time.Time
}

// Start begins a session.
type Start struct {
	ID    string
	Proof Proof
	Lives Lives
}

// Decide returns the event that begins the session.
//
// Errors: INVALID_FIELD for an id that is none.
func (c Start) Decide() ([]proto.Message, error) {
	if !id.Valid(id.Session, c.ID) || !id.Valid(id.User, c.Proof.User) {
		return nil, fault.Field("session", "session_id", "is not the id of a session of a user")
	}
	return []proto.Message{&eventv1.SessionStarted{
		Session: c.ID, User: c.Proof.User, Acr: c.Proof.ACR, Amr: c.Proof.AMR,
		AuthenticatedAt: timestamppb.New(c.Proof.At), ExpiresAt: timestamppb.New(c.Proof.At.Add(c.Lives.Absolute)),
	}}, nil
}

// Strengthen notes what the user of a session proved now, or now and before: identity
// knows what a step-up adds to. It makes the session no longer.
type Strengthen struct{ Proof Proof }

// Decide returns the event that says so. What was proved before, and not now, is not taken
// along: its time would be that of the new proof, and a password alone would renew a
// second factor.
//
// Errors: NOT_FOUND for a session that has ended, or of another user.
func (c Strengthen) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" || s.User != c.Proof.User {
		return nil, NotFound()
	}
	return []proto.Message{&eventv1.SessionStrengthened{
		Session: s.ID, Acr: c.Proof.ACR, Amr: c.Proof.AMR, AuthenticatedAt: timestamppb.New(c.Proof.At),
	}}, nil
}

// Revoke ends a session.
type Revoke struct{ Reason eventv1.Revocation }

// Decide returns the event that ends the session; none when it has ended.
func (c Revoke) Decide(s State) []proto.Message {
	if s.ID == "" {
		return nil
	}
	return []proto.Message{&eventv1.SessionRevoked{Session: s.ID, Reason: c.Reason}}
}

// NotFound is the answer for a session that is absent, over, or of another user.
func NotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such session")
}
