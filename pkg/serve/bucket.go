package serve

import (
	"container/list"
	"math"
	"sync"
	"time"
)

// maxBuckets is how many callers a set remembers. Who is forgotten starts with
// a full bucket, so this is large.
const maxBuckets = 100_000

// buckets are the token buckets of one budget, by principal or organization.
type buckets struct {
	rate  Rate
	clock func() time.Time

	mu     sync.Mutex
	byKey  map[string]*list.Element
	recent *list.List // of *bucket, the latest used first
}

type bucket struct {
	key    string
	tokens float64
	at     time.Time
}

// verdict is what a bucket said.
type verdict struct {
	ok        bool
	remaining int
	// wait is when one more call is allowed.
	wait time.Duration
}

func newBuckets(rate Rate, clock func() time.Time) *buckets {
	return &buckets{rate: rate, clock: clock, byKey: make(map[string]*list.Element), recent: list.New()}
}

// take takes one token from a key's bucket.
func (b *buckets) take(key string) verdict {
	if b.rate.PerSecond < 0 {
		return verdict{ok: true, remaining: math.MaxInt32}
	}
	now := b.clock()
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.bucket(key, now)
	elapsed := now.Sub(mine.at).Seconds()
	if elapsed > 0 {
		mine.tokens = min(float64(b.rate.Burst), mine.tokens+elapsed*b.rate.PerSecond)
		mine.at = now
	}
	if mine.tokens < 1 {
		return verdict{wait: time.Duration((1 - mine.tokens) / b.rate.PerSecond * float64(time.Second))}
	}
	mine.tokens--
	return verdict{ok: true, remaining: int(mine.tokens)}
}

// giveBack puts one token back that was taken.
func (b *buckets) giveBack(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if element, ok := b.byKey[key]; ok {
		mine := element.Value.(*bucket) //nolint:forcetypeassert // the list holds buckets only
		mine.tokens = min(float64(b.rate.Burst), mine.tokens+1)
	}
}

// peek says what take would say, and takes nothing.
func (b *buckets) peek(key string) verdict {
	if b.rate.PerSecond < 0 {
		return verdict{ok: true, remaining: math.MaxInt32}
	}
	now := b.clock()
	b.mu.Lock()
	defer b.mu.Unlock()
	element, ok := b.byKey[key]
	if !ok {
		return verdict{ok: true, remaining: b.rate.Burst}
	}
	mine := element.Value.(*bucket) //nolint:forcetypeassert // the list holds buckets only
	tokens := min(float64(b.rate.Burst), mine.tokens+max(0, now.Sub(mine.at).Seconds())*b.rate.PerSecond)
	if tokens < 1 {
		return verdict{wait: time.Duration((1 - tokens) / b.rate.PerSecond * float64(time.Second))}
	}
	return verdict{ok: true, remaining: int(tokens)}
}

func (b *buckets) bucket(key string, now time.Time) *bucket {
	if element, ok := b.byKey[key]; ok {
		b.recent.MoveToFront(element)
		return element.Value.(*bucket) //nolint:forcetypeassert // the list holds buckets only
	}
	if b.recent.Len() >= maxBuckets {
		oldest := b.recent.Back()
		delete(b.byKey, oldest.Value.(*bucket).key) //nolint:forcetypeassert // the list holds buckets only
		b.recent.Remove(oldest)
	}
	added := &bucket{key: key, tokens: float64(b.rate.Burst), at: now}
	b.byKey[key] = b.recent.PushFront(added)
	return added
}
