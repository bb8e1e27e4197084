package mail

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
)

func TestCheck(t *testing.T) {
	good := Message{To: "ada@example.com", Subject: "s", Text: "t"}
	for name, tc := range map[string]struct {
		change func(*Message)
		field  string
	}{
		"good":                     {func(*Message) {}, ""},
		"longest":                  {func(m *Message) { m.Subject, m.Text = strings.Repeat("s", MaxSubject), strings.Repeat("t", MaxText) }, ""},
		"no address":               {func(m *Message) { m.To = "" }, "to"},
		"no at":                    {func(m *Message) { m.To = "ada" }, "to"},
		"two addresses":            {func(m *Message) { m.To = "ada@example.com,eve@example.com" }, "to"},
		"two ats":                  {func(m *Message) { m.To = "ada@b@example.com" }, "to"},
		"header in the address":    {func(m *Message) { m.To = "ada@example.com\r\nBcc: eve@example.com" }, "to"},
		"header before the at":     {func(m *Message) { m.To = "ada\r\nBcc: eve@example.com" }, "to"},
		"command in the address":   {func(m *Message) { m.To = "ada>\r\nRCPT TO:<eve@example.com" }, "to"},
		"parameter in the address": {func(m *Message) { m.To = "ada@example.com> ORCPT=x" }, "to"},
		"space before the at":      {func(m *Message) { m.To = "ada x@example.com" }, "to"},
		"bracket":                  {func(m *Message) { m.To = "<ada@example.com>" }, "to"},
		"quoted":                   {func(m *Message) { m.To = `"ada"@example.com` }, "to"},
		"null in the address":      {func(m *Message) { m.To = "ada\x00@example.com" }, "to"},
		"64 KiB of address":        {func(m *Message) { m.To = strings.Repeat("a", 64<<10) + "@example.com" }, "to"},
		"no UTF-8 in the address":  {func(m *Message) { m.To = "ad\xff@example.com" }, "to"},
		"bidi override":            {func(m *Message) { m.To = "ada\u202E@example.com" }, "to"},
		"address literal":          {func(m *Message) { m.To = "ada@[127.0.0.1]" }, "to"},
		"no subject":               {func(m *Message) { m.Subject = "" }, "subject"},
		"long subject":             {func(m *Message) { m.Subject = strings.Repeat("s", MaxSubject+1) }, "subject"},
		"header in the subject":    {func(m *Message) { m.Subject = "s\r\nBcc: eve@example.com" }, "subject"},
		"body in the subject":      {func(m *Message) { m.Subject = "s\n\nhello" }, "subject"},
		"return in the subject":    {func(m *Message) { m.Subject = "s\rt" }, "subject"},
		"separator in the subject": {func(m *Message) { m.Subject = "s\u2028t" }, "subject"},
		"null in the subject":      {func(m *Message) { m.Subject = "s\x00" }, "subject"},
		"no UTF-8 in the subject":  {func(m *Message) { m.Subject = "\xff" }, "subject"},
		"no text":                  {func(m *Message) { m.Text = "" }, "text"},
		"long text":                {func(m *Message) { m.Text = strings.Repeat("t", MaxText+1) }, "text"},
		"null in the text":         {func(m *Message) { m.Text = "t\x00" }, "text"},
		"no UTF-8 in the text":     {func(m *Message) { m.Text = "\xff" }, "text"},
		"long HTML":                {func(m *Message) { m.HTML = strings.Repeat("h", MaxHTML+1) }, "html"},
		"no UTF-8 in the HTML":     {func(m *Message) { m.HTML = "\xff" }, "html"},
	} {
		t.Run(name, func(t *testing.T) {
			m := good
			tc.change(&m)
			err := m.Check()
			f, ok := fault.As(err)
			if tc.field == "" && err != nil || tc.field != "" && (!ok || f.Kind != fault.Invalid || f.Meta["field"] != tc.field) {
				t.Errorf("Check = %v, want a fault of %q", err, tc.field)
			}
			if _, composed := m.compose(&mail.Address{Address: "a@b.example"}, "id", time.Now()); (composed == nil) != (err == nil) {
				t.Errorf("compose = %v, and Check = %v", composed, err)
			}
		})
	}
}

func TestMessageIsNotPrinted(t *testing.T) {
	m := Message{To: "ada@example.com", Subject: "s", Text: "t"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, m); got != redacted {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if got := m.LogValue().String(); got != redacted {
		t.Errorf("logged as %q", got)
	}
}

func TestHeader(t *testing.T) {
	for given, want := range map[string]string{
		"Your code: 123456":             "Your code: 123456",
		"=?utf-8?q?Bcc?=":               "=?utf-8?b?PT91dGYtOD9xP0JjYz89?=",
		"two  spaces":                   "=?utf-8?b?dHdvICBzcGFjZXM=?=",
		" space":                        "=?utf-8?b?IHNwYWNl?=",
		"Größe":                         "=?utf-8?b?R3LDtsOfZQ==?=",
		strings.Repeat("word ", 20)[1:]: "=?utf-8?b?",
		strings.Repeat("ö", 60):         "=?utf-8?b?",
	} {
		got := header(unstructured, given, "")
		if !strings.HasPrefix(got, want) {
			t.Errorf("header(%q) = %q, want %q", given, got, want)
		}
		for l := range strings.SplitSeq("Subject: "+got, "\r\n") {
			if len(l) > 77 {
				t.Errorf("header(%q) has a line of %d: %q", given, len(l), l)
			}
		}
		if back, err := new(mime.WordDecoder).DecodeHeader(strings.ReplaceAll(got, "\r\n", "")); err != nil || back != given {
			t.Errorf("header(%q) reads as %q, %v", given, back, err)
		}
	}
	if got, want := header(phrase, "Acme, Inc.", "<a@b.example>"), "=?utf-8?b?QWNtZSwgSW5jLg==?= <a@b.example>"; got != want {
		t.Errorf("header = %q, want %q", got, want)
	}
}

// FuzzCompose: a letter that is composed reads as it was written, and has no other
// header than a letter has.
func FuzzCompose(f *testing.F) {
	for _, s := range []Message{
		{To: "ada@example.com", Subject: "s", Text: "t", HTML: "<p>"},
		{To: "ada@example.com\r\nBcc: x@y.z", Subject: "s\r\nBcc: x@y.z", Text: "t"},
		{To: "zoë@bücher.example", Subject: "=?utf-8?q?x?=", Text: "--boundary\r\n\r\n.\r\n", HTML: "\n.\n"},
		{To: "a@b.c", Subject: "s", Text: "\r\x01\n", HTML: "\r\x01\n"},
		{To: "a@b.c", Subject: "ö ö  ö", Text: "\r\r\n =3D", HTML: "--"},
	} {
		f.Add(s.To, s.Subject, s.Text, s.HTML)
	}
	known := []string{
		"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding",
	}
	from := &mail.Address{Name: "Acme, Größe", Address: "no-reply@acme.example"}
	f.Fuzz(func(t *testing.T, to, subject, text, html string) {
		m := Message{To: to, Subject: subject, Text: text, HTML: html}
		l, err := m.compose(from, "0123", time.Unix(0, 0))
		if err != nil {
			if _, ok := fault.As(err); !ok || l.content != nil {
				t.Errorf("compose = %q, %v", l.content, err)
			}
			return
		}
		if strings.ContainsAny(l.to, "\r\n<> \x00") {
			t.Errorf("recipient %q", l.to)
		}
		read, err := mail.ReadMessage(strings.NewReader(string(l.content)))
		if err != nil {
			t.Fatalf("%q: %v", l.content, err)
		}
		for name, values := range read.Header {
			if !slices.Contains(known, name) || len(values) != 1 {
				t.Errorf("header %s: %q", name, values)
			}
		}
		if got, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject")); err != nil || got != subject {
			t.Errorf("subject %q reads as %q, %v", subject, got, err)
		}
		texts, err := bodies(read)
		want := []string{text}
		if html != "" {
			want = append(want, html)
		}
		if err != nil || fmt.Sprintf("%q", texts) != fmt.Sprintf("%q", lines(want)) {
			t.Errorf("texts %q, %v; want %q", texts, err, want)
		}
	})
}

// lines has the line ends that a letter has.
func lines(texts []string) []string {
	var out []string
	for _, text := range texts {
		text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
		out = append(out, strings.ReplaceAll(text, "\n", "\r\n"))
	}
	return out
}

func bodies(m *mail.Message) ([]string, error) {
	if m.Header.Get("Content-Transfer-Encoding") != "" {
		text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		return []string{string(text)}, err
	}
	_, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	var texts []string
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return texts, nil
		}
		if err != nil {
			return texts, err
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return texts, err
		}
		texts = append(texts, string(text))
	}
}
