package legacy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-iam/meridian/services/identity/internal/legacy"
)

// A checker that takes too long is given up after Limit, by the clock of the test.
func TestSlow(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"before the header": func(w http.ResponseWriter, r *http.Request) {
			wait(r.Context(), 3*time.Second)
			says(`{"ok": true}`)(w, r)
		},
		"within the answer": func(w http.ResponseWriter, r *http.Request) {
			says(`{"ok":`)(w, r)
			_ = http.NewResponseController(w).Flush()
			wait(r.Context(), 3*time.Second)
			says(` true}`)(w, r)
		},
		"byte by byte": func(w http.ResponseWriter, r *http.Request) {
			for _, b := range []byte(`{"ok": true}`) {
				says(string(b))(w, r)
				_ = http.NewResponseController(w).Flush()
				wait(r.Context(), 300*time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				checker := legacy.New(legacy.Options{})
				overPipes(t, checker, answer)
				start := time.Now()
				verdict, err := ask(t.Context(), checker, source("http://localhost/check"))
				none(t, verdict, err)
				if took := time.Since(start); took != legacy.Limit {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A caller who has less time is not kept waiting, and tells nothing about the checker.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checker := legacy.New(legacy.Options{})
		var quick atomic.Bool
		overPipes(t, checker, func(w http.ResponseWriter, r *http.Request) {
			if !quick.Load() {
				wait(r.Context(), time.Second)
			}
			says(`{"ok": true}`)(w, r)
		})
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			verdict, err := ask(ctx, checker, source("http://localhost/check"))
			cancel()
			none(t, verdict, err)
		}
		quick.Store(true)
		if verdict, err := ask(t.Context(), checker, source("http://localhost/check")); err != nil || verdict != legacy.Accepted {
			t.Errorf("after callers left: %d, %v", verdict, err)
		}
	})
}

func TestFailuresPauseACheckerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checker := legacy.New(legacy.Options{})
		healthy, calls := false, 0
		overPipes(t, checker, func(w http.ResponseWriter, r *http.Request) {
			calls++
			if !healthy && r.URL.Path == "/check" {
				w.WriteHeader(http.StatusBadGateway)
			}
			says(`{"ok": false}`)(w, r)
		})
		for range 10 {
			verdict, err := ask(t.Context(), checker, source("http://localhost/check"))
			none(t, verdict, err)
		}
		if calls != 5 {
			t.Errorf("a checker that fails was asked %d times", calls)
		}
		other := source("http://localhost/other")
		other.Name = "other"
		moved := source("http://localhost/moved")
		for name, s := range map[string]legacy.Source{"another source": other, "another URL": moved} {
			if verdict, err := ask(t.Context(), checker, s); err != nil || verdict != legacy.Rejected {
				t.Errorf("%s: %d, %v", name, verdict, err)
			}
		}
		healthy, calls = true, 0
		for range 5 { // the URL is the first one again: a new breaker, closed
			if verdict, err := ask(t.Context(), checker, source("http://localhost/check")); err != nil || verdict != legacy.Rejected {
				t.Errorf("mended: %d, %v", verdict, err)
			}
		}
	})
}

func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checker := legacy.New(legacy.Options{})
		healthy := false
		overPipes(t, checker, func(w http.ResponseWriter, r *http.Request) {
			if !healthy {
				w.WriteHeader(http.StatusBadGateway)
			}
			says(`{"ok": true}`)(w, r)
		})
		for range 5 {
			_, _ = ask(t.Context(), checker, source("http://localhost/check"))
		}
		healthy = true
		verdict, err := ask(t.Context(), checker, source("http://localhost/check"))
		none(t, verdict, err)
		time.Sleep(11 * time.Second) // by the clock of the test
		if verdict, err := ask(t.Context(), checker, source("http://localhost/check")); err != nil || verdict != legacy.Accepted {
			t.Errorf("after the pause: %d, %v", verdict, err)
		}
	})
}

// overPipes lets a checker's calls go to a handler over pipes, and ends both with the
// test.
func overPipes(t *testing.T, c *legacy.Checker, answer http.HandlerFunc) {
	t.Helper()
	pipes := &listener{made: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server looks for a client that left only then
		answer(w, r)
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(pipes)
	}()
	c.DialBy(func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case pipes.made <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	t.Cleanup(func() {
		c.CloseIdle()
		_ = s.Close()
		<-ended
		synctest.Wait() // the handlers have ended
	})
}

type listener struct {
	made   chan net.Conn
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.made:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { close(l.closed); return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
