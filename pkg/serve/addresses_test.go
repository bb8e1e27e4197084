package serve_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/serve"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	a := serve.NewAddresses(serve.Rate{PerSecond: 1, Burst: 2}, func() time.Time { return time.Unix(now.Load(), 0) })
	from := func(remote string) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = remote
		return serve.Admitted(r)
	}
	for i, step := range []struct {
		remote string
		ok     bool
	}{
		{"192.0.2.1:1", true},
		{"192.0.2.1:2", true},
		{"192.0.2.1:3", false},
		{"192.0.2.2:1", true},
		{"[2001:db8::1]:1", true},
		{"[2001:db8::2]:1", true},
		{"[2001:db8::ffff:1]:1", false}, // one network
		{"[2001:db8:0:1::1]:1", true},
		{"[::ffff:192.0.2.1]:1", false}, // as IPv4
	} {
		if err := a.Take(from(step.remote)); (err == nil) != step.ok {
			t.Errorf("step %d from %s: %v", i, step.remote, err)
		}
	}
	a.GiveBack(from("192.0.2.1:1"))
	if a.Take(from("192.0.2.1:1")) != nil || a.Take(from("192.0.2.1:1")) == nil {
		t.Error("what is given back is not there, or more is")
	}
	for range 5 {
		a.GiveBack(from("192.0.2.3:1"))
	}
	for range 2 {
		_ = a.Take(from("192.0.2.3:1"))
	}
	if a.Take(from("192.0.2.3:1")) == nil {
		t.Error("more is given back than a bucket holds")
	}
	now.Add(1)
	if a.Take(from("[2001:db8::1]:1")) != nil {
		t.Error("the bucket does not fill again")
	}
	if err := a.Take(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)); err != nil {
		t.Errorf("a request of this process: %v", err)
	}
}
