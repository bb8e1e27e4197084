package grant

import "time"

// Complete gives a device its tokens: somebody allowed it, elsewhere.
type Complete struct {
	Client string
	// SessionEnded: the session that the grant ends with is over, or all was ended that
	// was given until after it.
	SessionEnded bool
	At           time.Time
}

// Decide returns the grant as if a code had been redeemed.
//
// Errors: GRANT_REJECTED.
//
// Source: RFC 8628 section 3.5.
func (c Complete) Decide(s State) (State, error) {
	if s.Status != Issued || s.Client != c.Client || c.SessionEnded {
		return s, rejected("the grant was revoked, or is another client's")
	}
	s.Status = Redeemed
	if s.Refreshable {
		s.Generation, s.RotatedAt = 1, c.At
	}
	return s, nil
}
