package browsertest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/browsertest"
)

func serve(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		seen, _ := r.Cookie("seen")
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "yes"})
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><title>A form</title><p id="seen">%v</p>
			<form action="/hello"><label>Name <input name="name"></label><button>Send</button></form>`, seen != nil)
	})
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><h1>Hello %s</h1><script>throw new Error("broken script")</script>`, r.URL.Query().Get("name"))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestPage(t *testing.T) {
	at := serve(t)
	p := browsertest.Open(t).Page(t)
	if status := p.Goto(at); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	p.Fill("input[name=name]", "Alice")
	p.Press("input[name=name]", "Enter")
	p.WaitURL(at + "/hello")
	p.Wait("h1")
	if got := p.Text("h1"); got != "Hello Alice" {
		t.Errorf("text %q", got)
	}
	if got := p.URL(); got != at+"/hello?name=Alice" {
		t.Errorf("at %s", got)
	}
	if got := p.Errors(); len(got) != 1 || !strings.Contains(got[0], "broken script") {
		t.Errorf("errors %q", got)
	}
	if got := p.Errors(); len(got) != 0 {
		t.Errorf("errors again: %q", got)
	}

	var sum struct{ Sum int }
	p.Eval("async (a, b) => ({Sum: a.n + b})", &sum, map[string]int{"n": 40}, 2)
	if sum.Sum != 42 {
		t.Errorf("sum %d", sum.Sum)
	}
	if err := p.TryEval("Promise.reject(new Error('no'))", nil); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("a script that throws: %v", err)
	}
	var version struct{ Product string }
	p.CDP("Browser.getVersion", nil, &version)
	if !strings.Contains(version.Product, "Chrome") {
		t.Errorf("version %+v", version)
	}
	t.Log(version.Product)
	path := filepath.Join(t.TempDir(), "page.png")
	p.Screenshot(path)
	if content, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(content, []byte("\x89PNG")) {
		t.Errorf("screenshot: %v", err)
	}
}

// Pages share nothing.
func TestPagesAreApart(t *testing.T) {
	at, b := serve(t), browsertest.Open(t)
	alice, bob := b.Page(t), b.Page(t)
	alice.Goto(at)
	alice.Goto(at)
	bob.Goto(at)
	if got := alice.Text("#seen"); got != "true" {
		t.Errorf("alice's second visit: %s", got)
	}
	if got := bob.Text("#seen"); got != "false" {
		t.Errorf("bob's first visit: %s", got)
	}
}

// A step that cannot succeed fails within its time, and the browser works on.
func TestScriptThatFails(t *testing.T) {
	p := browsertest.Open(t).Page(t)
	p.Goto(serve(t))
	for _, script := range []string{"nothing.there", "(() => { throw new Error('thrown') })()", "syntax error"} {
		if err := p.TryEval(script, nil); err == nil {
			t.Errorf("%s: no error", script)
		}
	}
	var two int
	if err := p.TryEval("1+1", &two); err != nil || two != 2 {
		t.Errorf("got %d, %v", two, err)
	}
}
