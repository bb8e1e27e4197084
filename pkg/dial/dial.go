// Package dial makes the clients with which services call each other: deadline,
// the nearest region that answers (see package failover), credentials, trace, and
// typed errors.
package dial

import (
	"net"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/telemetry"
)

const (
	defaultDeadline = 3 * time.Second
	dialTimeout     = time.Second
	compressMin     = 1024
	maxMessageBytes = 16 << 20
	inProcess       = "http://in-process"
)

// Options say whom to call, and as whom.
type Options struct {
	// HTTPClient carries the calls; nil means one of its own.
	HTTPClient connect.HTTPClient
	// BaseURLs are http://host:port or https://host:port, one for each region,
	// nearest first; absent, with the HTTPClient of serve.Server.Client:
	// http://in-process.
	BaseURLs []string
	// Target names whom the client calls, in metrics; absent: the host of the
	// first of BaseURLs.
	Target string
	// Service is the calling service, such as "authz". Needed with Key.
	Service string
	// Key signs service tokens. The principal of the context, if there is one,
	// is passed on: the call is made in its name.
	Key *principal.ServiceKey
	// ForwardFrom is the region whose callers' calls are sent on to another one,
	// as they are; absent: calls in a caller's name are the service's own. With Key.
	ForwardFrom string
	// Token is sent as the bearer when there is no Key.
	Token secret.String
	// Deadline of a unary call whose context has none; absent: 3 s.
	Deadline time.Duration
	// Hedge is after how long without an answer a call without side effects is
	// also sent to the next region; absent: never. See failover.Options.
	Hedge time.Duration
	// Once, Failures and Pause are as in failover.Options.
	Once     bool
	Failures uint32
	Pause    time.Duration
	// Telemetry; nil means none.
	Telemetry *telemetry.Telemetry
}

// Client is what generated constructors take:
//
//	c := dial.New(…)
//	identityv1connect.NewApiTokenServiceClient(c.HTTP, c.BaseURL, c.Options...)
//
// Every error of a call is a *fault.Fault. Reading a stream to its end still
// gives io.EOF where connect says so.
type Client struct {
	HTTP    connect.HTTPClient
	BaseURL string
	Options []connect.ClientOption
}

// New makes a client. All services that are called through one client share
// its breakers and its retry budget, so make one for each target.
func New(o Options) *Client {
	if len(o.BaseURLs) == 0 {
		o.BaseURLs = []string{inProcess}
	}
	if o.Target == "" {
		o.Target = hostOf(o.BaseURLs[0])
	}
	if o.Telemetry == nil {
		o.Telemetry = telemetry.Discard()
	}
	if o.HTTPClient == nil {
		o.HTTPClient = newHTTPClient()
	}
	if o.Deadline <= 0 {
		o.Deadline = defaultDeadline
	}
	counted := newMetrics(o.Target, o.Telemetry.Registry)
	regions := failover.New(failover.Options{
		URLs: o.BaseURLs, Hedge: o.Hedge, Once: o.Once, Failures: o.Failures, Pause: o.Pause,
		Repeated: counted.repetitions.Inc, Paused: counted.pause,
	})
	interceptors := []connect.Interceptor{translator{}, deadliner{o.Deadline}, regions}
	if tracer := newTracer(o.Telemetry); tracer != nil {
		interceptors = append(interceptors, tracer)
	}
	interceptors = append(interceptors, newCredentials(o))
	return &Client{HTTP: regions.HTTPClient(o.HTTPClient), BaseURL: o.BaseURLs[0], Options: []connect.ClientOption{
		connect.WithInterceptors(interceptors...),
		connect.WithCompressMinBytes(compressMin),
		connect.WithReadMaxBytes(maxMessageBytes),
	}}
}

// newTracer never fails without metrics; without a tracer there are no traces.
func newTracer(t *telemetry.Telemetry) connect.Interceptor {
	interceptor, err := otelconnect.NewInterceptor(
		otelconnect.WithTracerProvider(t.Tracer),
		otelconnect.WithPropagator(t.Propagator),
		otelconnect.WithoutMetrics(),
	)
	if err != nil {
		return nil
	}
	return interceptor
}

func newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			ForceAttemptHTTP2:   true,
			TLSHandshakeTimeout: dialTimeout,
			MaxIdleConnsPerHost: 256,
			IdleConnTimeout:     90 * time.Second,
			HTTP2:               &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		},
		// A redirect would carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func hostOf(base string) string {
	parsed, err := url.Parse(base)
	if err != nil || parsed.Host == "" {
		return "unknown"
	}
	return parsed.Host
}
