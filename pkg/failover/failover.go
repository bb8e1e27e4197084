// Package failover sends the calls of a Connect client to the nearest region
// that answers.
//
// A call goes to the nearest region that is not paused. Where that one is
// unavailable, refuses the connection, cuts it, or takes too long, the call goes
// on to the next, if that is safe:
//
//   - a call that never left may always go on;
//   - a call without side effects may;
//   - a change may if its procedure is declared idempotent and its idempotency
//     key is not empty: the regions are one deployment, and know the key.
//
// Every other error is an answer, and answers are given to the caller.
//
// Three things keep a lost region from harming the others or the caller. A
// region that failed five times in a row, or half of the time, is paused for two
// seconds; then one call tries it. Reads and changes are paused on their own,
// because a region that is cut off answers reads and refuses changes. Every
// repetition is paid from a budget, which a call fills by a tenth and a second
// by one. And while there is another region to go to, one attempt gets half of
// the time that is left.
package failover

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// Options say where the regions are.
type Options struct {
	// URLs are the base URLs of the regions, as https://host:port, nearest first.
	// That of a single region may have a path.
	URLs []string
	// Hedge is after how long without an answer a call without side effects is
	// also sent to the next region; the first answer is taken. Choose what only
	// one call in a hundred takes: a region that is slower again and again is
	// paused as one that fails. 0 means never.
	Hedge time.Duration
	// Once sends a call to one region once, whatever comes of it: for callers that
	// have a way of their own when a region does not answer.
	Once bool
	// Failures in a row pause a region; 0 means 5. Pause is for how long; 0 means 2 s.
	Failures uint32
	Pause    time.Duration
	// LastResort sends a call to the nearest region when all are paused, instead
	// of refusing it.
	LastResort bool
	// Repeated, if not nil, is told of every repetition and hedge.
	Repeated func()
	// Paused, if not nil, is told when calls to a region are paused, and when
	// they are not any more; kind is "reads" or "changes".
	Paused func(url, kind string, paused bool)
}

// Regions are the places that a client calls. It is a connect.Interceptor, which
// chooses the region of every attempt; the client of HTTPClient sends it there,
// so both are needed. Interceptors after it see each attempt on its own.
type Regions struct {
	options Options
	regions []*region
	budget  budget
	// broken is what every call is answered with when Options are of no use.
	broken error
}

// New returns the regions. As with connect.NewClient, a URL that is none is an
// error of every call: invalid_argument.
func New(o Options) *Regions {
	if o.Repeated == nil {
		o.Repeated = func() {}
	}
	if o.Paused == nil {
		o.Paused = func(string, string, bool) {}
	}
	if o.Failures == 0 {
		o.Failures = consecutive
	}
	if o.Pause == 0 {
		o.Pause = pausedFor
	}
	r := &Regions{options: o, budget: budget{saved: budgetMost}}
	for _, base := range o.URLs {
		parsed, err := url.Parse(base)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" ||
			len(o.URLs) > 1 && strings.Trim(parsed.Path, "/") != "" {
			r.broken = useless(fmt.Sprintf("%q is not https://host:port", base))
			continue
		}
		r.regions = append(r.regions, newRegion(parsed, o))
	}
	if len(o.URLs) == 0 {
		r.broken = useless("at least one is needed")
	}
	return r
}

func useless(detail string) error {
	return faultconnect.ToConnect(fault.Field("urls", "url", detail))
}

// URL is the base URL for constructors of connect clients: that of the nearest
// region.
func (r *Regions) URL() string {
	if len(r.options.URLs) == 0 {
		return nowhere
	}
	return r.options.URLs[0]
}

// nowhere is a URL that connect takes, so that its clients say what is wrong.
const nowhere = "http://nowhere.invalid"

// HTTPClient returns the client that sends each attempt to its region, through
// next.
func (r *Regions) HTTPClient(next connect.HTTPClient) connect.HTTPClient { return router{next} }

// router sends requests where their context says.
type router struct{ next connect.HTTPClient }

// Do implements connect.HTTPClient. It leaves the request as it is: when an
// attempt is given up, the transport may go on reading its copy while connect
// writes the next one's headers.
func (t router) Do(request *http.Request) (*http.Response, error) {
	way, ok := request.Context().Value(wayKey{}).(way)
	if !ok {
		return t.next.Do(request)
	}
	request = request.Clone(request.Context())
	request.URL.Scheme, request.URL.Host, request.Host = way.url.Scheme, way.url.Host, way.url.Host
	if way.leaves != nil {
		way.leaves()
	}
	return t.next.Do(request)
}

type wayKey struct{}

// way is where an attempt goes.
type way struct {
	url *url.URL
	// leaves, if not nil, is called when the request is given to the transport.
	leaves func()
}

func (w way) in(ctx context.Context) context.Context { return context.WithValue(ctx, wayKey{}, w) }
