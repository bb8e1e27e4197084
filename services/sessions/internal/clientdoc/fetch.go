package clientdoc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/outbound"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

// newHTTP calls the public internet, and the networks that the operator names. A
// redirect would lead to another URL than the one that is the client's id. No connection
// waits for another call: there are many hosts, and few calls.
//
// Source: draft-ietf-oauth-client-id-metadata-document, Client Information Discovery and
// Server Side Request Forgery (SSRF) Attacks.
func newHTTP(o outbound.Options) *http.Client {
	o.MaxConns = atOnceOfHost
	transport := outbound.Transport(o)
	transport.DisableKeepAlives = true
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch fetches a document, and says how long it is good.
//
// Errors: *Error; SERVICE_UNAVAILABLE for what may pass by itself.
//
// Source: draft-ietf-oauth-client-id-metadata-document, Client Information Discovery.
func (d *Documents) fetch(ctx context.Context, url string) (*eventv1.ClientSettings, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, &Error{"its URL cannot be called"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Meridian")
	res, err := d.http.Do(req)
	if err != nil {
		return nil, 0, failed(err)
	}
	defer func() { _ = res.Body.Close() }() // what is not read ends the connection
	switch {
	case res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		return nil, 0, unavailable()
	case res.StatusCode >= http.StatusMultipleChoices && res.StatusCode < http.StatusBadRequest:
		return nil, 0, &Error{"its server redirects, which is not followed"}
	case res.StatusCode != http.StatusOK:
		return nil, 0, &Error{"its server does not answer with the status 200"}
	case !isJSON(res.Header):
		return nil, 0, &Error{"its Content-Type must be application/json, without a Content-Encoding"}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err == nil {
		err = ctx.Err() // what ends then may be cut off where it looks whole
	}
	if err != nil {
		return nil, 0, failed(err)
	}
	settings, err := Parse(url, body, d.offered)
	if f, ok := fault.As(err); ok {
		return nil, 0, &Error{strings.TrimPrefix(f.Detail, "settings.")}
	}
	if err != nil {
		return nil, 0, err
	}
	life := client.Freshness{
		Control: res.Header.Values("Cache-Control"), Age: res.Header.Get("Age"), Date: res.Header.Get("Date"), Expires: res.Header.Get("Expires"),
	}.Life()
	return settings, life, nil
}

// isJSON says whether an answer is JSON as it is.
func isJSON(header http.Header) bool {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	is := kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")
	return err == nil && is && header.Get("Content-Encoding") == ""
}

// failed says what is wrong where there was no whole answer.
func failed(err error) error {
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case errors.Is(err, outbound.ErrAddress):
		return &Error{"its host is none of the public internet"}
	case errors.As(err, &certificate):
		return &Error{"its server has no certificate that is trusted"}
	case errors.As(err, &name) && name.IsNotFound:
		return &Error{"its host is not known"}
	default:
		return unavailable().Because(err)
	}
}
