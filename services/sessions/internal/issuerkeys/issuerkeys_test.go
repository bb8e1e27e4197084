package issuerkeys_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
	"github.com/meridian-iam/meridian/services/sessions/internal/issuerkeys"
)

const (
	org   = "org_1"
	other = "org_2"
)

// fixture is an issuer, and keys with a clock that the test moves.
type fixture struct {
	*httptest.Server

	keys     *issuerkeys.Keys
	registry *prometheus.Registry

	mu sync.Mutex
	at time.Time
	// answers are what there is, by path; asked counts requests.
	answers map[string]http.HandlerFunc
	asked   map[string]int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		registry: prometheus.NewRegistry(), at: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC),
		answers: map[string]http.HandlerFunc{}, asked: map[string]int{},
	}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		answer := f.answers[r.URL.Path]
		f.asked[r.URL.Path]++
		f.mu.Unlock()
		if answer == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of handshakes that are to fail
	f.StartTLS()
	t.Cleanup(f.Close)
	roots := x509.NewCertPool()
	roots.AddCert(f.Certificate())
	f.keys = f.with(outbound.Options{Judge: outbound.Loopback, Roots: roots})
	return f
}

// with are keys under other rules.
func (f *fixture) with(o outbound.Options) *issuerkeys.Keys {
	return issuerkeys.New(issuerkeys.Options{Transport: o, Clock: f.clock, Logger: slog.New(slog.DiscardHandler), Metrics: f.registry})
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

func (f *fixture) requests(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

func (f *fixture) put(path string, answer http.HandlerFunc) trust.Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[path] = answer
	return trust.Source{URI: f.URL + path}
}

// publish is an answer of JSON.
func publish(text string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write([]byte(text))
	}
}

// made is a key set of one key, and the id of that.
func made(t *testing.T) (text, kid string) {
	t.Helper()
	key, err := jose.Generate(jose.ES256, "issuer")
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	return `{"keys":[` + public + `]}`, key.ID()
}

// fetched counts fetches, by outcome.
func (f *fixture) fetched(t *testing.T) map[string]int {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, family := range families {
		if family.GetName() != "meridian_sessions_issuer_key_fetches_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := int(m.GetCounter().GetValue()); n > 0 {
				out[m.GetLabel()[0].GetValue()] = n
			}
		}
	}
	return out
}

func (f *fixture) has(t *testing.T, of trust.Source, kid string) bool {
	t.Helper()
	keys, err := f.keys.Get(t.Context(), org, of, kid)
	if err != nil {
		t.Fatal(err)
	}
	return keys.Has(kid)
}

// Keys are kept as long as the issuer says; another key has them fetched at once, and then
// once a minute.
func TestRotation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, a := made(t)
	second, b := made(t)
	third, c := made(t)
	source := f.put("/jwks", publish(first, "Cache-Control", "public, max-age=600"))
	if keys := f.keys.Kept(source); !keys.None() {
		t.Error("there are keys before any was fetched")
	}
	for range 3 {
		if !f.has(t, source, a) {
			t.Fatal("the key is not there")
		}
	}
	if n := f.requests("/jwks"); n != 1 || !f.keys.Kept(source).Has(a) {
		t.Errorf("%d requests", n)
	}
	f.put("/jwks", publish(second, "Cache-Control", "max-age=600"))
	if !f.has(t, source, a) || !f.has(t, source, b) || f.has(t, source, a) {
		t.Error("the new key has not taken the old one's place")
	}
	f.put("/jwks", publish(third, "Cache-Control", "max-age=600"))
	for range 20 {
		if f.has(t, source, c) || !f.has(t, source, b) || f.has(t, source, "nonsense") {
			t.Error("fetched more than once a minute for a key that is not there")
		}
	}
	f.advance(time.Minute)
	if !f.has(t, source, c) || f.requests("/jwks") != 3 {
		t.Errorf("after a minute: %d requests", f.requests("/jwks"))
	}
	f.advance(10 * time.Minute)
	if !f.has(t, source, c) || f.requests("/jwks") != 4 {
		t.Errorf("when they are old: %d requests", f.requests("/jwks"))
	}
}

// Keys that cannot be fetched again go on for an hour, and not longer.
func TestStale(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text, kid := made(t)
	source := f.put("/jwks", publish(text))
	f.has(t, source, kid)
	f.put("/jwks", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	f.advance(5 * time.Minute)
	for range 10 { // tried once, and then after a pause
		if !f.has(t, source, kid) {
			t.Error("the keys that there were are gone")
		}
	}
	if n := f.requests("/jwks"); n != 2 {
		t.Errorf("%d requests", n)
	}
	f.advance(time.Hour - time.Second)
	if !f.has(t, source, kid) {
		t.Error("the keys that there were are gone before their time")
	}
	f.advance(time.Second)
	if _, err := f.keys.Get(t.Context(), org, source, kid); !errors.Is(err, issuerkeys.ErrUnavailable) || !f.keys.Kept(source).None() {
		t.Errorf("after an hour: %v", err)
	}
	f.put("/jwks", publish(text))
	f.advance(5 * time.Minute)
	if !f.has(t, source, kid) {
		t.Error("the issuer is back, its keys are not")
	}
}

// An issuer says where its keys are, if it says that it is the one.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text, kid := made(t)
	elsewhere := f.put("/jwks", publish(text))
	const path = "/id/1/.well-known/openid-configuration"
	issuer := f.URL + "/id/1"
	f.put(path, publish(`{"issuer":"`+issuer+`","jwks_uri":"`+elsewhere.URI+`"}`))
	if !f.has(t, trust.Source{Issuer: issuer}, kid) {
		t.Error("the key is not there")
	}
	for name, text := range map[string]string{
		"another issuer": `{"issuer":"https://evil.example","jwks_uri":"` + elsewhere.URI + `"}`,
		"two issuers":    `{"issuer":"https://evil.example","issuer":"` + issuer + `/","jwks_uri":"` + elsewhere.URI + `"}`,
		"no place":       `{"issuer":"` + issuer + `/"}`,
		"plain HTTP":     `{"issuer":"` + issuer + `/","jwks_uri":"http://` + f.Listener.Addr().String() + `/jwks"}`,
		"a page":         `<!doctype html>`,
	} {
		f.put(path, publish(text))
		f.advance(time.Hour) // after any pause
		if _, err := f.keys.Get(t.Context(), org, trust.Source{Issuer: issuer + "/"}, kid); !errors.Is(err, issuerkeys.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := fmt.Sprint(f.fetched(t)); got != "map[discovery:5 fetched:1]" {
		t.Errorf("fetches: %s", got)
	}
}

// What is not a key set, where it should be and from whom it should be, is none.
func TestRefused(t *testing.T) {
	t.Parallel()
	text, kid := made(t)
	for name, tc := range map[string]struct {
		answer  http.HandlerFunc
		outcome string
	}{
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusFound)
		}, "status"},
		"not found":     {http.NotFound, "status"},
		"a page":        {publish(text, "Content-Type", "text/html"), "content"},
		"too much":      {publish(text + strings.Repeat(" ", 64<<10)), "content"},
		"no keys":       {publish(`{"keys":[]}`), "keys"},
		"no JSON":       {publish(`{`), "keys"},
		"a secret":      {publish(`{"keys":[{"kty":"oct","k":"AAAA"}]}`), "keys"},
		"two key sets":  {publish(`{"keys":[],"keys":[]}`), "keys"},
		"never":         {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timeout"},
		"never the end": {slowly, "timeout"},
		"cut off":       {publish(text, "Content-Length", "100000"), "network"},
		"without end": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<10))); err != nil {
					return
				}
			}
		}, "content"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.keys.Hurry(10 * time.Second)
			if tc.outcome == "timeout" {
				f.keys.Hurry(200 * time.Millisecond)
			}
			f.put("/other", publish(text))
			source := f.put("/jwks", tc.answer)
			if _, err := f.keys.Get(t.Context(), org, source, kid); !errors.Is(err, issuerkeys.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if got := f.fetched(t); got[tc.outcome] != 1 || len(got) != 1 || f.requests("/other") != 0 {
				t.Errorf("fetches: %v", got)
			}
		})
	}
}

// slowly says that it has something and does not say what.
func slowly(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// Nothing is sent to private networks, and nobody is believed who is not certified.
func TestWhereNothingIsSent(t *testing.T) {
	t.Parallel()
	text, kid := made(t)
	for name, tc := range map[string]struct {
		rules   outbound.Options
		outcome string
	}{
		"this machine":     {outbound.Options{Judge: outbound.Public}, "address"},
		"certified by one": {outbound.Options{Judge: outbound.Loopback}, "certificate"},
	} {
		f := newFixture(t)
		source := f.put("/jwks", publish(text))
		f.registry = prometheus.NewRegistry()
		if _, err := f.with(tc.rules).Get(t.Context(), org, source, kid); !errors.Is(err, issuerkeys.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if got := f.fetched(t); got[tc.outcome] != 1 || f.requests("/jwks") != 0 {
			t.Errorf("%s: fetches %v", name, got)
		}
	}
}

// gate is an answer that waits to be opened.
func gate(t *testing.T, text string) (answer http.HandlerFunc, arrived chan struct{}, open func()) {
	t.Helper()
	arrived, opened := make(chan struct{}, 100), make(chan struct{})
	open = sync.OnceFunc(func() { close(opened) })
	t.Cleanup(open)
	return func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-opened
		publish(text)(w, r)
	}, arrived, open
}

// Whoever needs the same waits for one fetch, which does not end with whoever was first.
func TestOneFetch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.keys.Hurry(time.Minute)
	text, kid := made(t)
	answer, arrived, open := gate(t, text)
	source := f.put("/jwks", answer)
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := f.keys.Get(ctx, org, source, kid)
		first <- err
	}()
	<-arrived
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if keys, err := f.keys.Get(t.Context(), other, source, kid); err != nil || !keys.Has(kid) {
				t.Errorf("who waits: %v", err)
			}
		})
	}
	open()
	group.Wait()
	if n := f.requests("/jwks"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// An organization whose issuers do not answer does not hold up those of others.
func TestHeldUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.keys.Hurry(time.Minute)
	text, kid := made(t)
	answer, arrived, open := gate(t, text)
	var group sync.WaitGroup
	for i := range issuerkeys.OfOne {
		source := f.put(fmt.Sprintf("/slow/%d", i), answer)
		group.Go(func() {
			if _, err := f.keys.Get(t.Context(), org, source, kid); err != nil {
				t.Errorf("who waits: %v", err)
			}
		})
		<-arrived
	}
	good := f.put("/good", publish(text))
	if _, err := f.keys.Get(t.Context(), org, good, kid); !errors.Is(err, issuerkeys.ErrUnavailable) {
		t.Errorf("one fetch too many: %v", err)
	}
	if keys, err := f.keys.Get(t.Context(), other, good, kid); err != nil || !keys.Has(kid) {
		t.Errorf("another organization: %v", err)
	}
	if keys, err := f.keys.Get(t.Context(), org, good, kid); err != nil || !keys.Has(kid) {
		t.Errorf("what is kept: %v", err)
	}
	open()
	group.Wait()
	if got := fmt.Sprint(f.fetched(t)); got != "map[busy:1 fetched:5]" {
		t.Errorf("fetches: %s", got)
	}
}

// What was used last is kept.
func TestFew(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.keys.Few(2)
	text, kid := made(t)
	a, b, c := f.put("/a", publish(text)), f.put("/b", publish(text)), f.put("/c", publish(text))
	for _, source := range []trust.Source{a, b, a, c} {
		f.has(t, source, kid)
	}
	if f.keys.Number() != 2 || f.keys.Kept(a).None() || !f.keys.Kept(b).None() || f.keys.Kept(c).None() {
		t.Errorf("%d are kept", f.keys.Number())
	}
}
