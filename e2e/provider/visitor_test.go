package provider_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
)

// visitor is a browser without script: it follows redirects, keeps cookies, and fills in
// forms. It stops where an application is called back.
type visitor struct {
	t      *testing.T
	w      *world
	client *http.Client
	// at is where it is, with the status and the text of the page; back is where the
	// application was called back, or "".
	at     *url.URL
	status int
	header http.Header
	body   string
	back   string
}

// jar keeps all cookies of the provider: it is on a loopback address, where browsers
// take Secure ones.
type jar struct {
	mu   sync.Mutex
	held map[string]*http.Cookie
}

func (j *jar) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(j.held, c.Name)
			continue
		}
		j.held[c.Name] = c
	}
}

func (j *jar) Cookies(u *url.URL) []*http.Cookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	if u.Hostname() != "localhost" {
		return nil
	}
	var out []*http.Cookie
	for _, c := range j.held {
		out = append(out, &http.Cookie{Name: c.Name, Value: c.Value})
	}
	return out
}

func (w *world) visitor(t *testing.T) *visitor {
	t.Helper()
	v := &visitor{t: t, w: w}
	v.client = &http.Client{Jar: &jar{held: map[string]*http.Cookie{}}, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), w.issuer) || len(via) > 10 {
			v.back = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return v
}

func (v *visitor) do(req *http.Request) {
	v.t.Helper()
	v.back = ""
	res, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.at, v.status, v.header, v.body = res.Request.URL, res.StatusCode, res.Header, string(body)
}

// open goes to a page.
func (v *visitor) open(target string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, target, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	v.do(req)
}

// form is one of a page.
type form struct {
	action string
	fields url.Values
}

// find is the form of the page that has an input or a button of a name.
func (v *visitor) find(name string) form {
	v.t.Helper()
	doc, err := html.Parse(strings.NewReader(v.body))
	if err != nil {
		v.t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		f, found := form{action: attribute(n, "action"), fields: url.Values{}}, false
		for in := range n.Descendants() {
			if in.Type != html.ElementNode || in.Data != "input" && in.Data != "button" {
				continue
			}
			found = found || attribute(in, "name") == name
			if attribute(in, "type") == "hidden" {
				f.fields.Set(attribute(in, "name"), attribute(in, "value"))
			}
		}
		if found {
			return f
		}
	}
	v.t.Fatalf("no form of %s (%d) has %s:\n%s", v.at, v.status, name, v.body)
	return form{}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// send fills in the form that has a field, and sends it as a browser does.
func (v *visitor) send(name, value string) {
	v.t.Helper()
	f := v.find(name)
	f.fields.Set(name, value)
	v.post(f.action, f.fields, v.w.issuer)
}

// post sends a form from a page of an origin.
func (v *visitor) post(path string, fields url.Values, origin string) {
	v.t.Helper()
	target, err := url.Parse(v.w.issuer)
	if err != nil {
		v.t.Fatal(err)
	}
	if target, err = target.Parse(path); err != nil {
		v.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, target.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	v.do(req)
}

// signIn proves who one is, by password, at the page that asks.
func (v *visitor) signIn(email string) {
	v.t.Helper()
	v.send("email", email)
	v.send("password", password)
}
