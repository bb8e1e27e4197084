package clientdoc_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
)

// publisher is a server that publishes documents at its paths, each of a client whose
// name is how often documents were fetched; a path's answer may be another.
type publisher struct {
	*httptest.Server

	t       *testing.T
	answers map[string]http.HandlerFunc

	mu      sync.Mutex
	fetched int
	now     time.Time
}

func publish(t *testing.T, answers map[string]http.HandlerFunc) *publisher {
	t.Helper()
	p := &publisher{t: t, answers: answers, now: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.fetched++
		number := p.fetched
		p.mu.Unlock()
		if r.Method != http.MethodGet || r.Header.Get("Accept") != "application/json" || r.Header.Get("Cookie")+r.Header.Get("Authorization") != "" {
			t.Errorf("fetched by %s %v", r.Method, r.Header)
		}
		if other := p.answers[r.URL.Path]; other != nil {
			other(w, r)
			return
		}
		p.write(w, r, strconv.Itoa(number))
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// write answers with the document of the URL that was called.
func (p *publisher) write(w http.ResponseWriter, r *http.Request, name string) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	_, _ = io.WriteString(w, document(p.t, object{"client_id": p.URL + r.URL.Path, "client_name": name}))
}

func (p *publisher) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetched
}

func (p *publisher) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *publisher) advance(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *publisher) documents(networks ...string) *clientdoc.Documents {
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	var near []netip.Prefix
	for _, network := range networks {
		near = append(near, netip.MustParsePrefix(network))
	}
	return clientdoc.New(clientdoc.Options{Clock: p.clock, Transport: outbound.Options{Judge: outbound.PublicAnd(near), Roots: roots}})
}

const here = "127.0.0.0/8"

// name is that of the client at a path, or what is wrong.
func name(t *testing.T, d *clientdoc.Documents, url string) string {
	t.Helper()
	c, err := d.Client(t.Context(), url)
	var refused *clientdoc.Error
	switch f, _ := fault.As(err); {
	case errors.As(err, &refused):
		return "refused: " + refused.Why
	case f != nil && f.Kind == fault.Unavailable:
		return "unavailable"
	case err != nil:
		t.Fatal(err)
	case c.ID != url || c.Organization != "" || c.Disabled:
		t.Errorf("the client is %v", c)
	}
	return c.Settings.GetName()
}

func TestFetching(t *testing.T) {
	t.Parallel()
	typed := func(kind string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", kind) }
	}
	var p *publisher
	p = publish(t, map[string]http.HandlerFunc{
		"/plus": func(w http.ResponseWriter, r *http.Request) {
			typed("application/oauth-client+json")(w, r)
			p.write(w, r, "App")
		},
		"/html":    func(w http.ResponseWriter, r *http.Request) { typed("text/html")(w, r); p.write(w, r, "App") },
		"/text":    func(w http.ResponseWriter, r *http.Request) { typed("text/json")(w, r); p.write(w, r, "App") },
		"/untyped": func(w http.ResponseWriter, r *http.Request) { typed("application/")(w, r); p.write(w, r, "App") },
		"/zipped": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			p.write(w, r, "App")
		},
		"/moved": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/c", http.StatusFound) },
		"/kept": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/c")
			w.WriteHeader(http.StatusPermanentRedirect)
			p.write(w, r, "App")
		},
		"/gone": http.NotFound,
		"/partial": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNonAuthoritativeInfo)
			p.write(w, r, "App")
		},
		"/down":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"/busy":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"/cut":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"/others": func(w http.ResponseWriter, r *http.Request) { r.URL.Path = "/c"; p.write(w, r, "App") },
		"/endless": func(w http.ResponseWriter, _ *http.Request) {
			typed("application/json")(w, nil)
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1024)); err != nil {
					return
				}
			}
		},
		"/slow": func(w http.ResponseWriter, r *http.Request) {
			typed("application/json")(w, r)
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"/silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"/headers": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("a", 32<<10))
			p.write(w, r, "App")
		},
	})
	for path, want := range map[string]string{
		"/plus": "App", "/html": "refused: its Content-Type", "/text": "refused: its Content-Type", "/untyped": "refused: its Content-Type",
		"/zipped": "refused: its Content-Type", "/moved": "refused: its server redirects", "/kept": "refused: its server redirects",
		"/gone": "refused: its server does not answer with the status 200", "/partial": "refused: its server does not answer", "/down": "unavailable",
		"/busy": "unavailable", "/cut": "unavailable", "/others": "refused: client_id: must be the URL", "/endless": "refused: document: has more than 5 KiB",
		"/slow": "unavailable", "/silent": "unavailable", "/headers": "unavailable",
	} {
		d := p.documents(here)
		if path == "/slow" || path == "/silent" {
			d.Hurry(200 * time.Millisecond)
		}
		if got := name(t, d, p.URL+path); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	before := p.times()
	d := p.documents(here)
	for url, want := range map[string]string{
		strings.Replace(p.URL, "127.0.0.1", "localhost", 1) + "/c": "refused: its server has no certificate", // of that name
		"https://nobody.invalid/c":                                 "refused: its host is not known",
	} {
		if got := name(t, d, url); !strings.HasPrefix(got, want) && got != "unavailable" {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
	for _, networks := range [][]string{nil, {"10.0.0.0/8"}} {
		for _, url := range []string{
			p.URL + "/c", strings.Replace(p.URL, "127.0.0.1", "localhost", 1) + "/c", "https://169.254.169.254/latest",
			"https://[::1]/c", "https://192.168.1.1/c", "https://[::ffff:127.0.0.1]/c",
		} {
			if got := name(t, p.documents(networks...), url); !strings.HasPrefix(got, "refused: its host is none of the public internet") {
				t.Errorf("%s: %q", url, got)
			}
		}
	}
	if got := name(t, p.documents("169.254.0.0/16"), "https://169.254.169.254/latest"); !strings.HasPrefix(got, "refused: its host") {
		t.Errorf("where clouds serve credentials: %q", got)
	}
	if p.times() != before {
		t.Error("a request came where none may go")
	}
	for _, id := range []string{"", "cli_00000000000000000000000000", "http://127.0.0.1/c", p.URL, p.URL + "/c?a=1"} {
		if c, err := p.documents(here).Client(t.Context(), id); err != nil || c.ID != "" {
			t.Errorf("%q is %v, %v", id, c, err)
		}
	}
	var none *clientdoc.Documents
	if c, err := none.Client(t.Context(), p.URL+"/c"); err != nil || c.ID != "" {
		t.Errorf("without documents there is %v, %v", c, err)
	}
}

func TestDocumentsAreHeld(t *testing.T) {
	t.Parallel()
	control := ""
	p := publish(t, nil)
	p.answers = map[string]http.HandlerFunc{"/c": func(w http.ResponseWriter, r *http.Request) {
		if control != "" {
			w.Header().Set("Cache-Control", control)
		}
		p.write(w, r, strconv.Itoa(p.times()))
	}}
	for header, life := range map[string]time.Duration{
		"": 5 * time.Minute, "max-age=600": 10 * time.Minute, "no-store": time.Minute, "max-age=0": time.Minute, "max-age=31536000": 24 * time.Hour,
	} {
		control = header
		d, before := p.documents(here), p.times()
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {life - time.Second, 1}, {time.Second, 2}, {life - time.Second, 2}} {
			p.advance(step.wait)
			if got := name(t, d, p.URL+"/c"); got != strconv.Itoa(before+step.want) {
				t.Errorf("%q: fetched %s times, want %d", header, got, before+step.want)
			}
		}
	}
}

// What is no good document is not held, but asked for again after some seconds only.
func TestURLsWithoutDocumentAreLeftAlone(t *testing.T) {
	t.Parallel()
	good := false
	p := publish(t, nil)
	answer := func(bad http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !good {
				bad(w, r)
				return
			}
			w.Header().Set("Cache-Control", "max-age=60")
			p.write(w, r, "App")
		}
	}
	p.answers = map[string]http.HandlerFunc{
		"/gone": answer(http.NotFound), "/down": answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }),
		"/bad": answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "max-age=86400")
			_, _ = io.WriteString(w, "{}")
		}),
	}
	for path := range p.answers {
		good = false
		d, before := p.documents(here), p.times()
		for range 3 {
			if got := name(t, d, p.URL+path); got == "App" {
				t.Errorf("%s is taken", path)
			}
		}
		good = true
		p.advance(9 * time.Second)
		if got := name(t, d, p.URL+path); got == "App" || p.times() != before+1 {
			t.Errorf("%s: fetched %d times, %q", path, p.times()-before, got)
		}
		p.advance(time.Second)
		if got := name(t, d, p.URL+path); got != "App" {
			t.Errorf("%s, once it is there: %q", path, got)
		}
		// A client that is withdrawn is none when its time is over.
		good = false
		p.advance(time.Minute)
		if got := name(t, d, p.URL+path); got == "App" {
			t.Errorf("%s is still taken", path)
		}
	}
}

// Many who ask for a client wait for one fetch, and it goes on when the first leaves.
func TestOneFetchAtATime(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	p := publish(t, nil)
	p.answers = map[string]http.HandlerFunc{"/c": func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		p.write(w, r, "App")
	}}
	d := p.documents(here)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := d.Client(ctx, p.URL+"/c")
		left <- err
	}()
	<-arrived
	leave()
	if err := <-left; err == nil {
		t.Error("whoever left has a client")
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if c, err := d.Client(t.Context(), p.URL+"/c"); err != nil || c.Settings.GetName() != "App" {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
	close(release)
	group.Wait()
	if p.times() != 1 {
		t.Errorf("fetched %d times", p.times())
	}
}

func TestFetchesAreFew(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	var l clientdoc.Limits
	enter := l.Enter
	var leave []func()
	count := func(host func(int) string, tries int) (entered int) {
		for i := range tries {
			if done, ok := enter(host(i), now); ok {
				leave = append(leave, done)
				entered++
			}
		}
		return entered
	}
	one := func(int) string { return "app.example" }
	if n := count(one, 10); n != 4 {
		t.Errorf("%d at a time of one host", n)
	}
	if n := count(func(i int) string { return fmt.Sprintf("%d.example", i) }, 100); n != 28 {
		t.Errorf("%d at a time of others", n)
	}
	for _, done := range leave {
		done()
	}
	entered := 0
	for range 100 {
		if done, ok := enter("app.example", now); ok {
			entered++
			done()
		}
	}
	if entered != 56 {
		t.Errorf("%d more in a minute of one host", entered)
	}
	for i := range 1000 {
		if done, ok := enter(fmt.Sprintf("%d.example", i), now); ok {
			entered++
			done()
		}
	}
	if entered+32 != 600 {
		t.Errorf("%d in a minute", entered+32)
	}
	if _, ok := enter("app.example", now.Add(time.Minute)); !ok {
		t.Error("the next minute has none")
	}
}

// However many there are, few are held.
func TestFewAreHeld(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	d := clientdoc.New(clientdoc.Options{Clock: p.clock})
	for i := range clientdoc.MaxHeld + 200 {
		if i%50 == 0 {
			p.advance(time.Minute)
		}
		_ = name(t, d, fmt.Sprintf("https://127.0.0.1/%d", i))
	}
	if n := d.Held(); n > clientdoc.MaxHeld || n == 0 {
		t.Errorf("%d are held", n)
	}
}
