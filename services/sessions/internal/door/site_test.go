package door_test

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

const (
	authenticationCookie = "__Host-meridian_authentication"
	deviceCookie         = "__Host-meridian_device"
	sessionCookie        = "session"
)

// site is a door with identity behind it, and a flow that gives sessions.
type site struct {
	*httptest.Server

	identity *identity

	mu sync.Mutex
	// pending are the requests that there are.
	pending map[string]door.Pending
	results []*identityv1.FinishAuthenticationResponse
	noMore  int
	// leads is where SignedIn says that the browser goes; "": on with the request.
	leads string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{identity: &identity{}}
	s.begin()
	caller := s.identity.serve(t)
	d := &door.Door{
		Authentications: identityv1connect.NewAuthenticationServiceClient(caller.HTTP, caller.BaseURL, caller.Options...),
		Domains:         identityv1connect.NewDomainServiceClient(caller.HTTP, caller.BaseURL, caller.Options...),
		Flow:            s, Pages: plain{},
	}
	mux := http.NewServeMux()
	mux.Handle("/", d.Handler(func(w http.ResponseWriter, _ *http.Request, err error) {
		status := http.StatusInternalServerError
		if f, ok := fault.As(err); ok {
			status = map[fault.Kind]int{fault.NotFound: 404, fault.Denied: 403, fault.Invalid: 400, fault.Unavailable: 503}[f.Kind]
		}
		http.Error(w, "error", max(status, 400))
	}))
	arrived := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"page":"signed in"}`) }
	mux.HandleFunc("GET /account", arrived)
	mux.HandleFunc("GET /continue", arrived)
	s.Server = httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	return s
}

// begin makes it as new, for another row of a table: servers are slow to make.
func (s *site) begin() {
	s.identity.do(s.identity.begin)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = map[string]door.Pending{"app": {ID: "app", Client: "App"}, "other": {ID: "other", Client: "Other"}}
	s.results, s.noMore, s.leads = nil, 0, ""
}

// plain writes views as JSON.
type plain struct{}

func (plain) Write(w http.ResponseWriter, _ *http.Request, status int, v pages.View) error {
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(struct {
		Page string     `json:"page"`
		View pages.View `json:"view"`
	}{strings.TrimPrefix(fmt.Sprintf("%T", v), "pages."), v})
}

// Pending implements door.Flow.
func (s *site) Pending(r *http.Request) (door.Pending, error) {
	name := r.URL.Query().Get("request")
	if r.Method == http.MethodPost {
		name = r.PostFormValue("request")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, known := s.pending[name]; known || name == "" {
		return p, nil
	}
	return door.Pending{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "the request is over")
}

// SignedIn implements door.Flow.
func (s *site) SignedIn(w http.ResponseWriter, _ *http.Request, p door.Pending, result *identityv1.FinishAuthenticationResponse) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, result)
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: rand.Text(), Path: "/", Secure: true, HttpOnly: true})
	switch {
	case s.leads != "":
		return s.leads, nil
	case p.ID == "":
		return "/account", nil
	}
	return "/continue?request=" + p.ID, nil
}

// NoStepUp implements door.Flow.
func (s *site) NoStepUp(_ http.ResponseWriter, _ *http.Request, p door.Pending) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noMore++
	return "/continue?request=" + p.ID, nil
}

// browser is somebody's.
type browser struct {
	t    *testing.T
	site *site
	http *http.Client
	// passed are the addresses that the last request was sent on to.
	passed []string
}

func (s *site) browser(t *testing.T) *browser {
	t.Helper()
	b := &browser{t: t, site: s}
	jar, _ := cookiejar.New(nil)
	b.http = &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Jar: jar,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			b.passed = append(b.passed, r.URL.RequestURI())
			if r.URL.Host != via[0].URL.Host || len(via) > 5 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	t.Cleanup(b.http.CloseIdleConnections)
	return b
}

// page is what a browser shows.
type page struct {
	status int
	header http.Header
	body   string
	name   string
	view   map[string]any
}

// String is the page's name, the kind of its factor, and its problem.
func (p page) String() string {
	if p.name == "" {
		return fmt.Sprint(p.status)
	}
	words := []string{p.name}
	for _, key := range []string{"Kind", "Problem"} {
		if text, _ := p.view[key].(string); text != "" {
			words = append(words, text)
		}
	}
	return strings.Join(words, " ")
}

// is says whether something is so on the page.
func (p page) is(key string) bool { return p.view[key] == any(true) }

// others are the other ways on the page.
func (p page) others() string {
	var out []string
	others, _ := p.view["Others"].([]any)
	for _, o := range others {
		out = append(out, o.(map[string]any)["Factor"].(string))
	}
	return strings.Join(out, " ")
}

func (b *browser) do(r *http.Request) page {
	b.t.Helper()
	b.passed = nil
	answer, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := page{status: answer.StatusCode, header: answer.Header, body: string(body)}
	var shown struct {
		Page string         `json:"page"`
		View map[string]any `json:"view"`
	}
	if json.Unmarshal(body, &shown) == nil {
		p.name, p.view = shown.Page, shown.View
	}
	return p
}

func (b *browser) get(path string) page {
	b.t.Helper()
	r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.site.URL+path, nil)
	return b.do(r)
}

// form is what is posted, as email=ada@example.com&request=app.
func (b *browser) post(path, form string, header ...string) page {
	b.t.Helper()
	r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.site.URL+path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}

// cookie is one that the browser has, or "".
func (b *browser) cookie(name string) string {
	at, _ := url.Parse(b.site.URL)
	for _, c := range b.http.Jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) put(name, value string) {
	at, _ := url.Parse(b.site.URL)
	b.http.Jar.SetCookies(at, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// fill puts what was sent by mail into a form.
func (s *site) fill(form string) string {
	s.identity.do(func() {
		if a := s.identity.latest; a != nil {
			form = strings.NewReplacer("{code}", a.code, "{link}", a.link).Replace(form)
		}
	})
	return form
}
