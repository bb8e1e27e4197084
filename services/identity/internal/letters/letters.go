// Package letters writes what identity mails to people, in their language.
//
// Each letter is a struct of what is in it. Its texts are templates/LOCALE/NAME.tmpl,
// where the blocks subject, text and html say the same three times. Values that
// people chose, as names of organizations, are escaped, cut, and cannot become
// links.
package letters

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/pkg/mail"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
)

// Config says in whose name letters are written, and where their links lead.
type Config struct {
	// Product is what people know the service as, at most 64 bytes.
	Product string
	// Pages are where links lead.
	Pages Pages
}

// Pages are absolute URLs, https but for a loopback address, without a query. To
// those that say so, ?token= is added. A page only shows a button for a token that
// is good: programs that look at mail open links too, and must use nothing up.
type Pages struct {
	// SignIn is where people sign in.
	SignIn string
	// Link takes the token of a sign-in link.
	Link string
	// Confirm takes the token that confirms an address.
	Confirm string
	// Invitation takes the token of an invitation.
	Invitation string
	// Recovery starts a recovery, and takes its token.
	Recovery string
}

// PagesAt are pages below one URL, as https://id.example.com.
func PagesAt(base string) Pages {
	base = strings.TrimSuffix(base, "/")
	return Pages{
		SignIn: base + "/sign-in", Link: base + "/sign-in/link", Confirm: base + "/confirm",
		Invitation: base + "/invitation", Recovery: base + "/recovery",
	}
}

const maxProduct = 64

func (c Config) check() error {
	if product, err := displayname.Check("product", c.Product); err != nil || product != c.Product || len(product) > maxProduct {
		return fmt.Errorf("letters: product must be a name of at most %d bytes", maxProduct)
	}
	for name, page := range map[string]string{
		"sign_in": c.Pages.SignIn, "link": c.Pages.Link, "confirm": c.Pages.Confirm,
		"invitation": c.Pages.Invitation, "recovery": c.Pages.Recovery,
	} {
		if err := checkPage(page); err != nil {
			return fmt.Errorf("letters: page %s: %w", name, err)
		}
	}
	return nil
}

const maxPage = 512

func checkPage(page string) error {
	u, err := url.Parse(page)
	switch {
	case err != nil || len(page) > maxPage || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.String() != page:
		return errors.New("must be an absolute URL without user, query and fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return errors.New("must be https")
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

//go:embed templates
var files embed.FS

// Desk writes letters. It is for concurrent use.
type Desk struct {
	config Config
	sheets map[Locale]map[string]sheet
}

// sheet is one letter in one language.
type sheet struct {
	text *template.Template
	html *htmltemplate.Template
}

// NewDesk checks the configuration and reads the templates.
func NewDesk(c Config) (*Desk, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	d := &Desk{config: c, sheets: make(map[Locale]map[string]sheet, len(words))}
	for locale, w := range words {
		d.sheets[locale] = make(map[string]sheet)
		names, err := fs.Glob(files, "templates/"+string(locale)+"/*.tmpl")
		if err != nil {
			return nil, fmt.Errorf("letters: %w", err)
		}
		for _, name := range names {
			s, err := read(name, w)
			if err != nil {
				return nil, fmt.Errorf("letters: %w", err)
			}
			d.sheets[locale][strings.TrimSuffix(path.Base(name), ".tmpl")] = s
		}
	}
	return d, nil
}

func read(name string, w wording) (sheet, error) {
	functions := map[string]any{"lifetime": w.lifetime, "time": w.time}
	text, err := template.New("").Funcs(functions).ParseFS(files, name)
	if err != nil {
		return sheet{}, err
	}
	html, err := htmltemplate.New("").Funcs(functions).ParseFS(files, name, "templates/layout.tmpl")
	if err != nil {
		return sheet{}, err
	}
	return sheet{text: text, html: html}, nil
}

// Write writes a letter to an address, in a language. Set the message's Until when
// what is in it expires.
//
// An error is a defect of the caller's: a letter lacks what it needs, or an address
// is none. It holds neither.
func (d *Desk) Write(locale Locale, to string, letter Letter) (mail.Message, error) {
	values, err := letter.values(d.config)
	if err != nil {
		return mail.Message{}, fmt.Errorf("letter %s: %w", letter.name(), err)
	}
	s, found := d.sheets[locale][letter.name()]
	if !found {
		return mail.Message{}, fmt.Errorf("letter %s: is not written in %q", letter.name(), locale)
	}
	values.Locale, values.Product, values.SignIn = locale, d.config.Product, d.config.Pages.SignIn
	m := mail.Message{To: to}
	if m.Subject, err = render(s.text, "subject", values); err != nil {
		return mail.Message{}, err
	}
	m.Subject = strings.Join(strings.Fields(m.Subject), " ")
	if m.Text, err = render(s.text, "text", values); err != nil {
		return mail.Message{}, err
	}
	m.Text = strings.TrimSpace(m.Text) + "\n"
	values.Subject = m.Subject
	if m.HTML, err = render(s.html, "layout", values); err != nil {
		return mail.Message{}, err
	}
	return m, m.Check()
}

// render executes a block. The error of a template could hold a value, so it is
// not passed on.
func render(t interface {
	ExecuteTemplate(w io.Writer, name string, data any) error
}, block string, v values,
) (string, error) {
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, block, v); err != nil {
		return "", fmt.Errorf("letter's block %s: the template failed", block)
	}
	return out.String(), nil
}

const (
	maxNameRunes = 64
	maxNameBytes = 128
)

// shown returns a name that people chose as letters show it: one line, cut, and
// with a word joiner, which nobody sees, wherever a mail program could find a link
// in it.
func shown(name string) string {
	var out strings.Builder
	runes, previous := 0, ' '
	for _, r := range strings.Join(strings.Fields(name), " ") {
		if r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) {
			continue
		}
		if strings.ContainsRune(".:/@", previous) && r != ' ' {
			out.WriteRune('\u2060')
		}
		if runes++; runes > maxNameRunes || out.Len() > maxNameBytes {
			out.WriteString("…")
			break
		}
		out.WriteRune(r)
		previous = r
	}
	return out.String()
}
