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
package meridian

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"
)

// Client calls Meridian. It is safe for concurrent use.
type Client struct {
	Checks        authzv1connect.CheckServiceClient
	Lookups       authzv1connect.LookupServiceClient
	Relationships authzv1connect.RelationshipServiceClient
	Models        authzv1connect.ModelServiceClient
	Roles         authzv1connect.RoleServiceClient
	Organizations identityv1connect.OrganizationServiceClient
	Tokens        identityv1connect.ApiTokenServiceClient
	Logs          logv1connect.LogServiceClient
}

// compressFrom is the size in bytes from which messages are compressed: below
// it compression costs more than it saves.
const compressFrom = 1024

// New returns a client for the deployment at url, as https://meridian.example,
// that calls with an API token.
func New(url, token string, options ...connect.ClientOption) *Client {
	options = append([]connect.ClientOption{
		connect.WithInterceptors(authorization(token), retry{}),
		connect.WithCompressMinBytes(compressFrom),
	}, options...)
	transport := &http.Client{Transport: newTransport()}
	return &Client{
		Checks:        authzv1connect.NewCheckServiceClient(transport, url, options...),
		Lookups:       authzv1connect.NewLookupServiceClient(transport, url, options...),
		Relationships: authzv1connect.NewRelationshipServiceClient(transport, url, options...),
		Models:        authzv1connect.NewModelServiceClient(transport, url, options...),
		Roles:         authzv1connect.NewRoleServiceClient(transport, url, options...),
		Organizations: identityv1connect.NewOrganizationServiceClient(transport, url, options...),
		Tokens:        identityv1connect.NewApiTokenServiceClient(transport, url, options...),
		Logs:          logv1connect.NewLogServiceClient(transport, url, options...),
	}
}

// newTransport speaks HTTP/1.1 and, over TLS, HTTP/2. It keeps as many
// connections as a busy backend has calls under way.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
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
		return next(ctx, req)
	}
}

func (a authorization) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(a))
		return conn
	}
}

func (a authorization) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// retry repeats a call that may be repeated when the deployment was not
// reachable: twice at most, after a short and random pause.
type retry struct{}

const attempts = 3

func (retry) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		pause := 20 * time.Millisecond
		for attempt := 1; ; attempt++ {
			answer, err := next(ctx, req)
			if err == nil || attempt == attempts || !repeatable(req.Spec(), err) {
				return answer, err
			}
			timer := time.NewTimer(pause/2 + rand.N(pause))
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil, err
			case <-timer.C:
				pause *= 4
			}
		}
	}
}

func (retry) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (retry) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// repeatable says whether repeating the call can neither do harm nor be in
// vain. Changes carry an idempotency key, so they may be repeated too.
func repeatable(spec connect.Spec, err error) bool {
	return spec.IdempotencyLevel != connect.IdempotencyUnknown && connect.CodeOf(err) == connect.CodeUnavailable
}
