package serve

import (
	"sync"
	"time"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// guesses limits tokens that are refused, by remote address: a flood of made-up
// tokens does not reach the verifier.
type guesses struct{ refused *buckets }

// rememberer is a verifier that knows, without a question, tokens that are fine.
type rememberer interface {
	Remembers(bearer secret.String) bool
}

// allow says whether the verifier may be asked. Tokens that it remembers are
// always allowed, since they may share an address with a guesser.
func (g *guesses) allow(verifier any, bearer secret.String, address string) error {
	said := g.refused.peek(address)
	if said.ok || address == "" {
		return nil
	}
	if known, ok := verifier.(rememberer); ok && known.Remembers(bearer) {
		return nil
	}
	return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "too many tokens were refused").Retry(max(said.wait, time.Millisecond))
}

// count counts a verifier's answer.
func (g *guesses) count(err error, address string) {
	if f, ok := fault.As(err); ok && f.Kind == fault.Unauthenticated && address != "" {
		g.refused.take(address)
	}
}

const (
	// sampleEvery is how often refusals of one address get a line in the log.
	sampleEvery = time.Second
	// maxSampled is how many addresses are told apart.
	maxSampled = 10_000
)

// sampler thins out the lines about refused callers.
type sampler struct {
	clock func() time.Time

	mu     sync.Mutex
	byAddr map[string]*sampled
}

type sampled struct {
	at      time.Time
	omitted int
}

// sample says whether to write a line, and how many were omitted since the last.
func (s *sampler) sample(address string) (omitted int, line bool) {
	if address == "" {
		return 0, true
	}
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if of, ok := s.byAddr[address]; ok {
		if now.Sub(of.at) < sampleEvery {
			of.omitted++
			return 0, false
		}
		omitted, of.at, of.omitted = of.omitted, now, 0
		return omitted, true
	}
	if len(s.byAddr) >= maxSampled || s.byAddr == nil {
		s.byAddr = make(map[string]*sampled)
	}
	s.byAddr[address] = &sampled{at: now}
	return 0, true
}
