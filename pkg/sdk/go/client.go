// Package meridian calls Meridian from a product's backend.
//
//	client := meridian.New("https://meridian.example", token)
//	decision, err := client.Check(ctx, meridian.Question{
//		Organization: organization,
//		Subject:      "user:anna",
//		Permission:   "can_select",
//		Resource:     "table:orders",
//	})
//	if err != nil || !decision.Allowed { … }
//
// Every write returns a revision token. Pass it as Question.AtLeast, and the
// answer is never older than that write, in any region:
//
//	revision, err := client.Write(ctx, organization, meridian.Touch("table:orders", "reader", "user:anna"))
//
// Open takes several regions, nearest first: a call that one does not answer goes
// on to the next.
//
// AccessTokens verifies the access tokens of users and machines that call the product:
//
//	tokens, err := client.AccessTokens(meridian.AccessTokensConfig{Issuers: issuers, Resources: resources})
//	go tokens.Run(ctx)
//	mux.Handle("/reports/", tokens.Protect(reports, "reports:read"))
//
// The services of Meridian are fields of Client. A call that only reads, and a
// change whose request has an idempotency key, may be repeated, and go to another
// region by themselves; see the examples of [Client].
package meridian

import (
	"context"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1/auditv1connect"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
)

// Client calls Meridian. It is safe for concurrent use.
type Client struct {
	Checks        authzv1connect.CheckServiceClient
	Lookups       authzv1connect.LookupServiceClient
	Relationships authzv1connect.RelationshipServiceClient
	Models        authzv1connect.ModelServiceClient
	Roles         authzv1connect.RoleServiceClient
	Logs          logv1connect.LogServiceClient

	// People, and what they belong to and prove themselves with.
	Organizations   identityv1connect.OrganizationServiceClient
	Users           identityv1connect.UserServiceClient
	Memberships     identityv1connect.MembershipServiceClient
	Groups          identityv1connect.GroupServiceClient
	ServiceAccounts identityv1connect.ServiceAccountServiceClient
	Tokens          identityv1connect.ApiTokenServiceClient
	Invitations     identityv1connect.InvitationServiceClient
	Domains         identityv1connect.DomainServiceClient
	Credentials     identityv1connect.CredentialServiceClient
	Authentications identityv1connect.AuthenticationServiceClient
	Migration       identityv1connect.MigrationServiceClient

	// OAuth clients, whom organizations trust about workloads, who is signed in, the keys
	// that tokens are signed with, and what ended: see AccessTokens.
	Clients     sessionsv1connect.ClientServiceClient
	Trusts      sessionsv1connect.TrustServiceClient
	Sessions    sessionsv1connect.SessionServiceClient
	SigningKeys sessionsv1connect.KeyServiceClient
	Themes      sessionsv1connect.ThemeServiceClient
	Revocations sessionsv1connect.RevocationServiceClient

	// Activity is what services observed, for operators.
	Activity auditv1connect.ActivityServiceClient

	// silence is after how long a watch is opened again.
	silence time.Duration
}

// compressFrom is the size in bytes from which messages are compressed: below
// it compression costs more than it saves.
const compressFrom = 1024

// connectTimeout is how long a connection may take to come about; after that the
// call goes to the next region, whatever it is.
const connectTimeout = 2 * time.Second

// Config says which deployment a client calls, and how.
type Config struct {
	// URLs are the regions of the deployment, nearest first, as
	// https://eu.meridian.example. A call goes to the nearest that answers.
	URLs []string
	// Token is an API token.
	Token string
	// Hedge is after how long without an answer a call that changes nothing is
	// also sent to the next region; the first answer is taken. Choose what only
	// one call in a hundred takes. 0 means never.
	Hedge time.Duration
}

// New returns a client for the deployment at url, as https://meridian.example,
// that calls with an API token.
func New(url, token string, options ...connect.ClientOption) *Client {
	return Open(Config{URLs: []string{url}, Token: token}, options...)
}

// Open returns a client for a deployment of several regions.
//
// A call that a region does not answer goes on to the next, within the deadline
// of its context: always if it changes nothing, and a change if its request has
// an idempotency key, as those of Client.Write have. A region that failed several
// times is left alone for a while. While there is another region, one gets half
// of the time that is left, 3 s without a deadline: give calls a deadline of
// several times what they take.
//
// When no region answers, the error is SERVICE_UNAVAILABLE or what the first one
// said, and OUTCOME_UNKNOWN of a change that may be made; "tried" of its Meta says
// how many of "regions" were asked.
func Open(c Config, options ...connect.ClientOption) *Client {
	regions := failover.New(failover.Options{URLs: c.URLs, Hedge: c.Hedge, LastResort: true})
	options = append([]connect.ClientOption{
		connect.WithInterceptors(regions, authorization(c.Token)),
		connect.WithCompressMinBytes(compressFrom),
	}, options...)
	transport := regions.HTTPClient(&http.Client{Transport: newTransport()})
	url := regions.URL()
	return &Client{
		Checks:        authzv1connect.NewCheckServiceClient(transport, url, options...),
		Lookups:       authzv1connect.NewLookupServiceClient(transport, url, options...),
		Relationships: authzv1connect.NewRelationshipServiceClient(transport, url, options...),
		Models:        authzv1connect.NewModelServiceClient(transport, url, options...),
		Roles:         authzv1connect.NewRoleServiceClient(transport, url, options...),
		Logs:          logv1connect.NewLogServiceClient(transport, url, options...),

		Organizations:   identityv1connect.NewOrganizationServiceClient(transport, url, options...),
		Users:           identityv1connect.NewUserServiceClient(transport, url, options...),
		Memberships:     identityv1connect.NewMembershipServiceClient(transport, url, options...),
		Groups:          identityv1connect.NewGroupServiceClient(transport, url, options...),
		ServiceAccounts: identityv1connect.NewServiceAccountServiceClient(transport, url, options...),
		Tokens:          identityv1connect.NewApiTokenServiceClient(transport, url, options...),
		Invitations:     identityv1connect.NewInvitationServiceClient(transport, url, options...),
		Domains:         identityv1connect.NewDomainServiceClient(transport, url, options...),
		Credentials:     identityv1connect.NewCredentialServiceClient(transport, url, options...),
		Authentications: identityv1connect.NewAuthenticationServiceClient(transport, url, options...),
		Migration:       identityv1connect.NewMigrationServiceClient(transport, url, options...),
		Clients:         sessionsv1connect.NewClientServiceClient(transport, url, options...),
		Trusts:          sessionsv1connect.NewTrustServiceClient(transport, url, options...),
		Sessions:        sessionsv1connect.NewSessionServiceClient(transport, url, options...),
		SigningKeys:     sessionsv1connect.NewKeyServiceClient(transport, url, options...),
		Themes:          sessionsv1connect.NewThemeServiceClient(transport, url, options...),
		Revocations:     sessionsv1connect.NewRevocationServiceClient(transport, url, options...),
		Activity:        auditv1connect.NewActivityServiceClient(transport, url, options...),
		silence:         defaultSilence,
	}
}

// newTransport speaks HTTP/1.1 and, over TLS, HTTP/2. It keeps as many
// connections as a busy backend has calls under way.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
	}
}

// authorization sends the token with every call.
type authorization string

func (a authorization) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set("Authorization", "Bearer "+string(a))
		behalf(ctx, req.Header())
		return next(ctx, req)
	}
}

func (a authorization) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(a))
		behalf(ctx, conn.RequestHeader())
		return conn
	}
}

func (a authorization) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
