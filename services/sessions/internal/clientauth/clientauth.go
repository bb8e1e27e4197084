// Package clientauth finds out which client calls an endpoint, by what the client
// proves itself with.
package clientauth

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/url"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// The ways to authenticate.
const (
	public    = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE
	basic     = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC
	post      = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_POST
	assertion = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT
	tlsSelf   = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SELF_SIGNED_TLS
	tlsIssued = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_TLS
)

// Methods are the names of the ways that are taken, for metadata.
//
// Source: OpenID Connect Core 1.0 section 9; RFC 7591 section 2.
func Methods() []string {
	return []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}
}

// Authenticator authenticates clients, by their rows.
type Authenticator struct {
	DB *sqldb.DB
	// Region is where this process runs, and keeps which assertions were used.
	Region string
	Clock  func() time.Time
	// Authorities are those whose certificates of clients are taken; nil: none.
	Authorities *x509.CertPool
	// Documents are the clients that nobody registered; nil: none.
	Documents *clientdoc.Documents
}

// Authenticate returns the client that makes a request; client.Method() says how it
// authenticated, for only the way that it is registered with is taken. form is the
// body of the request, without its query; issuer is whom the request was sent to. A
// public client is only named: nobody has proved anything.
//
// Errors: *answer.Error with invalid_client, whatever is wrong with the client or with
// what it presents; or with invalid_request for a request that authenticates in two
// ways, or says something twice. Any other error says nothing about the client.
//
// Source: RFC 6749 sections 2.3, 3.2.1 and 5.2; RFC 7523 sections 2.2 and 3.
func (a *Authenticator) Authenticate(ctx context.Context, r *http.Request, form url.Values, issuer string) (store.Client, error) {
	p, err := presentedBy(r, form)
	if err != nil {
		return store.Client{}, err
	}
	row, err := a.find(ctx, p.client)
	if err != nil {
		return store.Client{}, err
	}
	party.Found(ctx, party.Party{ID: row.ID, Organization: row.Organization})
	// Looked at for a client that there is not too, so that it costs the same.
	proved := p.method != basic && p.method != post || a.hasSecret(row, p.secret)
	if p.method == public && row.Method() == tlsSelf {
		p.method, proved = tlsSelf, hasCertificate(row, r)
	}
	if p.method == public && row.Method() == tlsIssued {
		p.method, proved = tlsIssued, a.hasIssued(row, r)
	}
	if !proved || row.ID == "" || row.Disabled || row.Method() != p.method {
		return store.Client{}, refused()
	}
	if p.method == assertion {
		if err := a.verify(ctx, row, p.assertion, issuer); err != nil {
			return store.Client{}, err
		}
	}
	return row, nil
}

// find reads a client; the zero Client when there is none.
func (a *Authenticator) find(ctx context.Context, name string) (store.Client, error) {
	if !id.Valid(id.Client, name) {
		return a.documented(ctx, name)
	}
	row, err := store.FindClient(ctx, a.DB.Pool(), name)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return store.Client{}, nil
	}
	return row, err
}

// hasSecret says whether a secret is one of the client's that are live. It compares as
// often for a client that has fewer than it may have.
func (a *Authenticator) hasSecret(row store.Client, presented secret.String) bool {
	hash, at := client.HashSecret(presented), a.Clock()
	stored := make([][]byte, 0, client.LiveSecrets)
	for _, s := range row.Stored {
		if s.Live(at) {
			stored = append(stored, s.Hash)
		}
	}
	var nobodys client.Hash // no secret is known that has it
	for len(stored) < client.LiveSecrets {
		stored = append(stored, nobodys[:])
	}
	found := false
	for _, s := range stored {
		if hash.Equal(s) {
			found = true
		}
	}
	return found
}

// refused is the one answer for a client that is absent, disabled, registered with
// another way to authenticate, or that presents the wrong secret.
func refused() *answer.Error {
	return invalidClient("the client is unknown, or could not be authenticated")
}

// invalidClient is an answer of 401, which says how to authenticate as all such answers
// do.
//
// Source: RFC 6749 section 5.2; RFC 9110 section 15.5.2.
func invalidClient(description string) *answer.Error {
	return &answer.Error{
		Status: http.StatusUnauthorized, Code: answer.InvalidClient, Description: description,
		Challenge: `Basic realm="clients", charset="UTF-8"`,
	}
}
