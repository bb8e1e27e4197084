package mail

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

const (
	// DefaultSize is how many letters wait at most.
	DefaultSize = 1000
	// DefaultWorkers is how many are sent at once.
	DefaultWorkers = 4
	// DefaultDrain is how long a Queue that stops goes on sending.
	DefaultDrain = 10 * time.Second

	// fullRetry is what callers are told when no place is free.
	fullRetry = 5 * time.Second
)

// pauses are before the second and the third try, give or take a quarter. There is
// no fourth.
var pauses = [...]time.Duration{2 * time.Second, 10 * time.Second}

// What became of a letter: the values of the label outcome.
const (
	outcomeSent    = "sent"
	outcomeRefused = "refused" // by the server, for good
	outcomeFailed  = "failed"  // three times
	outcomeExpired = "expired" // after its Until
	outcomeDropped = "dropped" // the process stopped first
	outcomeFull    = "full"    // never entered the queue
)

// QueueConfig says how a Queue sends.
type QueueConfig struct {
	// Sender sends.
	Sender *Sender
	// Size is how many letters wait, those that are tried again included; 0 means
	// DefaultSize.
	Size int
	// Workers is how many letters are sent at once; 0 means DefaultWorkers. The
	// Sender's own bound holds too.
	Workers int
	// Drain is how long Run goes on after its context has ended; 0 means
	// DefaultDrain.
	Drain time.Duration
	// Clock is the one that a message's Until is by; nil means time.Now.
	Clock func() time.Time
	// Log gets a line for each letter that is lost; nil means none.
	Log *slog.Logger
	// Metrics; nil means none.
	Metrics prometheus.Registerer
}

// Queue sends letters later: Enqueue takes the same short time whatever becomes of
// the letter. It lives in memory: letters that wait are lost with the process, and
// people ask for another one. A letter may arrive twice, when a server took it and
// its answer was lost.
type Queue struct {
	config QueueConfig
	ready  chan entry // has a place for every letter that is pending
	sent   *prometheus.CounterVec

	mu      sync.Mutex
	pending int
	closed  bool
	empty   chan struct{} // closed when closed and nothing is pending
}

type entry struct {
	message Message
	tries   int
}

// NewQueue makes a queue. It sends nothing before Run.
func NewQueue(c QueueConfig) *Queue {
	if c.Size <= 0 {
		c.Size = DefaultSize
	}
	if c.Workers <= 0 {
		c.Workers = DefaultWorkers
	}
	if c.Drain <= 0 {
		c.Drain = DefaultDrain
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{
		config: c, ready: make(chan entry, c.Size), empty: make(chan struct{}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_mail_sent_total",
			Help: "Letters that are done with, by what became of them.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{outcomeSent, outcomeRefused, outcomeFailed, outcomeExpired, outcomeDropped, outcomeFull} {
		q.sent.WithLabelValues(outcome)
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(q.sent, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "meridian_mail_queued",
			Help: "Letters that wait, or are being sent.",
		}, func() float64 { return float64(q.Pending()) }))
	}
	return q
}

// Enqueue takes a letter. Nil means that it will be tried, no more.
//
// Errors: INVALID_FIELD; RATE_LIMITED, as many wait as may; STOPPING. After each of
// them the letter is not sent.
func (q *Queue) Enqueue(m Message) error {
	if err := m.Check(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return fault.New(fault.Unavailable, commonv1.Reason_STOPPING, "the server is stopping")
	case q.pending == q.config.Size:
		q.sent.WithLabelValues(outcomeFull).Inc()
		return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "too many messages wait to be sent").Retry(fullRetry)
	}
	q.pending++
	q.ready <- entry{message: m}
	return nil
}

// Pending is how many letters wait or are being sent.
func (q *Queue) Pending() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pending
}

// Run sends until ctx ends, and then goes on until all is sent, for the configured
// time at most. What is left is dropped. Run it once. It returns nil.
func (q *Queue) Run(ctx context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var workers sync.WaitGroup
	for range q.config.Workers {
		workers.Go(func() { q.work(sending) })
	}
	<-ctx.Done()
	q.close()
	timer := time.NewTimer(q.config.Drain)
	defer timer.Stop()
	select {
	case <-q.empty:
	case <-timer.C:
	}
	stop()
	workers.Wait()
	if left := q.Pending(); left > 0 {
		q.sent.WithLabelValues(outcomeDropped).Add(float64(left))
		q.config.Log.WarnContext(ctx, "mail was dropped because the process stops", slog.Int("messages", left))
	}
	return nil
}

func (q *Queue) work(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case e := <-q.ready:
			q.try(ctx, e)
		}
	}
}

// try sends a letter once, and says what comes then.
func (q *Queue) try(ctx context.Context, e entry) {
	if until := e.message.Until; !until.IsZero() && !q.config.Clock().Before(until) {
		q.done(ctx, e, outcomeExpired, nil)
		return
	}
	e.tries++
	err := q.config.Sender.Send(ctx, e.message)
	var failure *DeliveryError
	switch {
	case err == nil:
		q.done(ctx, e, outcomeSent, nil)
	case ctx.Err() != nil:
		// Run counts what it left.
	case !errors.As(err, &failure), failure.Permanent():
		q.done(ctx, e, outcomeRefused, err)
	case e.tries > len(pauses):
		q.done(ctx, e, outcomeFailed, err)
	default:
		pause := pauses[e.tries-1]
		// While it waits, its worker sends others.
		time.AfterFunc(pause*3/4+rand.N(pause/2), func() { q.ready <- e })
	}
}

// done gives the letter's place free.
func (q *Queue) done(ctx context.Context, e entry, outcome string, err error) {
	q.sent.WithLabelValues(outcome).Inc()
	if outcome != outcomeSent {
		q.config.Log.WarnContext(ctx, "mail was not sent", slog.String("outcome", outcome), slog.Int("tries", e.tries), slog.Any("error", err))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending--
	if q.closed && q.pending == 0 {
		close(q.empty)
	}
}

func (q *Queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.pending == 0 {
		close(q.empty)
	}
}
