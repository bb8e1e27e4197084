package issuerkeys

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
)

// outcome is what came of a fetch.
type outcome string

// What comes of fetches. All but the first leave what is kept as it is.
const (
	fetched     outcome = "fetched"
	address     outcome = "address"     // it is not one that anything is sent to
	certificate outcome = "certificate" // nobody who is trusted says that it is the issuer's
	late        outcome = "timeout"
	network     outcome = "network"
	status      outcome = "status" // the answer is not 200; a redirect is not
	content     outcome = "content"
	discovery   outcome = "discovery" // what the issuer says of itself is not that
	malformed   outcome = "keys"
	busy        outcome = "busy" // others are fetched; it was not tried
)

func newFetches(registry prometheus.Registerer) *prometheus.CounterVec {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_sessions_issuer_key_fetches_total", Help: "Fetches of the keys of issuers that trusts are about, by what came of them.",
	}, []string{"outcome"})
	for _, o := range []outcome{fetched, address, certificate, late, network, status, content, discovery, malformed, busy} {
		total.WithLabelValues(string(o))
	}
	if registry != nil {
		registry.MustRegister(total)
	}
	return total
}

// newClient follows no redirect: what is trusted is named.
func newClient(o outbound.Options) *http.Client {
	o.MaxIdle = 1
	return &http.Client{
		Transport:     outbound.Transport(o),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// set are keys, and how long they are good.
type set struct {
	keys jose.Keys
	life time.Duration
}

// fetch fetches the keys of a source, from where its issuer says that they are.
func (k *Keys) fetch(ctx context.Context, from trust.Source) (got set, out outcome) {
	defer func() { // strangers write what is read here, and no request is there to fail
		if p := recover(); p != nil {
			k.Logger.ErrorContext(ctx, "reading the keys of an issuer failed", slog.Any("panic", p))
			got, out = set{}, malformed
		}
	}()
	at := from.URI
	if at == "" {
		text, _, out := k.get(ctx, trust.ConfigurationURI(from.Issuer))
		if out != fetched {
			return set{}, out
		}
		var said trust.Configuration
		if jose.Claims(text, &said) != nil || !said.Of(from.Issuer) {
			return set{}, discovery
		}
		at = said.KeysURI
	}
	text, header, out := k.get(ctx, at)
	if out != fetched {
		return set{}, out
	}
	parse := jose.ParseFetched
	if from.Bundle {
		parse = jose.ParseFetchedBundle
	}
	keys, err := parse(string(text))
	if err != nil {
		return set{}, malformed
	}
	return set{keys, trust.Life(header.Values("Cache-Control"))}, fetched
}

// get reads a document of JSON.
func (k *Keys) get(ctx context.Context, at string) ([]byte, http.Header, outcome) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, nil, network
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("User-Agent", "Meridian")
	res, err := k.client.Do(req)
	if err != nil {
		return nil, nil, missing(err)
	}
	defer func() { _ = res.Body.Close() }() // what was not read ends the connection
	switch {
	case res.StatusCode != http.StatusOK:
		return nil, nil, status
	case !trust.JSON(res.Header.Get("Content-Type")):
		return nil, nil, content
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, jose.MaxFetched+1))
	switch {
	case ctx.Err() != nil: // what ends then may be cut off where it looks whole
		return nil, nil, missing(ctx.Err())
	case err != nil:
		return nil, nil, missing(err)
	case len(body) > jose.MaxFetched:
		return nil, nil, content
	}
	return body, res.Header, fetched
}

// missing is why there is no answer.
func missing(err error) outcome {
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(err, outbound.ErrAddress):
		return address
	case errors.Is(err, context.DeadlineExceeded):
		return late
	case errors.As(err, &untrusted):
		return certificate
	default:
		return network
	}
}
