// Package legacy asks the systems that users were imported from whether a password
// is right, at the first sign-in of a user who came without one.
//
// The source's checker is sent one POST of a JSON object,
//
//	{"source": "legacy-console", "external_id": "4711", "email": "ada@example.com", "password": "…"}
//
// with the header
//
//	Meridian-Signature: t=1762000000,v1=<64 hexadecimal digits>,v1=<…>
//
// t is when it was signed, in seconds since 1970. Each v1 is the HMAC-SHA-256 of the
// digits of t, a dot, and the body as it was sent; the key is the text of the
// source's secret, as PutSource returned it, byte for byte. There is one v1 for the
// newest secret and, once a new one was made, one for the secret before it. The
// checker must refuse a call with no v1 of its secret, and one whose t is more than
// five minutes from its own clock: else whoever recorded a call can make it again.
//
// The answer is status 200 with {"ok": true} or {"ok": false} and nothing else.
// Whatever else comes back is no verdict, and says nothing about the password.
//
// # Where calls go
//
// A checker's URL is set by the platform's administrators, and is usually inside
// their own network: private addresses are allowed. Not allowed are link-local ones,
// where clouds serve their machines' credentials, and http but to this machine. What
// a name resolves to is judged when the connection is made.
package legacy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

const (
	// Limit is how long a checker has to answer, from the first look for its address
	// to the last byte.
	Limit = 2 * time.Second

	// maxAnswer is the size of the largest answer that is read, in bytes.
	maxAnswer = 4 << 10
	// pause is for how long a checker that fails is left alone. Then one call tries it.
	pause = 10 * time.Second
	// consecutive failures bring the pause about, as does half of at least windowCalls
	// within the window.
	consecutive = 5
	windowCalls = 20
	window      = 10 * time.Second
)

// Verdict is what a checker says of a password. The zero Verdict is none.
type Verdict uint8

// The verdicts.
const (
	_ Verdict = iota
	Accepted
	Rejected
)

// Source is where a user comes from, with a checker.
type Source struct {
	Name string
	// URL passed CheckURL.
	URL string
	// Secrets sign what the checker is sent, the newest first.
	Secrets []secret.String
}

// Checker asks checkers. It is safe for concurrent use.
type Checker struct {
	clock  func() time.Time
	client *http.Client
	asked  *prometheus.CounterVec

	mu       sync.Mutex
	breakers map[string]breaker // by the source's name
}

// breaker pauses one checker.
type breaker struct {
	url string
	*gobreaker.CircuitBreaker[Verdict]
}

// Check asks a source's checker about a password, within Limit and within ctx.
//
// Errors: SERVICE_UNAVAILABLE when there is no verdict, or the checker is paused
// after failures. It names the source and never what was sent or came back.
func (c *Checker) Check(ctx context.Context, s Source, externalID, email string, password secret.String) (Verdict, error) {
	verdict, err := c.breaker(s).Execute(func() (Verdict, error) {
		bounded, cancel := context.WithTimeout(ctx, Limit)
		defer cancel()
		verdict, err := c.ask(bounded, s, externalID, email, password)
		if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errSlow) {
			return 0, errors.Join(errLeft, err)
		}
		return verdict, err
	})
	c.asked.WithLabelValues(s.Name, outcome(verdict, err)).Inc()
	if err != nil {
		return 0, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
			"the source "+s.Name+" did not say whether the password is right").
			With("source", s.Name).Retry(Limit).Because(err)
	}
	return verdict, nil
}

// errLeft is how a call ends whose caller went away: nothing was learnt of the
// checker.
var errLeft = errors.New("the caller went away")

// errSlow is the cause of a context that ends because checkers took too long.
var errSlow = errors.New("the checkers took too long")

// outcome is how a check is counted.
func outcome(verdict Verdict, err error) string {
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return "paused"
	case errors.Is(err, errLeft):
		return "left"
	case err != nil:
		return "unavailable"
	case verdict == Accepted:
		return "accepted"
	default:
		return "rejected"
	}
}

// breaker returns the source's, which begins anew with another URL. There are as many
// as there are sources.
func (c *Checker) breaker(s Source) breaker {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.breakers[s.Name]
	if !ok || b.url != s.URL {
		b = breaker{url: s.URL, CircuitBreaker: gobreaker.NewCircuitBreaker[Verdict](gobreaker.Settings{
			Name: s.Name, MaxRequests: 1, Interval: window, BucketPeriod: time.Second, Timeout: pause,
			ReadyToTrip: func(n gobreaker.Counts) bool {
				return n.ConsecutiveFailures >= consecutive || n.Requests >= windowCalls && 2*n.TotalFailures >= n.Requests
			},
			IsExcluded: func(err error) bool { return errors.Is(err, errLeft) },
		})}
		c.breakers[s.Name] = b
	}
	return b
}

// question is what a checker is asked.
type question struct {
	Source     string `json:"source"`
	ExternalID string `json:"external_id"`
	Email      string `json:"email"`
	Password   string `json:"password"`
}

func (c *Checker) ask(ctx context.Context, s Source, externalID, email string, password secret.String) (Verdict, error) {
	if err := CheckURL(s.URL); err != nil {
		return 0, err
	}
	body, err := json.Marshal(question{Source: s.Name, ExternalID: externalID, Email: email, Password: password.Reveal()})
	if err != nil {
		return 0, errors.New("the question cannot be encoded") // the cause could quote it
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the URL cannot be called")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "meridian")
	request.Header.Set(SignatureHeader, sign(c.clock(), body, s.Secrets))
	response, err := c.client.Do(request)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the checker answered with status %d", response.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return readAnswer(answer)
}

// withoutURL takes off the URL, whose query may hold a secret.
func withoutURL(err error) error {
	if named, ok := errors.AsType[*url.Error](err); ok {
		err = named.Err
	}
	return fmt.Errorf("call the checker: %w", err)
}
