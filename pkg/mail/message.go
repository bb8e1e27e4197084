package mail

import (
	"bytes"
	"fmt"
	"log/slog"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/meridian-iam/meridian/pkg/fault"
)

const (
	// MaxSubject bounds a subject in bytes.
	MaxSubject = 255
	// MaxText bounds the plain text in bytes.
	MaxText = 64 << 10
	// MaxHTML bounds the HTML in bytes.
	MaxHTML = 256 << 10

	maxAddress = 254
	maxLocal   = 64
)

// Message is a letter to one person. It prints as REDACTED: it holds an address,
// and most letters hold a secret.
type Message struct {
	// To is name@domain, without a display name. A domain may be written in any
	// script; a name that is not ASCII needs a server that knows SMTPUTF8.
	To string
	// Subject is one line of 1 to 255 bytes.
	Subject string
	// Text is the letter as plain text, always needed.
	Text string
	// HTML is the same letter as a page; empty means that there is none.
	HTML string
	// Until is when there is no more use in it, as for a code that has expired
	// then: a Queue drops it. Zero means never.
	Until time.Time
}

// String implements fmt.Stringer.
func (Message) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Message) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Message) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the letter out of JSON.
func (Message) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "REDACTED"

// Check says whether a server could be given the letter at all.
//
// Errors: INVALID_FIELD of to, subject, text and html.
func (m Message) Check() error {
	if _, _, err := mailbox("to", m.To); err != nil {
		return err
	}
	if m.Subject == "" || len(m.Subject) > MaxSubject {
		return fault.Field("subject", "length", fmt.Sprintf("must have 1 to %d bytes", MaxSubject))
	}
	if err := line("subject", m.Subject); err != nil {
		return err
	}
	if m.Text == "" {
		return fault.Field("text", "length", "must not be empty")
	}
	if err := body("text", m.Text, MaxText); err != nil {
		return err
	}
	return body("html", m.HTML, MaxHTML)
}

// line says whether a text may stand in a header.
func line(field, text string) error {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }) {
		return fault.Field(field, "line", "must be one line of UTF-8 without control characters")
	}
	return nil
}

func body(field, text string, limit int) error {
	if len(text) > limit {
		return fault.Field(field, "length", fmt.Sprintf("must have at most %d bytes", limit))
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fault.Field(field, "utf8", "must be UTF-8 without null characters")
	}
	return nil
}

// mailbox returns an address as SMTP takes it, its domain in A-labels, and whether
// that needs SMTPUTF8. Every address that it returns can stand between < and > in a
// command and in a header.
func mailbox(field, text string) (address string, needsUTF8 bool, err error) {
	wrong := fault.Field(field, "address", "must be an email address, as name@example.com")
	local, domain, found := strings.Cut(text, "@")
	if !found || local == "" || len(text) > maxAddress || len(local) > maxLocal || !utf8.ValidString(text) {
		return "", false, wrong
	}
	for _, r := range local {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`<>()[]\,;:"`, r) {
			return "", false, wrong
		}
		needsUTF8 = needsUTF8 || r >= utf8.RuneSelf
	}
	domain, err = idna.Lookup.ToASCII(domain)
	if err != nil || domain == "" || len(domain) > maxAddress {
		return "", false, wrong
	}
	return local + "@" + domain, needsUTF8, nil
}

// letter is a message as it goes over the wire.
type letter struct {
	to        string
	needsUTF8 bool
	content   []byte
}

// compose writes the message. Headers hold only what Check lets pass, what is
// encoded, and what this program makes itself.
func (m Message) compose(from *mail.Address, id string, at time.Time) (letter, error) {
	if err := m.Check(); err != nil {
		return letter{}, err
	}
	to, needsUTF8, err := mailbox("to", m.To)
	if err != nil {
		return letter{}, err
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	var out bytes.Buffer
	for _, header := range [][2]string{
		{"From", header(phrase, from.Name, "<"+from.Address+">")},
		{"To", "<" + to + ">"},
		{"Subject", header(unstructured, m.Subject, "")},
		{"Date", at.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700")},
		{"Message-ID", "<" + id + "@" + domain + ">"},
		{"MIME-Version", "1.0"},
		// No out-of-office notices, please: RFC 3834.
		{"Auto-Submitted", "auto-generated"},
	} {
		out.WriteString(header[0] + ": " + header[1] + "\r\n")
	}
	if err := m.parts(&out); err != nil {
		return letter{}, err
	}
	return letter{to: to, needsUTF8: needsUTF8, content: out.Bytes()}, nil
}

// parts writes what is left of the headers, and the text alone or text and HTML as
// alternatives, the better one last.
func (m Message) parts(out *bytes.Buffer) error {
	if m.HTML == "" {
		out.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		w := quotedprintable.NewWriter(out)
		if _, err := w.Write(lineEnds(m.Text)); err != nil {
			return err
		}
		return w.Close()
	}
	alternatives := multipart.NewWriter(out)
	out.WriteString("Content-Type: multipart/alternative;\r\n boundary=" + alternatives.Boundary() + "\r\n\r\n")
	for _, part := range [][2]string{{"text/plain", m.Text}, {"text/html", m.HTML}} {
		w, err := alternatives.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {part[0] + "; charset=utf-8"},
			"Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return err
		}
		encoded := quotedprintable.NewWriter(w)
		if _, err := encoded.Write(lineEnds(part[1])); err != nil {
			return err
		}
		if err := encoded.Close(); err != nil {
			return err
		}
	}
	return alternatives.Close()
}

// lineEnds is a text with one kind of line end: quotedprintable loses track of a
// carriage return that is followed by something else than a line feed.
func lineEnds(text string) []byte {
	return []byte(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text))
}
