package browsertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Page is a tab with cookies and storage of its own. Its methods wait until what
// they name is there, and end the test when it does not come; they are called
// from the test's own goroutine. Selectors are Playwright's: CSS, text=…, ….
type Page struct {
	t  testing.TB
	b  *Browser
	id string
}

// Page opens a page for the length of a test. A subtest opens its own.
func (b *Browser) Page(t testing.TB) *Page {
	t.Helper()
	p := &Page{t: t, b: b}
	var id string
	p.do("open", map[string]any{"timeout": stepWithin.Milliseconds()}, &id)
	p.id = id
	t.Cleanup(func() {
		// The browser may have ended before.
		_ = b.do(command{Command: "close", Page: id}, nil)
	})
	return p
}

// Goto goes to a URL, waits until the page is loaded, and returns the status of
// the answer.
func (p *Page) Goto(url string) int {
	p.t.Helper()
	var status int
	p.do("goto", map[string]any{"url": url}, &status)
	return status
}

// URL returns where the page is.
func (p *Page) URL() string {
	p.t.Helper()
	var url string
	p.do("url", nil, &url)
	return url
}

// WaitURL waits until the page is at a URL that begins with prefix.
func (p *Page) WaitURL(prefix string) {
	p.t.Helper()
	p.do("waitURL", map[string]any{"prefix": prefix}, nil)
}

// Eval evaluates script in the page and, unless out is nil, decodes its value,
// of JSON, into out. A promise is waited for. With args, script is a function
// that takes them.
func (p *Page) Eval(script string, out any, args ...any) {
	p.t.Helper()
	if err := p.TryEval(script, out, args...); err != nil {
		p.t.Fatalf("browser: eval: %v", err)
	}
}

// TryEval is Eval that returns what the script throws.
func (p *Page) TryEval(script string, out any, args ...any) error {
	if len(args) > 0 {
		texts := make([]string, len(args))
		for i, a := range args {
			text, err := json.Marshal(a)
			if err != nil {
				return err
			}
			texts[i] = string(text)
		}
		script = fmt.Sprintf("(%s)(%s)", script, strings.Join(texts, ","))
	}
	return p.b.do(command{Command: "eval", Page: p.id, Args: map[string]any{"source": script}}, out)
}

// CDP sends a command of the Chrome DevTools Protocol to the page; params and out
// may be nil.
func (p *Page) CDP(method string, params, out any) {
	p.t.Helper()
	p.do("cdp", map[string]any{"name": method, "params": params}, out)
}

// Click clicks the element.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do("click", map[string]any{"selector": selector}, nil)
}

// Fill sets the text of an input.
func (p *Page) Fill(selector, text string) {
	p.t.Helper()
	p.do("fill", map[string]any{"selector": selector, "text": text}, nil)
}

// Press presses a key in the element, for example Enter.
func (p *Page) Press(selector, key string) {
	p.t.Helper()
	p.do("press", map[string]any{"selector": selector, "key": key}, nil)
}

// Wait waits until the element is visible.
func (p *Page) Wait(selector string) {
	p.t.Helper()
	p.do("wait", map[string]any{"selector": selector}, nil)
}

// Text returns the visible text of the element.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	var text string
	p.do("text", map[string]any{"selector": selector}, &text)
	return text
}

// Screenshot writes the whole page as PNG.
func (p *Page) Screenshot(path string) {
	p.t.Helper()
	p.do("screenshot", map[string]any{"path": path}, nil)
}

// Errors returns what scripts threw, and the console's errors, since it was last
// asked.
func (p *Page) Errors() []string {
	p.t.Helper()
	var all []string
	p.do("errors", nil, &all)
	return all
}

func (p *Page) do(name string, args map[string]any, out any) {
	p.t.Helper()
	if err := p.b.do(command{Command: name, Page: p.id, Args: args}, out); err != nil {
		p.t.Fatalf("browser: %s: %v", name, err)
	}
}
