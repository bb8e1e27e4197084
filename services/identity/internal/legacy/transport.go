package legacy

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/outbound"
)

const (
	// MaxURL is the length of the longest URL, in bytes.
	MaxURL = 512

	// maxConns is how many calls a checker has at a time; others wait for one.
	maxConns = 64
)

// Options are what a Checker needs. The zero Options are good ones.
type Options struct {
	// Roots are whom the checkers' certificates must come from; nil means those that
	// the system trusts.
	Roots *x509.CertPool
	Clock func() time.Time // nil means time.Now
	// Metrics counts checks by source and outcome; nil: nobody sees.
	Metrics prometheus.Registerer
}

// New returns a Checker.
func New(o Options) *Checker {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	c := &Checker{
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_identity_legacy_checks_total",
			Help: "Passwords that sources were asked about: accepted, rejected, unavailable, paused after failures, left by the caller.",
		}, []string{"source", "outcome"}),
		clock: o.Clock,
		client: &http.Client{
			Transport: bySecurity{plain: newTransport(o, outbound.Loopback), encrypted: newTransport(o, outbound.NotLinkLocal)},
			// A redirect would carry the password elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		breakers: map[string]breaker{},
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(c.asked)
	}
	return c
}

// bySecurity sends http and https on ways with rules of their own.
type bySecurity struct{ plain, encrypted *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t bySecurity) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return t.encrypted.RoundTrip(r)
	}
	return t.plain.RoundTrip(r)
}

func newTransport(o Options, judge func(netip.Addr) error) *http.Transport {
	return outbound.Transport(outbound.Options{Judge: judge, Roots: o.Roots, MaxConns: maxConns, MaxIdle: maxConns / 8})
}

// CheckURL says whether a URL can be a checker's: https, or http on localhost or a
// loopback address, with a host, without user information and fragment.
//
// Errors: INVALID_FIELD (checker_url: max_length, url, scheme, host, user_info,
// fragment). None quotes the URL.
func CheckURL(text string) error {
	if len(text) > MaxURL {
		return invalid("max_length", "must have at most 512 bytes")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "":
		return invalid("url", "must be a URL, as https://console.example.com/check")
	case u.Scheme != "https" && u.Scheme != "http":
		return invalid("scheme", "must begin with https://")
	case u.Hostname() == "":
		return invalid("host", "must have a host")
	case u.User != nil:
		return invalid("user_info", "must have no user and password: calls are signed")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return invalid("fragment", "must have no fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return invalid("scheme", "must begin with https://; http is for this machine only")
	}
	return nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

func invalid(rule, detail string) error { return fault.Field("checker_url", rule, detail) }
