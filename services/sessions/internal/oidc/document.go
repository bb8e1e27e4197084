package oidc

import (
	"context"
	"errors"
	"strings"

	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// named is client for a request that begins: what is wrong with the document of a client
// that nobody registered is said to whoever is there, for its developers.
//
// Errors: *authorize.Error; those of client.
func (p *Provider) named(ctx context.Context, clientID string) (store.Client, error) {
	if !client.IsDocument(clientID) {
		return p.client(ctx, clientID)
	}
	c, err := p.unblocked(ctx, clientID)
	if refused, is := errors.AsType[*clientdoc.Error](err); is {
		return c, &authorize.Error{Code: authorize.InvalidRequest, Description: refused.Error()}
	}
	return c, err
}

// documented is a client that describes itself at the URL that is its id; the zero one:
// there is none.
func (p *Provider) documented(ctx context.Context, url string) (store.Client, error) {
	c, err := p.unblocked(ctx, url)
	if _, refused := errors.AsType[*clientdoc.Error](err); refused {
		return store.Client{}, nil
	}
	return c, err
}

// unblocked is a client that describes itself at a URL, unless it is blocked for
// everybody: then there is none.
//
// Errors: those of clientdoc, and of the database.
func (p *Provider) unblocked(ctx context.Context, url string) (store.Client, error) {
	if p.Documents == nil || !client.IsDocument(url) {
		return store.Client{}, nil
	}
	if blocked, err := store.Blocked(ctx, p.DB.Pool(), url); err != nil || blocked {
		return store.Client{}, err
	}
	return p.Documents.Client(ctx, url)
}

// blockedFor says whether a client that nobody registered is blocked for an organization
// or everybody.
func (p *Provider) blockedFor(ctx context.Context, clientID, organization string) (bool, error) {
	if !client.IsDocument(clientID) {
		return false, nil
	}
	return store.Blocked(ctx, p.DB.Pool(), clientID, organization)
}

// shown is what people read of a client: of one that nobody registered the host, which is
// its own, and not the name, which it may have from anybody.
func shown(c store.Client) string {
	if host := client.DocumentHost(c.ID); host != "" {
		return host
	}
	return c.Settings.GetName()
}

// nameOf is what a person reads of a client that was given something. No document is
// fetched for that.
func (p *Provider) nameOf(ctx context.Context, clientID string) (string, error) {
	if host := client.DocumentHost(clientID); host != "" {
		return host, nil
	}
	c, err := p.client(ctx, clientID)
	return orDash(c.Settings.GetName()), err
}

// describe says on the page that asks for consent what is known of a client that nobody
// registered.
//
// Source: draft-ietf-oauth-client-id-metadata-document, Displaying the Client ID to the
// User, and Localhost Redirect URIs.
func describe(view *pages.Consent, c store.Client) {
	if view.Host = client.DocumentHost(c.ID); view.Host != "" {
		view.Client, view.OnDevices = c.Settings.GetName(), client.OnDevices(c.Settings)
	}
}

// impersonable says whether a request may be any program's on somebody's device that
// says it is a client which nobody registered: what was agreed to earlier is no answer.
//
// Source: RFC 8252 section 8.6.
func impersonable(v *visit) bool {
	return client.IsDocument(v.client.ID) && !strings.HasPrefix(v.pending.Request.Redirect.URI, "https://")
}
