package logout

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

const (
	// maxBody is how much of an answer's body is read, and not looked at, so that the
	// connection can be used again.
	maxBody = 1 << 10
	// idle is how many connections to a client wait for the next call.
	idle = 4
)

// newClient sends to whom it may, or to this machine where that is what is registered. A
// redirect would carry the token elsewhere.
func newClient(o outbound.Options) *http.Client {
	o.MaxIdle = idle
	return &http.Client{
		Transport: byPlace{
			machine: outbound.Transport(outbound.Options{Judge: outbound.Loopback, Roots: o.Roots, MaxIdle: idle}),
			others:  outbound.Transport(o),
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// byPlace sends to this machine and to others on ways with rules of their own.
type byPlace struct{ machine, others *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t byPlace) RoundTrip(r *http.Request) (*http.Response, error) {
	if uri.Loopback(r.URL.String()) {
		return t.machine.RoundTrip(r)
	}
	return t.others.RoundTrip(r)
}

// CloseIdleConnections is what http.Client looks for.
func (t byPlace) CloseIdleConnections() {
	t.machine.CloseIdleConnections()
	t.others.CloseIdleConnections()
}

// post sends a logout token.
//
// Source: OpenID Connect Back-Channel Logout 1.0 section 2.5.
func (t *Teller) post(ctx context.Context, to, token string) logout.Answer {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	body := url.Values{"logout_token": {token}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return logout.Answer{Missing: logout.NoURI}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "Meridian")
	res, err := t.client.Do(req)
	if err != nil {
		return logout.Answer{Missing: missing(err)}
	}
	defer func() { _ = res.Body.Close() }() // nothing of it is looked at, and what is not read ends the connection
	_, _ = io.CopyN(io.Discard, res.Body, maxBody)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return logout.Answer{Status: res.StatusCode, Slow: true}
	}
	return logout.Answer{Status: res.StatusCode}
}

// missing is why there is no answer.
func missing(err error) logout.Missing {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, outbound.ErrAddress):
		return logout.Address
	case errors.Is(err, context.DeadlineExceeded):
		return logout.Timeout
	case errors.As(err, &certificate):
		return logout.Certificate
	default:
		return logout.Network
	}
}
