// Package accesstoken says what an access token of the provider means to whoever is
// called with one: which claims it has, whether it is good, and whether it was taken
// back since it was made.
//
// Nothing is fetched while a token is verified: keys and revocations are at hand.
//
// Source: RFC 9068.
package accesstoken

import "time"

// Claims are what an access token says. Those of a token that was verified are shared:
// nobody changes them.
//
// Source: RFC 9068 section 2.2; RFC 7800 section 3.1; RFC 8693 section 4.1.
type Claims struct {
	Issuer string `json:"iss"`
	// Subject is a user (usr_), a service account (svc_) or the client itself (cli_).
	Subject  string   `json:"sub"`
	Audience []string `json:"aud"`
	// Expires and IssuedAt are in seconds since 1970.
	Expires  int64  `json:"exp"`
	IssuedAt int64  `json:"iat"`
	ID       string `json:"jti"`
	Client   string `json:"client_id"`
	// Scope has names, a space between them.
	Scope string `json:"scope,omitempty"`

	// Session and Grant are what a user's token ends with.
	Session string `json:"sid,omitempty"`
	Grant   string `json:"gnt,omitempty"`
	// Organization is the one that the token is for, or "".
	Organization string `json:"org,omitempty"`
	// AuthenticatedAt, in seconds since 1970, and how: RFC 9470, RFC 8176.
	AuthenticatedAt int64    `json:"auth_time,omitempty"`
	Context         string   `json:"acr,omitempty"`
	Methods         []string `json:"amr,omitempty"`
	// Revision is the revision token of the user's log when the token was made.
	Revision string `json:"rev,omitempty"`
	// Confirmation names the key that the bearer must prove to have; nil: none.
	Confirmation *Confirmation `json:"cnf,omitempty"`
	// Actor is who acts for the subject; nil: nobody.
	Actor *Actor `json:"act,omitempty"`
	// Authorized is the client that the subject gave something to, where Client has
	// exchanged its token; else "".
	Authorized string `json:"azp,omitempty"`
}

// Actor is who acts for the subject, and by way of whom.
type Actor struct {
	Subject string `json:"sub"`
	Client  string `json:"client_id,omitempty"`
	Actor   *Actor `json:"act,omitempty"`
}

const (
	// MaxLife is how long an access token lives at most.
	MaxLife = 5 * time.Minute
	// Skew is how far the clocks of the deployment may differ.
	Skew = time.Minute
	// Keep is how long it matters that something was taken back: no token that was made
	// before is good any longer.
	Keep = MaxLife + Skew
	// maxActors is how many act for each other at most.
	maxActors = 4
)
