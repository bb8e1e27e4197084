package grant

import (
	"time"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// Refresh presents a refresh token, whose MAC is right.
type Refresh struct {
	Client string
	// Generation is the token's.
	Generation uint64
	// Key names the key or the certificate that the client proved, or is "".
	Key string
	// SessionEnded: the session that the grant ends with is over, or all was ended that
	// was given until after it.
	SessionEnded bool
	At           time.Time
}

// Decide returns the grant after the refresh: its generation is that of the token to
// answer with. The current token rotates. The one before it gets the current one again
// within the grace, for a client whose answer was lost; the first use of the current
// one ends that. Any other means that two parties hold the family: the grant is
// revoked, and that is a fact to record besides the refusal.
//
// Errors: GRANT_REJECTED. The events, if any, are to be recorded all the same.
//
// Source: RFC 9700 section 4.14.2; OAuth 2.1 section 4.3.1.
func (c Refresh) Decide(s State) (State, []proto.Message, error) {
	switch {
	case s.Status == Absent || s.Client != c.Client:
		return s, nil, rejected("the refresh token is not good")
	case s.Status == Revoked || c.SessionEnded:
		return s, nil, rejected("the grant was revoked")
	case s.Key != "" && !same(s.Key, c.Key):
		return s, nil, rejected("the refresh token is bound to another key")
	case s.Status != Redeemed || c.Generation == 0 || c.Generation > s.Generation:
		return s, nil, rejected("the refresh token was never issued")
	case !c.At.Before(s.Expires()):
		return s, nil, rejected("the refresh token has expired")
	case c.Generation == s.Generation:
		s.Generation++
		s.RotatedAt = c.At
		return s, nil, nil
	case c.Generation == s.Generation-1 && c.At.Sub(s.RotatedAt) <= min(s.Grace, MaxGrace) && s.Grace > 0:
		return s, nil, nil
	default:
		return s, s.revoked(eventv1.Revocation_REVOCATION_REFRESH_REUSED), rejected("the refresh token was used before")
	}
}

// Expires is when the family ends if it is not refreshed.
func (s State) Expires() time.Time {
	if idle := s.RotatedAt.Add(s.Idle); idle.Before(s.ExpiresAt) {
		return idle
	}
	return s.ExpiresAt
}
