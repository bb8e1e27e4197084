package mailbox

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	nested := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	deep := nested
	for range 100 {
		deep += "--b\r\n" + nested
	}
	for name, tc := range map[string]struct {
		given, subject, text, html string
	}{
		"plain":          {"Subject: s\r\n\r\nhello\r\n", "s", "hello\n", ""},
		"html only":      {"Subject: s\r\nContent-Type: text/html\r\n\r\n<p>", "s", "", "<p>"},
		"base64":         {"Content-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n", "", "hello", ""},
		"alternatives":   {"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nt\r\n--b\r\nContent-Type: text/html\r\n\r\n<h>\r\n--b--\r\n", "", "t", "<h>"},
		"attachment":     {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\n\r\nxx\r\n--b\r\n\r\nt\r\n--b--\r\n", "", "t", ""},
		"encoded":        {"Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\n\r\nx", "Größe", "x", ""},
		"unknown words":  {"Subject: =?klingon?q?x?=\r\n\r\nx", "=?klingon?q?x?=", "x", ""},
		"no header":      {"hello", "", "hello", ""},
		"nothing":        {"", "", "", ""},
		"too deep":       {deep, "", strings.ReplaceAll(deep, "\r\n", "\n"), ""},
		"no boundary":    {"Content-Type: multipart/mixed\r\n\r\nx", "", "Content-Type: multipart/mixed\n\nx", ""},
		"broken base64":  {"Content-Transfer-Encoding: base64\r\n\r\n!", "", "Content-Transfer-Encoding: base64\n\n!", ""},
		"many parts":     {nested + strings.Repeat("--b\r\n\r\nt\r\n", 10_000), "", "", ""},
		"invalid UTF-8":  {"Subject: \xff\r\n\r\n\xff", "\uFFFD", "\uFFFD", ""},
		"64 KiB subject": {"Subject: " + strings.Repeat("s", 64<<10) + "\r\n\r\nx", strings.Repeat("s", 64<<10), "x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := parse([]byte(tc.given))
			if name == "many parts" {
				return // whatever it is, it ends
			}
			if m.Subject != tc.subject || m.Text != tc.text || m.HTML != tc.html {
				t.Errorf("parse = %.100q, %.200q, %.100q", m.Subject, m.Text, m.HTML)
			}
		})
	}
}

// FuzzParse: anything is a message, of bounded size.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"Subject: s\r\n\r\nhttps://a.example/x\r\n", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nt\r\n--b--\r\n", "", "\x00",
		"Content-Type: text/html; charset=\"\r\n\r\n<p>", "Content-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n=3D=",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		m := parse(content)
		for _, text := range append([]string{m.Subject, m.From, m.Text, m.HTML}, m.Links...) {
			// A byte that is no UTF-8 becomes three.
			if !utf8.ValidString(text) || len(text) > 3*len(content) {
				t.Errorf("%q of %q", text, content)
			}
		}
		for _, link := range m.Links {
			if !strings.HasPrefix(link, "http://") && !strings.HasPrefix(link, "https://") {
				t.Errorf("link %q", link)
			}
		}
	})
}
