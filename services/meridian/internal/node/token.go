package node

import (
	"context"
	"net/url"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/accesstoken/feed"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/services/sessions"
)

// openTokens makes what verifies the access tokens of the configured issuers.
//
// What is taken back is read from the region's streams while the node runs. Until it is
// known up to now, and whenever it is older than max_revocation_age, no token is taken.
func (n *Node) openTokens(context.Context) error {
	if len(n.config.Issuers) == 0 {
		return nil // there are no such tokens
	}
	keys, missing := n.publicKeys, func(string) {}
	if !n.config.hosts(Sessions) {
		remote := accesstoken.NewRemote(n.config.SessionsURLs, nil, n.telemetry.Log, n.clock)
		remote.Host = hostOf(n.config.Issuers[0]) // all issuers have the same keys
		n.onRun(remote.Run)
		keys, missing = remote.Keys, remote.Missing
	}
	deny := accesstoken.NewDeny(n.clock)
	revocations := feed.New(feed.Config{Bus: n.bus, Deny: deny, Clock: n.clock, Metrics: n.telemetry.Registry, Log: n.telemetry.Log})
	n.onRun(revocations.Run)
	c := accesstoken.Config{
		Keys: keys, Missing: missing, Issuers: n.config.Issuers, Audience: n.config.audiences(), Deny: deny, Age: revocations.Age,
		MaxAge: n.config.MaxRevocationAge, Clock: n.clock,
	}
	n.tokens = accesstoken.NewVerifier(c)
	c.Anybody = true
	n.issued = accesstoken.NewVerifier(c)
	n.revocations = &sessions.Revocations{Deny: deny, Complete: revocations.Complete, MaxAge: n.config.MaxRevocationAge}
	return nil
}

// audiences are the names of this API in access tokens.
func (c Config) audiences() []string {
	if len(c.Audiences) == 0 {
		return c.Issuers
	}
	return c.Audiences
}

// publicKeys are those of the service sessions in this process.
func (n *Node) publicKeys() jose.Keys {
	if n.sessions == nil {
		return jose.Keys{}
	}
	return n.sessions.Public()
}

// hostOf is the host of an issuer.
func hostOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Host
}
