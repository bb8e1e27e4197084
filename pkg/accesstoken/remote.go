package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/meridian-iam/meridian/pkg/jose"
)

const (
	// refreshEvery is how often keys are fetched. They are published long before they
	// sign.
	refreshEvery = time.Minute
	// missingEvery is how often they are fetched at most because a token names another.
	missingEvery = 10 * time.Second
	// retryEvery is how often they are fetched while there are none.
	retryEvery = time.Second
	// fetchTimeout bounds one fetch from one address.
	fetchTimeout = 3 * time.Second
	// maxSet bounds an answer, in bytes.
	maxSet = 64 << 10
)

// Remote has the keys that a JWK Set says, for processes that do not host the service
// which makes them. Run keeps them up to date.
//
// Whatever tokens name, there is at most one fetch in 10 s because of them. A set that
// cannot be had, or read, replaces nothing.
type Remote struct {
	// Host is what the service is asked for, where that is not the address: an issuer's,
	// by which the provider knows whose keys are meant. Set it before Run.
	Host string

	urls    []string
	client  *http.Client
	log     *slog.Logger
	clock   func() time.Time
	keys    atomic.Pointer[jose.Keys]
	fetched atomic.Int64
	missing chan struct{}
}

// NewRemote returns the keys at some addresses, of which the first that answers is
// believed, as https://sessions.internal:8443/.well-known/jwks.json. A nil client has
// the defaults of net/http; a nil log is silent and a nil clock time.Now.
func NewRemote(urls []string, client *http.Client, log *slog.Logger, clock func() time.Time) *Remote {
	own := http.Client{}
	if client != nil {
		own = *client
	}
	// Whoever may send us elsewhere could make us believe other keys.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if clock == nil {
		clock = time.Now
	}
	r := &Remote{urls: urls, client: &own, log: log, clock: clock, missing: make(chan struct{}, 1)}
	r.keys.Store(&jose.Keys{})
	return r
}

// Keys are the newest ones; none before the first fetch.
func (r *Remote) Keys() jose.Keys { return *r.keys.Load() }

// Fetched is when they were fetched; zero: never.
func (r *Remote) Fetched() time.Time {
	if at := r.fetched.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Missing asks for a fetch because a token names a key that is not there. It does not
// wait for it.
func (r *Remote) Missing(string) {
	select {
	case r.missing <- struct{}{}:
	default:
	}
}

// Run fetches until ctx ends. It returns nil.
func (r *Remote) Run(ctx context.Context) error {
	for {
		if err := r.Refresh(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "signing keys cannot be fetched", slog.Any("error", err))
		}
		if !r.wait(ctx) {
			return nil
		}
	}
}

// wait waits until it is time to fetch again; false: ctx ended.
func (r *Remote) wait(ctx context.Context) bool {
	every := refreshEvery
	if r.Keys().None() {
		every = retryEvery
	}
	due, early := time.NewTimer(every), time.NewTimer(missingEvery)
	defer due.Stop()
	defer early.Stop()
	var missing chan struct{} // nil before it counts
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due.C:
			return true
		case <-early.C:
			missing = r.missing
		case <-missing:
			return true
		}
	}
}

// Refresh fetches once, from the first address that has a set.
func (r *Remote) Refresh(ctx context.Context) error {
	var failed []error
	for _, url := range r.urls {
		keys, err := r.fetch(ctx, url)
		if err == nil {
			r.keys.Store(&keys)
			r.fetched.Store(r.clock().UnixNano())
			return nil
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (r *Remote) fetch(ctx context.Context, url string) (jose.Keys, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return jose.Keys{}, fmt.Errorf("fetch keys: %w", err)
	}
	if r.Host != "" {
		request.Host = r.Host
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := r.client.Do(request)
	if err != nil {
		return jose.Keys{}, fmt.Errorf("fetch keys: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return jose.Keys{}, fmt.Errorf("fetch keys from %s: status %d", url, answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxSet+1))
	if err != nil {
		return jose.Keys{}, fmt.Errorf("fetch keys: %w", err)
	}
	if len(text) > maxSet {
		return jose.Keys{}, fmt.Errorf("fetch keys from %s: the set is too large", url)
	}
	return jose.ParseOwn(string(text))
}
