package dial

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// ownTokenUse is how long a service's own token is used; it lives 60 s.
const ownTokenUse = 30 * time.Second

// credentials sends who calls: a service token, or a fixed bearer.
type credentials struct {
	service string
	from    string // as Options.ForwardFrom
	key     *principal.ServiceKey
	token   secret.String

	mu  sync.Mutex
	own map[string]ownToken // by audience
}

type ownToken struct {
	token secret.String
	until time.Time
}

func newCredentials(o Options) *credentials {
	return &credentials{service: o.Service, from: o.ForwardFrom, key: o.Key, token: o.Token, own: make(map[string]ownToken)}
}

// WrapUnary implements connect.Interceptor.
func (c *credentials) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if err := c.set(ctx, request.Spec(), request.Header()); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (c *credentials) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		stream := next(ctx, spec)
		if err := c.set(ctx, spec, stream.RequestHeader()); err != nil {
			return failover.Refused(spec, err)
		}
		return stream
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (*credentials) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (c *credentials) set(ctx context.Context, spec connect.Spec, header http.Header) error {
	token := c.token
	if c.key != nil {
		minted, err := c.mint(ctx, spec)
		if err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
		token = minted
	}
	if !token.IsZero() {
		header["Authorization"] = []string{"Bearer " + token.Reveal()}
	}
	return nil
}

func (c *credentials) mint(ctx context.Context, spec connect.Spec) (secret.String, error) {
	audience, _, _ := strings.Cut(strings.TrimPrefix(spec.Procedure, "/"), "/")
	caller, ok := principal.From(ctx)
	switch {
	case ok && c.from != "":
		return c.key.Forward(c.service, c.from, audience, caller)
	case ok:
		return c.key.Mint(c.service, audience, &caller)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if kept, ok := c.own[audience]; ok && now.Before(kept.until) {
		return kept.token, nil
	}
	token, err := c.key.Mint(c.service, audience, nil)
	if err != nil {
		return secret.String{}, fmt.Errorf("own token: %w", err)
	}
	c.own[audience] = ownToken{token, now.Add(ownTokenUse)}
	return token, nil
}
