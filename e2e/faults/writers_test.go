package faults_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// answers is what writers were told.
type answers struct {
	mu sync.Mutex
	// revisions of acknowledged writes, by user.
	revisions map[string]string
	// errors of the others.
	errors map[string]error
}

func (a *answers) note(user, revision string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.errors[user] = err
		return
	}
	a.revisions[user] = revision
}

func (a *answers) counts() (acknowledged, failed int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.revisions), len(a.errors)
}

// writers write one relationship after the other until they are stopped.
type writers struct {
	answers

	stop    chan struct{}
	running sync.WaitGroup
}

const (
	writerCount = 4
	// pause of a writer after an error: it must not spend its time on refusals.
	pause = 50 * time.Millisecond
)

func startWriters(t *testing.T, o organization, name string) *writers {
	t.Helper()
	w := &writers{
		answers: answers{revisions: map[string]string{}, errors: map[string]error{}}, stop: make(chan struct{}),
	}
	for n := range writerCount {
		w.running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-w.stop:
					return
				default:
				}
				user := fmt.Sprintf("user:%s-%d-%d", name, n, i)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				revision, err := o.write(ctx, user)
				cancel()
				w.note(user, revision, err)
				if err != nil {
					w.rest()
				}
			}
		})
	}
	return w
}

func (w *writers) rest() {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-w.stop:
	case <-timer.C:
	}
}

// end stops the writers and waits for their last answers.
func (w *writers) end() {
	close(w.stop)
	w.running.Wait()
}

var errTooFew = errors.New("too few")

// acknowledged waits for more acknowledged writes.
func (w *writers) acknowledged(t *testing.T, more int) {
	t.Helper()
	before, _ := w.counts()
	harness.Eventually(t, "writes are acknowledged", func() error {
		now, failed := w.counts()
		if now < before+more {
			return fmt.Errorf("%d acknowledged, %d failed: %w", now-before, failed, errTooFew)
		}
		return nil
	})
}

// failed waits for more failed writes.
func (w *writers) failed(t *testing.T, more int) {
	t.Helper()
	_, before := w.counts()
	harness.Eventually(t, "writes fail", func() error {
		if _, now := w.counts(); now < before+more {
			return errTooFew
		}
		return nil
	})
}

// settle repeats what was not acknowledged, and then looks for every write: in
// the log exactly once, and in the answers.
func (w *writers) settle(t *testing.T, o organization) {
	t.Helper()
	before := o.created(t)
	for user := range w.revisions {
		if before[user] != 1 {
			t.Errorf("%s was acknowledged and is in the log %d times", user, before[user])
		}
	}
	unknown := 0
	for user := range w.errors {
		if before[user] > 1 {
			t.Errorf("%s was not acknowledged and is in the log %d times", user, before[user])
		}
		unknown += before[user]
		harness.Eventually(t, "the repeated write is accepted", func() error {
			revision, err := o.write(t.Context(), user)
			if err == nil {
				w.revisions[user] = revision
			}
			return err
		})
	}
	after := o.created(t)
	for user, revision := range w.revisions {
		if after[user] != 1 {
			t.Errorf("%s is in the log %d times after the repetition", user, after[user])
		}
		if allowed, err := o.check(t.Context(), user, revision, 0); err != nil || !allowed {
			t.Errorf("%s at its revision: allowed %v, %v", user, allowed, err)
		}
	}
	if len(after) != len(w.revisions) {
		t.Errorf("%d users in the log, %d written", len(after), len(w.revisions))
	}
	t.Logf("%d writes, %d of them not acknowledged at first, %d of those were written", len(w.revisions), len(w.errors), unknown)
}
