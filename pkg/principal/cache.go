package principal

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// CacheConfig bounds a Cache.
type CacheConfig struct {
	// Upstream knows the truth. Required.
	Upstream Verifier
	// TTL is how long an answer is used without asking; absent: 10 s.
	TTL time.Duration
	// StaleFor is how long an answer is used while the upstream cannot answer,
	// since it was last confirmed; absent: 15 min.
	StaleFor time.Duration
	// Deadline of one question to the upstream; absent: 2 s.
	Deadline time.Duration
	// Size is the most tokens that are kept; absent: 100,000.
	Size int
	// Metrics; nil means none.
	Metrics prometheus.Registerer
	// Clock; nil means time.Now.
	Clock func() time.Time
}

const (
	// rejectedTTL is how long a refusal is remembered: a token may be new.
	rejectedTTL = time.Second
	// outagePause is how long a stale answer is used before the upstream is
	// asked again, so that an outage does not slow every call down.
	outagePause = time.Second
	// maxFlights is the most questions to the upstream at once. A flood of
	// made-up tokens must not become a flood of calls.
	maxFlights = 256
	// maxAsked is how often one flight asks.
	maxAsked = 3
	// knownFlights more are for tokens that were valid before.
	knownFlights = 64
)

// tokenHash stands for a token in memory.
type tokenHash [sha256.Size]byte

// Cache is a Verifier that remembers what another one said. Tokens are kept as
// their SHA-256 only.
//
// While the upstream is unavailable, tokens that it confirmed within StaleFor go
// on working; revocations still arrive through Drop.
type Cache struct {
	config  CacheConfig
	entries *entries
	flights chan struct{}
	known   chan struct{}
	stale   prometheus.Counter
	asked   prometheus.Counter
}

// NewCache makes a cache. It panics when there is no upstream.
func NewCache(c CacheConfig) *Cache {
	if c.Upstream == nil {
		panic("principal: a cache needs an upstream")
	}
	preset(&c.TTL, 10*time.Second)
	preset(&c.StaleFor, 15*time.Minute)
	preset(&c.Deadline, 2*time.Second)
	preset(&c.Size, 100_000)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	cache := &Cache{
		config: c, entries: newEntries(c.Size), flights: make(chan struct{}, maxFlights), known: make(chan struct{}, knownFlights),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_tokens_stale_total",
			Help: "Tokens that were accepted from the cache while their verifier was unavailable.",
		}),
		asked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_tokens_asked_total",
			Help: "Questions to the verifier behind the cache.",
		}),
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(cache.stale, cache.asked)
	}
	return cache
}

func preset[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}

// Verify implements Verifier. One question per token is asked at a time, with a
// deadline of its own; all callers share the answer.
func (c *Cache) Verify(ctx context.Context, bearer secret.String) (Principal, error) {
	key := tokenHash(sha256.Sum256([]byte(bearer.Reveal())))
	now := c.config.Clock()
	found, mine := c.entries.lookup(key, func(e *entry) bool { return c.usable(e, now) })
	if found.answered {
		return c.answer(found, now)
	}
	if mine {
		go c.ask(context.WithoutCancel(ctx), key, bearer, found.flight)
	}
	select {
	case <-found.flight.done:
		return found.flight.principal, found.flight.err
	case <-ctx.Done():
		return Principal{}, fmt.Errorf("verify token: %w", context.Cause(ctx))
	}
}

// Known returns whose token this is when it was confirmed within the TTL. It asks
// nobody and never waits.
func (c *Cache) Known(bearer secret.String) (Principal, bool) {
	now := c.config.Clock()
	kept, ok := c.entries.young(tokenHash(sha256.Sum256([]byte(bearer.Reveal()))), now, c.config.TTL)
	if !ok || expired(kept, now) {
		return Principal{}, false
	}
	return kept, true
}

// usable says whether an entry answers without a question.
func (c *Cache) usable(e *entry, now time.Time) bool {
	if e.err != nil {
		return now.Sub(e.confirmed) < rejectedTTL
	}
	return expired(e.principal, now) || now.Sub(e.confirmed) < c.config.TTL ||
		now.Before(e.pauseUntil) && now.Sub(e.confirmed) < c.config.StaleFor
}

func (c *Cache) answer(e lookedUp, now time.Time) (Principal, error) {
	switch {
	case e.err != nil:
		return Principal{}, e.err
	case expired(e.principal, now):
		return Principal{}, rejected()
	case now.Sub(e.confirmed) >= c.config.TTL:
		c.stale.Inc()
	}
	return e.principal, nil
}

func expired(p Principal, now time.Time) bool {
	return !p.Expires.IsZero() && !now.Before(p.Expires)
}

// ask asks the upstream and lands the flight.
func (c *Cache) ask(ctx context.Context, key tokenHash, bearer secret.String, f *flight) {
	defer close(f.done)
	lane := c.flights
	if c.remembers(key) {
		lane = c.known
	}
	select {
	case lane <- struct{}{}:
		defer func() { <-lane }()
	default:
		// A flood of made-up tokens must not shut out those that are known.
		full := fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "too many tokens are being verified").Retry(outagePause)
		f.principal, f.err = c.survive(key, full, c.config.Clock())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Deadline)
	defer cancel()
	p, err := c.askUpstream(ctx, bearer, f)
	now := c.config.Clock()
	switch {
	case err == nil:
		f.principal, f.err = c.entries.confirm(key, p, now)
		if f.err == nil && expired(p, now) {
			f.principal, f.err = Principal{}, rejected()
		}
	case final(err):
		f.err = err
		c.entries.refuse(key, err, now)
	default:
		f.principal, f.err = c.survive(key, err, now)
	}
}

// askUpstream asks again when something was forgotten meanwhile: the answer may be
// from before.
func (c *Cache) askUpstream(ctx context.Context, bearer secret.String, f *flight) (p Principal, err error) {
	for range maxAsked {
		c.entries.depart(f)
		c.asked.Inc()
		p, err = upstream(ctx, c.config.Upstream, bearer)
		if err != nil || !c.entries.overtaken(f) {
			break
		}
	}
	return p, err
}

// survive answers from the entry while the upstream is away.
func (c *Cache) survive(key tokenHash, err error, now time.Time) (Principal, error) {
	kept, ok := c.entries.pause(key, now, c.config.StaleFor, outagePause)
	if !ok || expired(kept, now) {
		return Principal{}, unavailable(err)
	}
	c.stale.Inc()
	return kept, nil
}

// Remembers says, without a question, whether Verify would accept this token
// while its verifier is away. Whoever limits guesses leaves such a token alone.
func (c *Cache) Remembers(bearer secret.String) bool {
	return c.remembers(tokenHash(sha256.Sum256([]byte(bearer.Reveal()))))
}

func (c *Cache) remembers(key tokenHash) bool {
	now := c.config.Clock()
	kept, ok := c.entries.young(key, now, c.config.StaleFor)
	return ok && !expired(kept, now)
}

// Drop forgets a revoked token for good. Call it for each revocation event.
func (c *Cache) Drop(tokenID string) { c.entries.drop(tokenID) }

// Forget forgets a token, or all tokens of an organization or of a service account, so
// that they are asked about anew, even those that are being asked about. Call it for each event that
// changes what they may do, in either direction.
func (c *Cache) Forget(id string) { c.entries.forget(id) }

func upstream(ctx context.Context, v Verifier, bearer secret.String) (p Principal, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("token verifier panicked: %T", value)
		}
	}()
	return v.Verify(ctx, bearer)
}

// final says whether a refusal is about the token, and not about the verifier.
func final(err error) bool {
	return fault.Is(err, commonv1.Reason_TOKEN_REJECTED) || fault.Is(err, commonv1.Reason_TOKEN_MALFORMED)
}

func unavailable(err error) error {
	if f, ok := fault.As(err); ok && f.Kind == fault.Unavailable {
		return err
	}
	return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
		"the token cannot be verified right now").Retry(outagePause).Because(err)
}
