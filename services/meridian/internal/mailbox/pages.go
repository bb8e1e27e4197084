package mailbox

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the templates
	"encoding/base64"
	"encoding/json"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/serve"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Path is where the pages are.
const Path = "/dev/mail"

//go:embed pages.tmpl
var source string

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"style": func() template.CSS { return style },
	"time":  func(t time.Time) string { return t.Format("2006-01-02 15:04:05 UTC") },
}).Parse(source))

const style = `body{font:16px/1.5 sans-serif;margin:2rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #ccc;overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:1rem}iframe{width:100%;height:40rem;border:1px solid #ccc}`

// The policies: no script anywhere. A letter's own HTML may have styles, and
// nothing else: it loads nothing, sends nothing, and is in an origin of its own.
var pagePolicy = "default-src 'none'; style-src '" + hashOf(style) + "'; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

const letterPolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Mount adds the pages to a server:
//
//	GET /dev/mail             the messages, newest first
//	GET /dev/mail/{id}        one message
//	GET /dev/mail/{id}/html   its HTML
//	GET /dev/mail.json        {"messages": […]}, for tests
//
// The first and the last take ?to=, an address. They need no token, but a caller of
// this machine that asks for it by an address or as localhost: pages of other sites
// read nothing.
func (b *Box) Mount(server *serve.Server) {
	for path, page := range map[string]struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request) error
	}{
		Path:                {"List", b.list},
		Path + "/{id}":      {"Message", b.view},
		Path + "/{id}/html": {"HTML", b.html},
		Path + ".json":      {"JSON", b.json},
	} {
		server.Mount("GET "+path, server.Plain(serve.Plain{
			Procedure: "/dev.mail.v1/" + page.name, Audience: "dev.mail.v1", Refuse: refuse,
			Answer: func(w http.ResponseWriter, r *http.Request) error {
				if err := b.guard(r); err != nil {
					return err
				}
				return page.answer(w, r)
			},
		}))
	}
}

// guard keeps other machines out, and other sites whose name was made to point here.
func (b *Box) guard(r *http.Request) error {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if !b.options.AllowRemote && (err != nil || !remote.Addr().Unmap().IsLoopback()) {
		return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "the mailbox is shown on its own machine only")
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" {
		return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "ask for the mailbox at an IP address or at localhost")
	}
	return nil
}

func (b *Box) list(w http.ResponseWriter, r *http.Request) error {
	to := r.URL.Query().Get("to")
	return show(w, "list", struct {
		To       string
		Max      int
		Messages []Message
	}{to, MaxMessages, b.Messages(to)})
}

func (b *Box) view(w http.ResponseWriter, r *http.Request) error {
	m, err := b.asked(r)
	if err != nil {
		return err
	}
	return show(w, "message", m)
}

func (b *Box) html(w http.ResponseWriter, r *http.Request) error {
	m, err := b.asked(r)
	if err != nil {
		return err
	}
	headers(w, "text/html; charset=utf-8", letterPolicy)
	_, err = io.WriteString(w, m.HTML)
	return err
}

func (b *Box) json(w http.ResponseWriter, r *http.Request) error {
	content, err := json.Marshal(map[string]any{"messages": b.Messages(r.URL.Query().Get("to"))})
	if err != nil {
		return err
	}
	headers(w, "application/json", pagePolicy)
	_, err = w.Write(content)
	return err
}

func (b *Box) asked(r *http.Request) (Message, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	m, found := b.message(id)
	if err != nil || !found {
		return Message{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "there is no such message, or no more")
	}
	return m, nil
}

func show(w http.ResponseWriter, page string, data any) error {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, page, data); err != nil {
		return err
	}
	headers(w, "text/html; charset=utf-8", pagePolicy)
	_, err := w.Write(out.Bytes())
	return err
}

func headers(w http.ResponseWriter, kind, policy string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func refuse(w http.ResponseWriter, _ *http.Request, f *fault.Fault) {
	status := http.StatusServiceUnavailable
	switch f.Kind {
	case fault.Denied:
		status = http.StatusForbidden
	case fault.NotFound:
		status = http.StatusNotFound
	case fault.Internal:
		status = http.StatusInternalServerError
	default: // the server is busy or stops
	}
	headers(w, "text/plain; charset=utf-8", pagePolicy)
	w.WriteHeader(status)
	// The client is gone when this fails; there is nobody left to tell.
	_, _ = io.WriteString(w, f.Detail+"\n")
}
