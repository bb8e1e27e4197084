package target

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// newTransport keeps one connection open for each worker; over HTTP/2 all of
// them share one.
func newTransport(http2 bool, connections int) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Transport{
		Protocols:           protocols,
		MaxIdleConnsPerHost: connections + 1,
		IdleConnTimeout:     time.Minute,
		// Answers are small: asking for gzip costs more than it saves.
		DisableCompression: true,
	}
}

// tripper is a [connect.HTTPClient] without redirects and cookies.
type tripper struct{ http.RoundTripper }

// Do implements [connect.HTTPClient].
func (t tripper) Do(r *http.Request) (*http.Response, error) { return t.RoundTrip(r) }

// bearer sends the token with every call.
type bearer struct{ header string }

func newBearer(token secret.String) bearer { return bearer{header: "Bearer " + token.Reveal()} }

// WrapUnary implements [connect.Interceptor].
func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		r.Header().Set("Authorization", b.header)
		return next(ctx, r)
	}
}

// WrapStreamingClient implements [connect.Interceptor].
func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, s connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, s)
		conn.RequestHeader().Set("Authorization", b.header)
		return conn
	}
}

// WrapStreamingHandler implements [connect.Interceptor].
func (bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
