package mail_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/mail"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// wire connects a Sender and a server without a network, so that time stands still
// while both are at work.
type wire struct {
	accepted chan net.Conn
	closed   chan struct{}
	down     atomic.Bool // whether it refuses connections
}

func newWire() *wire { return &wire{accepted: make(chan net.Conn), closed: make(chan struct{})} }

// DialContext implements mail.ContextDialer.
func (w *wire) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	if w.down.Load() {
		return nil, errors.New("refused")
	}
	here, there := net.Pipe()
	select {
	case w.accepted <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.accepted:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *wire) Close() error {
	close(w.closed)
	return nil
}

// Addr implements net.Listener.
func (*wire) Addr() net.Addr { return &net.TCPAddr{} }

// queueing is a Queue at work beside a real server, in a bubble of synctest.
type queueing struct {
	*mail.Queue

	wire    *wire
	metrics *prometheus.Registry
	log     *recorder
	stop    func() // ends Run, and waits for it
}

func queue(t *testing.T, office *postOffice, change func(*mail.QueueConfig)) *queueing {
	t.Helper()
	q := &queueing{wire: newWire(), metrics: prometheus.NewRegistry(), log: &recorder{}}
	serve(t, office, q.wire, nil, false)
	c := mail.QueueConfig{
		Sender: sender(t, "smtp://127.0.0.1:25", func(c *mail.Config) { c.AllowPlaintext, c.Dialer = true, q.wire }),
		Log:    slog.New(slog.NewTextHandler(q.log, nil)), Metrics: q.metrics,
	}
	if change != nil {
		change(&c)
	}
	q.Queue = mail.NewQueue(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	stopped := false
	q.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
	t.Cleanup(func() {
		q.stop()
		if text := q.log.String(); strings.Contains(text, "canary") || strings.Contains(text, "123456") || strings.Contains(text, "gossip") {
			t.Errorf("the log holds what a letter does: %s", text)
		}
	})
	return q
}

// A letter is late by the clock of whoever said until when it is good.
func TestQueueIsLateByItsClock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ahead time.Duration
		want  string
	}{"ahead": {time.Hour, "expired"}, "behind": {-time.Hour, "sent"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := queue(t, &postOffice{}, func(qc *mail.QueueConfig) {
					qc.Clock = func() time.Time { return time.Now().Add(c.ahead) }
				})
				m := letter()
				m.Until = time.Now().Add(c.ahead / 2)
				if err := q.Enqueue(m); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if got := q.count(t, "meridian_mail_sent_total", c.want); got != 1 {
					t.Errorf("%s: %v, want 1", c.want, got)
				}
				q.stop()
			})
		})
	}
}

// count is a metric's value.
func (q *queueing) count(t *testing.T, name, outcome string) float64 {
	t.Helper()
	families, err := q.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (outcome == "" || m.GetLabel()[0].GetValue() == outcome) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %s", name, outcome)
	return 0
}

func TestQueue(t *testing.T) {
	no := func(code int) error { return &smtp.SMTPError{Code: code, Message: "gossip"} }
	for name, tc := range map[string]struct {
		// answers are what the server says to each try; after the last one, yes.
		answers []int
		until   time.Duration // after now; 0 means never
		tries   int
		outcome string
		logged  bool
	}{
		"at once":                     {tries: 1, outcome: "sent"},
		"at the second try":           {answers: []int{451}, tries: 2, outcome: "sent"},
		"at the third try":            {answers: []int{451, 421}, tries: 3, outcome: "sent"},
		"never":                       {answers: []int{451, 451, 451, 451}, tries: 3, outcome: "failed", logged: true},
		"refused":                     {answers: []int{550}, tries: 1, outcome: "refused", logged: true},
		"refused at the second try":   {answers: []int{451, 550}, tries: 2, outcome: "refused", logged: true},
		"in time":                     {until: time.Second, tries: 1, outcome: "sent"},
		"too late":                    {until: -1, outcome: "expired", logged: true},
		"too late for the second try": {answers: []int{451}, until: time.Second, tries: 1, outcome: "expired", logged: true},
		"in time for the second try":  {answers: []int{451}, until: time.Minute, tries: 2, outcome: "sent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				office := &postOffice{answer: func(string) error {
					tries++
					if tries <= len(tc.answers) {
						return no(tc.answers[tries-1])
					}
					return nil
				}}
				q := queue(t, office, nil)
				m := letter()
				if tc.until != 0 {
					m.Until = time.Now().Add(tc.until)
				}
				if err := q.Enqueue(m); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if tries != tc.tries || q.count(t, "meridian_mail_sent_total", tc.outcome) != 1 || q.Pending() != 0 {
					t.Errorf("%d tries, %d pending; want %d, then %s", tries, q.Pending(), tc.tries, tc.outcome)
				}
				if got := len(office.messages()); (got == 1) != (tc.outcome == "sent") {
					t.Errorf("the server has %d messages", got)
				}
				if logged := strings.Contains(q.log.String(), "outcome="+tc.outcome); logged != tc.logged {
					t.Errorf("the log is %q", q.log.String())
				}
			})
		})
	}
}

// TestQueueServerDown: letters wait for a server that comes back.
func TestQueueServerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		office := &postOffice{}
		q := queue(t, office, nil)
		q.wire.down.Store(true)
		for range 100 {
			if err := q.Enqueue(letter()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if got := q.count(t, "meridian_mail_queued", ""); got != 100 {
			t.Errorf("%v letters wait, want 100", got)
		}
		q.wire.down.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(office.messages()); got != 100 || q.Pending() != 0 {
			t.Errorf("the server has %d messages, %d wait", got, q.Pending())
		}
	})
}

// TestQueueFull: what finds no place is refused at once, and a place is free again
// after a letter is done with.
func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		office := &postOffice{answer: func(string) error {
			<-leave
			return nil
		}}
		q := queue(t, office, func(c *mail.QueueConfig) { c.Size, c.Workers = 3, 2 })
		for range 3 {
			if err := q.Enqueue(letter()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		err := q.Enqueue(letter())
		if f, _ := fault.As(err); !fault.Is(err, commonv1.Reason_RATE_LIMITED) || f.RetryAfter <= 0 {
			t.Errorf("Enqueue = %v", err)
		}
		clean(t, err)
		if q.count(t, "meridian_mail_sent_total", "full") != 1 || q.Pending() != 3 {
			t.Errorf("%d wait", q.Pending())
		}
		close(leave)
		synctest.Wait()
		if err := q.Enqueue(letter()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := len(office.messages()); got != 4 {
			t.Errorf("the server has %d messages", got)
		}
	})
}

// TestQueueDoesNotWait: letters that are tried again keep no worker from others.
func TestQueueDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		office := &postOffice{answer: func(to string) error {
			if strings.HasPrefix(to, "slow") {
				return &smtp.SMTPError{Code: 451, Message: "gossip"}
			}
			return nil
		}}
		q := queue(t, office, func(c *mail.QueueConfig) { c.Workers = 1 })
		slow := letter()
		slow.To = "slow@canary.example"
		for range 50 {
			if err := q.Enqueue(slow); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Enqueue(letter()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := len(office.messages()); got != 1 {
			t.Errorf("the server has %d messages, want the one behind 50 that it puts off", got)
		}
	})
}

// TestQueueStops: what waits is sent before the end; what cannot be is counted.
func TestQueueStops(t *testing.T) {
	t.Run("and sends what is left", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			office := &postOffice{answer: func(string) error {
				if tries++; tries == 1 {
					return &smtp.SMTPError{Code: 451, Message: "gossip"}
				}
				return nil
			}}
			q := queue(t, office, func(c *mail.QueueConfig) { c.Workers = 1 })
			for range 20 {
				if err := q.Enqueue(letter()); err != nil {
					t.Fatal(err)
				}
			}
			q.stop()
			if got := len(office.messages()); got != 20 || q.Pending() != 0 {
				t.Errorf("the server has %d messages, %d wait", got, q.Pending())
			}
			if err := q.Enqueue(letter()); !fault.Is(err, commonv1.Reason_STOPPING) {
				t.Errorf("Enqueue = %v", err)
			}
		})
	})
	t.Run("and drops what hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			leave := make(chan struct{})
			office := &postOffice{answer: func(string) error {
				<-leave
				return nil
			}}
			q := queue(t, office, nil)
			for range 20 {
				if err := q.Enqueue(letter()); err != nil {
					t.Fatal(err)
				}
			}
			begun := time.Now()
			q.stop()
			if took := time.Since(begun); took != mail.DefaultDrain {
				t.Errorf("stopping took %v", took)
			}
			if got := q.count(t, "meridian_mail_sent_total", "dropped"); got != 20 {
				t.Errorf("%v dropped, want 20", got)
			}
			close(leave)
		})
	})
}

// TestEnqueueRefuses: a letter that cannot be sent is refused where it was made.
func TestEnqueueRefuses(t *testing.T) {
	q := mail.NewQueue(mail.QueueConfig{})
	m := letter()
	m.Subject = "canary\r\nBcc: eve@canary.example"
	err := q.Enqueue(m)
	clean(t, err)
	if !fault.Is(err, commonv1.Reason_INVALID_FIELD) || q.Pending() != 0 {
		t.Errorf("Enqueue = %v", err)
	}
}
