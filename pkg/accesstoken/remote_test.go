package accesstoken_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
)

// place answers with a status and a text, and counts.
type place struct {
	answer  atomic.Pointer[func(w http.ResponseWriter)]
	fetches atomic.Int32
}

func (p *place) says(status int, text string) {
	answer := func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}
	p.answer.Store(&answer)
}

func (p *place) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.fetches.Add(1)
	(*p.answer.Load())(w)
}

// J08, J22: a set that cannot be had or read replaces nothing.
func TestRemoteBelievesWholeSetsOnly(t *testing.T) {
	t.Parallel()
	first, second := newKey(t, "k1"), newKey(t, "k2")
	p := new(place)
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	r := accesstoken.NewRemote([]string{s.URL}, nil, nil, nil)
	if !r.Keys().None() || !r.Fetched().IsZero() {
		t.Error("there are keys before a fetch")
	}
	p.says(http.StatusOK, jwks(t, first))
	if err := r.Refresh(t.Context()); err != nil || !r.Keys().Has("k1") || r.Fetched().IsZero() {
		t.Fatalf("%v", err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(jwks(t, second))) }))
	t.Cleanup(elsewhere.Close)
	for name, answer := range map[string]func(http.ResponseWriter){
		"an error":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"no content": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		"a redirect": func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusFound)
		},
		"no set":     func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) },
		"no keys":    func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"half a set": func(w http.ResponseWriter) { _, _ = w.Write([]byte(jwks(t, second)[:100])) },
		"too much": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(jwks(t, second) + strings.Repeat(" ", 64<<10)))
		},
		"a broken key": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(strings.Replace(jwks(t, first, second), "P-256", "P-999", 1)))
		},
	} {
		p.answer.Store(&answer)
		if err := r.Refresh(t.Context()); err == nil || !r.Keys().Has("k1") || r.Keys().Has("k2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.says(http.StatusOK, jwks(t, second))
	if err := r.Refresh(t.Context()); err != nil || r.Keys().Has("k1") || !r.Keys().Has("k2") {
		t.Errorf("a whole set without the key: %v", err)
	}
}

// Four regions whose three keys change at once have 24 of them.
func TestRemoteKeysOfManyRegions(t *testing.T) {
	t.Parallel()
	var all []signingKey
	for i := range 24 {
		all = append(all, newKey(t, fmt.Sprint("k", i)))
	}
	p := new(place)
	p.says(http.StatusOK, jwks(t, all...))
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	r := accesstoken.NewRemote([]string{s.URL}, nil, nil, nil)
	if err := r.Refresh(t.Context()); err != nil || !r.Keys().Has("k0") || !r.Keys().Has("k23") {
		t.Fatal(err)
	}
}

// The provider knows by the host whose keys are meant, and is elsewhere.
func TestRemoteAsksForAnIssuer(t *testing.T) {
	t.Parallel()
	k := newKey(t, "k1")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "id.example.com" {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		_, _ = w.Write([]byte(jwks(t, k)))
	}))
	t.Cleanup(s.Close)
	r := accesstoken.NewRemote([]string{s.URL}, nil, nil, nil)
	if err := r.Refresh(t.Context()); err == nil {
		t.Error("an issuer has the host of the address")
	}
	r.Host = "id.example.com"
	if err := r.Refresh(t.Context()); err != nil || !r.Keys().Has("k1") {
		t.Fatal(err)
	}
}

func TestRemoteAsksTheNextPlace(t *testing.T) {
	t.Parallel()
	k := newKey(t, "k1")
	away, there := new(place), new(place)
	away.says(http.StatusBadGateway, "")
	there.says(http.StatusOK, jwks(t, k))
	first, second := httptest.NewServer(away), httptest.NewServer(there)
	t.Cleanup(first.Close)
	t.Cleanup(second.Close)
	r := accesstoken.NewRemote([]string{first.URL, second.URL}, nil, nil, nil)
	if err := r.Refresh(t.Context()); err != nil || !r.Keys().Has("k1") || away.fetches.Load() != 1 {
		t.Errorf("%v", err)
	}
}

// here answers requests without a network, so that time can be made to pass.
type here struct{ handler http.Handler }

func (h here) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// J08: whatever tokens name, keys are fetched once in ten seconds because of them.
func TestRemoteIsNotMadeToFetch(t *testing.T) {
	t.Parallel()
	p := new(place)
	set := jwks(t, newKey(t, "k1"))
	synctest.Test(t, func(t *testing.T) {
		p.says(http.StatusServiceUnavailable, "")
		r := accesstoken.NewRemote([]string{"http://sessions/jwks"}, &http.Client{Transport: here{p}}, nil, nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		after := func(d time.Duration, fetches int32) {
			t.Helper()
			time.Sleep(d) // in a bubble, whose time passes at once
			synctest.Wait()
			if got := p.fetches.Load(); got != fetches {
				t.Errorf("%d fetches, want %d", got, fetches)
			}
		}
		after(3*time.Second+time.Millisecond, 4) // each second, while there are no keys
		p.says(http.StatusOK, set)
		after(time.Second, 5)
		after(59*time.Second, 5)
		after(time.Second, 6) // each minute
		storm := func() {
			for range 1000 {
				r.Missing("made up")
			}
		}
		storm()
		after(9*time.Second, 6)
		storm()
		after(time.Second, 7)
		storm()
		after(9*time.Second, 7)
		after(time.Second, 8)
		after(10*time.Second, 8)
		r.Missing("made up")
		after(0, 9) // it was long ago
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
