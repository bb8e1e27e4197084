// Package issuerkeys fetches the keys of the issuers that organizations trust about
// workloads, and keeps them.
package issuerkeys

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/outbound"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
)

const (
	// timeout bounds a fetch, discovery and keys together.
	timeout = 3 * time.Second
	// most is how many sources are kept: those used last.
	most = 1000
	// atOnce and ofOne are how many fetches run at a time, in all and for one organization,
	// so that none takes the places of the others with issuers that do not answer.
	atOnce = 64
	ofOne  = 4
)

// ErrUnavailable is returned when there are no keys, or only some that are too old, and no
// others can be had now.
var ErrUnavailable = errors.New("the issuer's keys cannot be fetched now")

// Options are what is needed to fetch.
type Options struct {
	// Transport are the rules for what is sent to issuers.
	Transport outbound.Options
	Clock     func() time.Time
	Logger    *slog.Logger
	Metrics   prometheus.Registerer // nil: nobody sees
}

// Inline are the keys that a trust has in itself.
//
// Errors: INVALID_FIELD (the field).
func Inline(field string, s *eventv1.TrustSettings) (jose.Keys, error) {
	if trust.IsSPIFFE(s.GetIssuer()) {
		return jose.ParseBundle(field, s.GetJwks())
	}
	return jose.ParseKeys(field, s.GetJwks())
}

// Keys are the keys of issuers. It may be used by several at once.
type Keys struct {
	Options

	client  *http.Client
	fetches *prometheus.CounterVec
	timeout time.Duration
	most    int

	mu   sync.Mutex
	kept map[trust.Source]*list.Element // of *source
	// recent has the source that was used last at its front.
	recent *list.List
	// running counts fetches by organization, and all of them.
	running map[string]int
	all     int
}

// source is what is kept of one.
type source struct {
	trust.Source

	state trust.Kept
	keys  jose.Keys
	// done is closed when the fetch that runs has ended; nil: none runs.
	done chan struct{}
}

// New returns keys, of which none is fetched yet.
func New(o Options) *Keys {
	return &Keys{
		Options: o, client: newClient(o.Transport), fetches: newFetches(o.Metrics), timeout: timeout, most: most,
		kept: map[trust.Source]*list.Element{}, recent: list.New(), running: map[string]int{},
	}
}

// Kept returns the keys of a source that are there, without fetching any.
func (k *Keys) Kept(of trust.Source) jose.Keys {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, there := k.kept[of]; there {
		if s := k.at(e); s.state.Good(k.Clock()) {
			return s.keys
		}
	}
	return jose.Keys{}
}

// Get returns the keys of a source for a token that names kid, or "". It fetches them for
// an organization when they are not there, are old, or do not have kid, as often as
// trust.Kept says; all who need the same at the same time wait for one fetch. Whoever
// calls it has looked at everything about the token that needs no key.
//
// Errors: ErrUnavailable; that of ctx.
func (k *Keys) Get(ctx context.Context, organization string, of trust.Source, kid string) (jose.Keys, error) {
	s, done := k.begin(ctx, organization, of, kid)
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return jose.Keys{}, ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !s.state.Good(k.Clock()) {
		return jose.Keys{}, ErrUnavailable
	}
	return s.keys, nil
}

// at is what is kept, as used last.
func (k *Keys) at(e *list.Element) *source {
	k.recent.MoveToFront(e)
	s, _ := e.Value.(*source) // there is nothing else in it
	return s
}

// find is what is kept of a source, which may be nothing yet.
func (k *Keys) find(of trust.Source) *source {
	if e, there := k.kept[of]; there {
		return k.at(e)
	}
	s := &source{Source: of}
	k.kept[of] = k.recent.PushFront(s)
	for k.recent.Len() > k.most {
		last := k.recent.Back()
		delete(k.kept, k.at(last).Source)
		k.recent.Remove(last)
	}
	return s
}

// begin begins a fetch, if one is due and there is a place for it. done is nil if nobody
// has to wait.
func (k *Keys) begin(ctx context.Context, organization string, of trust.Source, kid string) (s *source, done <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s = k.find(of)
	now, among := k.Clock(), kid == "" || s.keys.Has(kid)
	switch {
	case s.done != nil:
		return s, s.done
	case !s.state.Due(among, now):
		return s, nil
	case k.all >= atOnce || k.running[organization] >= ofOne:
		k.fetches.WithLabelValues(string(busy)).Inc()
		return s, nil
	}
	s.state, s.done = s.state.Begun(among, now), make(chan struct{})
	k.all++
	k.running[organization]++
	// Others may wait for it when whoever was first has gone.
	go k.run(context.WithoutCancel(ctx), organization, s)
	return s, s.done
}

// run fetches the keys of a source and notes what came of it.
func (k *Keys) run(ctx context.Context, organization string, s *source) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	got, out := k.fetch(ctx, s.Source)
	k.fetches.WithLabelValues(string(out)).Inc()
	if out != fetched {
		k.Logger.WarnContext(ctx, "keys of an issuer not fetched", slog.String("outcome", string(out)), slog.String("organization", organization),
			slog.String("issuer", s.Issuer), slog.String("uri", s.URI))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if out == fetched {
		s.keys, s.state = got.keys, s.state.Fetched(got.life, k.Clock())
	} else {
		s.state = s.state.Failed(k.Clock())
	}
	k.all--
	if k.running[organization]--; k.running[organization] == 0 {
		delete(k.running, organization)
	}
	close(s.done)
	s.done = nil
}
