package oidc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// idClaims are what an ID token says. Of the person it says who it is, and no more: the
// rest is at the userinfo endpoint.
//
// Source: OpenID Connect Core 1.0 sections 2 and 3.1.3.6; OpenID Connect Front-Channel
// Logout 1.0 section 3 (sid).
type idClaims struct {
	Issuer       string   `json:"iss"`
	Subject      string   `json:"sub"`
	Audience     string   `json:"aud"`
	Expiry       int64    `json:"exp"`
	IssuedAt     int64    `json:"iat"`
	AuthTime     int64    `json:"auth_time"`
	Nonce        string   `json:"nonce,omitempty"`
	ACR          string   `json:"acr"`
	AMR          []string `json:"amr,omitempty"`
	Party        string   `json:"azp"`
	AccessHash   string   `json:"at_hash"`
	Session      string   `json:"sid"`
	Organization string   `json:"org,omitempty"`
}

// idToken makes the ID token beside an access token.
func (p *Provider) idToken(x *exchange, g store.Grant, access string) (string, error) {
	algorithm := jose.Algorithm(x.client.Settings.GetIdTokenAlgorithm())
	return p.Keys.Sign(algorithm, "JWT", idClaims{
		Issuer: x.issuer, Subject: g.User, Audience: g.Client, Expiry: x.at.Add(seconds(x.client.Settings.GetAccessTokenSeconds())).Unix(),
		IssuedAt: x.at.Unix(), AuthTime: g.AuthenticatedAt.Unix(), Nonce: g.Nonce, ACR: g.ACR, AMR: g.AMR, Party: g.Client,
		AccessHash: jose.AtHash(algorithm, access), Session: g.Session, Organization: g.Organization,
	})
}

// revisionOf is how far the logs are that a token of a user in an organization depends
// on.
func (p *Provider) revisionOf(ctx context.Context, logs ...string) (string, error) {
	heads, err := p.Log.HeadsOf(ctx, p.DB.Pool(), logs...)
	if err != nil || len(heads) == 0 {
		return "", err
	}
	revisions := make([]revision.Revision, 0, len(heads))
	for _, head := range heads {
		revisions = append(revisions, revision.Revision{Log: head.Log, Sequence: head.Sequence})
	}
	return revision.Token(revisions...)
}
