package logout

import (
	"strconv"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	tokenType = "logout+jwt"
	event     = "http://schemas.openid.net/event/backchannel-logout"
)

// claims are what a logout token says. It has no nonce, so that nobody takes it for an
// ID token.
//
// Source: OpenID Connect Back-Channel Logout 1.0 section 2.4.
type claims struct {
	Issuer   string              `json:"iss"`
	Subject  string              `json:"sub"`
	Audience string              `json:"aud"`
	IssuedAt int64               `json:"iat"`
	Expiry   int64               `json:"exp"`
	ID       string              `json:"jti"`
	Session  string              `json:"sid"`
	Events   map[string]struct{} `json:"events"`
}

// claimsOf are those of an attempt. Each has an id of its own: a client that took a token
// whose answer was lost may refuse it when it comes again, and takes another.
func claimsOf(l store.Logout, at time.Time) claims {
	return claims{
		Issuer: l.Issuer, Subject: l.User, Audience: l.Client, IssuedAt: at.Unix(), Expiry: at.Add(logout.TokenLife).Unix(),
		ID: l.ID + "." + strconv.FormatUint(uint64(l.Attempts), 10), Session: l.Session, Events: map[string]struct{}{event: {}},
	}
}
