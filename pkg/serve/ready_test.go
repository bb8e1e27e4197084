package serve_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/serve"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestHangingCheckDelaysNothing(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	s := start(t, setup{prepare: func(s *serve.Server) {
		s.Ready("fine", func(context.Context) error { return nil })
		s.Ready("hangs", func(context.Context) error { <-hang; return nil })
		s.Ready("panics", func(context.Context) error { panic("x") })
	}})
	if !waitFor(t, func() bool {
		_, body := fetch(t, s.url+"/readyz")
		return strings.Contains(body, `{"name":"fine","state":"ok"`) && strings.Contains(body, `{"name":"panics","state":"failing"`)
	}) {
		t.Fatal("the other checks never ran")
	}
	for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		begun := time.Now()
		status, body := fetch(t, s.url+path)
		if took := time.Since(begun); status != want || took > time.Second {
			t.Errorf("%s: %d after %v: %s", path, status, took, body)
		}
		if path == "/readyz" && !strings.Contains(body, `{"name":"hangs","state":"pending","age_seconds":-1}`) {
			t.Errorf("the hanging check is not named: %s", body)
		}
	}
}

func TestReadinessFollowsChecks(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	s := start(t, setup{
		config: serve.Config{Admin: "127.0.0.1:0"},
		prepare: func(s *serve.Server) {
			s.Ready("database", func(context.Context) error {
				if broken.Load() {
					return errors.New("postgres://user:password@host is away")
				}
				return nil
			})
			s.Ready("bus", func(context.Context) error {
				if broken.Load() {
					return fault.New(fault.Unavailable, commonv1.Reason_BUS_UNAVAILABLE, "grant the user more").
						Because(errors.New("nats://user:password@host"))
				}
				return nil
			})
		},
	})
	ready := func(want int) func() bool {
		return func() bool { status, _ := fetch(t, s.url+"/readyz"); return status == want }
	}
	if !waitFor(t, ready(http.StatusOK)) {
		t.Fatal("never ready")
	}
	broken.Store(true)
	if !waitFor(t, ready(http.StatusServiceUnavailable)) {
		t.Fatal("still ready")
	}
	said := func() bool {
		_, body := fetch(t, s.url+"/readyz")
		if strings.Contains(body, "password") {
			t.Fatalf("the error's text is shown: %s", body)
		}
		return strings.Contains(body, `"reason":"BUS_UNAVAILABLE","detail":"grant the user more"`)
	}
	if !waitFor(t, said) {
		t.Error("the fault's detail is not shown")
	}
	admin := "http://" + s.AdminAddr().String()
	for path, want := range map[string]int{"/metrics": 200, "/debug/pprof/cmdline": 200, "/livez": 200} {
		if status, _ := fetch(t, admin+path); status != want {
			t.Errorf("admin %s: %d", path, status)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if status, _ := fetch(t, s.url+path); status != http.StatusNotFound {
			t.Errorf("%s is open to callers: %d", path, status)
		}
	}
}
