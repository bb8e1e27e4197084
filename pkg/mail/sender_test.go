package mail_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/mail"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestSend(t *testing.T) {
	secure, roots := certificate(t)
	trusted := func(c *mail.Config) { c.RootCAs = roots }
	plain := func(c *mail.Config) { c.AllowPlaintext = true }
	for name, tc := range map[string]struct {
		url      string
		secure   *tls.Config
		implicit bool
		office   *postOffice
		config   func(*mail.Config)
		user     string
	}{
		"smtps":                    {url: "smtps://%s", secure: secure, implicit: true, config: trusted},
		"smtps with sign-in":       {url: "smtps://m%%40x:p%%2Fw%%3A@%s", secure: secure, implicit: true, office: &postOffice{user: "m@x", password: "p/w:"}, config: trusted, user: "m@x"},
		"STARTTLS":                 {url: "smtp://%s", secure: secure, config: trusted},
		"STARTTLS with sign-in":    {url: "smtp://m:hunter2@%s", secure: secure, office: &postOffice{user: "m", password: "hunter2"}, config: trusted, user: "m"},
		"plain text over loopback": {url: "smtp://%s", config: plain},
	} {
		t.Run(name, func(t *testing.T) {
			office := cmp.Or(tc.office, &postOffice{})
			s := sender(t, fmt.Sprintf(tc.url, open(t, office, tc.secure, tc.implicit)), tc.config)
			m := letter()
			m.Subject = "Anmeldung für „Größe“: 123456"
			m.Text = "Hallo Zoë,\n.\n.. dots\nFrom here\n" + strings.Repeat("long ", 500)
			if err := s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			got := office.messages()
			if len(got) != 1 {
				t.Fatalf("the server has %d messages", len(got))
			}
			if g := got[0]; g.From != "no-reply@meridian.example" || g.To != m.To || g.UTF8 || g.Secure != (tc.secure != nil) || g.User != tc.user {
				t.Errorf("envelope %+v", g)
			}
			same(t, got[0].Content, m)
		})
	}
}

// same reads a message as a mail program does, and compares.
func same(t *testing.T, content []byte, want mail.Message) {
	t.Helper()
	for l := range strings.SplitSeq(string(content), "\r\n") {
		if len(l) > 100 || strings.ContainsAny(l, "\r\n") {
			t.Errorf("line %.120q", l)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := (&mime.WordDecoder{}).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != want.Subject {
		t.Errorf("subject %q, %v", subject, err)
	}
	if from, err := m.Header.AddressList("From"); err != nil || len(from) != 1 || from[0].Name != "Meridian" || from[0].Address != "no-reply@meridian.example" {
		t.Errorf("from %v, %v", from, err)
	}
	if to, err := m.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != want.To {
		t.Errorf("to %v, %v", to, err)
	}
	if at, err := m.Header.Date(); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("date %v, %v", at, err)
	}
	if id := m.Header.Get("Message-Id"); !strings.HasSuffix(id, "@meridian.example>") || len(id) != len("<@meridian.example>")+32 {
		t.Errorf("id %q", id)
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("kind %q, %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	for _, part := range [][2]string{{"text/plain; charset=utf-8", want.Text}, {"text/html; charset=utf-8", want.HTML}} {
		p, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil || strings.ReplaceAll(string(text), "\r\n", "\n") != part[1] || p.Header.Get("Content-Type") != part[0] {
			t.Errorf("part %v: %q, %v", p.Header, text, err)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("after the parts: %v", err)
	}
}

func TestSendUTF8Address(t *testing.T) {
	office := &postOffice{}
	s := sender(t, "smtp://"+open(t, office, nil, false), func(c *mail.Config) { c.AllowPlaintext = true })
	for given, want := range map[string]received{
		"zoë@Bücher.example": {To: "zoë@xn--bcher-kva.example", UTF8: true},
		"zoe@bücher.example": {To: "zoe@xn--bcher-kva.example"},
	} {
		m := letter()
		m.To = given
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		all := office.messages()
		if got := all[len(all)-1]; got.To != want.To || got.UTF8 != want.UTF8 || !strings.Contains(string(got.Content), "To: <"+want.To+">\r\n") {
			t.Errorf("%q went to %q, %v", given, got.To, got.UTF8)
		}
	}
}

// TestSendRefused: answers of a real server that are no.
func TestSendRefused(t *testing.T) {
	secure, roots := certificate(t)
	no := func(code int) error {
		return &smtp.SMTPError{Code: code, Message: "gossip: ada@canary.example lives here no more"}
	}
	for name, tc := range map[string]struct {
		url       string
		secure    *tls.Config
		office    *postOffice
		config    func(*mail.Config)
		stage     string
		code      int
		permanent bool
	}{
		"recipient, for good": {url: "smtp://%s", secure: secure, office: &postOffice{answer: func(string) error { return no(550) }}, stage: "recipient", code: 550, permanent: true},
		"recipient, for now":  {url: "smtp://%s", secure: secure, office: &postOffice{answer: func(string) error { return no(451) }}, stage: "recipient", code: 451},
		"content, for good":   {url: "smtp://%s", secure: secure, office: &postOffice{accept: func([]byte) error { return no(554) }}, stage: "end", code: 554, permanent: true},
		"content, for now":    {url: "smtp://%s", secure: secure, office: &postOffice{accept: func([]byte) error { return no(452) }}, stage: "end", code: 452},
		"wrong password":      {url: "smtp://m:hunter2@%s", secure: secure, office: &postOffice{user: "m", password: "other"}, stage: "auth", code: 535},
		"no sign-in offered":  {url: "smtp://m:hunter2@%s", secure: secure, stage: "auth"},
		"sign-in is needed":   {url: "smtp://%s", secure: secure, office: &postOffice{user: "m", password: "p"}, stage: "sender", code: 502, permanent: true},
		"no STARTTLS":         {url: "smtp://m:hunter2@%s", office: &postOffice{user: "m", password: "hunter2"}, stage: "starttls"},
		"unknown certificate": {url: "smtp://m:hunter2@%s", secure: secure, config: func(c *mail.Config) { c.RootCAs = nil }, stage: "hello"},
		"plain text to smtps": {url: "smtps://%s", stage: "connect"},
	} {
		t.Run(name, func(t *testing.T) {
			office := cmp.Or(tc.office, &postOffice{})
			s := sender(t, fmt.Sprintf(tc.url, open(t, office, tc.secure, false)), func(c *mail.Config) {
				c.RootCAs = roots
				if tc.config != nil {
					tc.config(c)
				}
			})
			err := s.Send(t.Context(), letter())
			clean(t, err)
			var failure *mail.DeliveryError
			if !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) || !errors.As(err, &failure) {
				t.Fatalf("Send = %v", err)
			}
			if failure.Stage != tc.stage || failure.Code != tc.code || failure.Permanent() != tc.permanent {
				t.Errorf("failure %+v", failure)
			}
			if got := office.messages(); len(got) != 0 {
				t.Errorf("the server has %d messages", len(got))
			}
		})
	}
}

// dialog answers lines as an honest server would, until stop says otherwise.
func dialog(c net.Conn, stop func(command string, c net.Conn) bool) {
	if stop("", c) {
		return
	}
	_, _ = io.WriteString(c, "220 hello\r\n")
	lines := textproto.NewReader(bufio.NewReader(c))
	for {
		command, err := lines.ReadLine()
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(command, " ")
		if stop(verb, c) {
			return
		}
		switch verb {
		case "EHLO":
			_, _ = io.WriteString(c, "250-mail.test\r\n250 SIZE 100000\r\n")
		case "DATA":
			_, _ = io.WriteString(c, "354 go on\r\n")
			if _, err := lines.ReadDotBytes(); err != nil {
				return
			}
			if stop("end", c) {
				return
			}
			_, _ = io.WriteString(c, "250 taken\r\n")
		case "QUIT":
			_, _ = io.WriteString(c, "221 bye\r\n")
			return
		default:
			_, _ = io.WriteString(c, "250 fine\r\n")
		}
	}
}

// TestSendHostile: whatever a server does, Send ends, with a fault that says
// nothing about the letter.
func TestSendHostile(t *testing.T) {
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	long := "250-" + strings.Repeat("gossip", 64<<10/6) + "\r\n"
	endless := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, text); err != nil {
					return
				}
			}
		}
	}
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			hang(c)
		}
	}
	stages := map[string]string{"": "hello", "EHLO": "hello", "MAIL": "sender", "RCPT": "recipient", "DATA": "data", "end": "end"}
	for does, with := range map[string]func(net.Conn){
		"hangs":              hang,
		"hangs up":           func(net.Conn) {},
		"says garbage":       say("\x00\xff gossip \r\n\r\n<html>\r\n"),
		"says 64 KiB":        endless(long),
		"says lines for all": endless("250-gossip\r\n"),
		"says no newline":    endless("gossip"),
		"says a code of 999": say("999 gossip\r\n"),
		"says 421":           say("421 gossip\r\n"),
		"says half a line":   say("25"),
	} {
		for command, stage := range stages {
			t.Run(does+" at "+stage+command, func(t *testing.T) {
				address := script(t, func(c net.Conn) {
					dialog(c, func(got string, c net.Conn) bool {
						if got == command {
							with(c)
						}
						return got == command
					})
				})
				s := sender(t, "smtp://"+address, func(c *mail.Config) { c.AllowPlaintext, c.Timeout = true, 150*time.Millisecond })
				err := s.Send(t.Context(), letter())
				clean(t, err)
				var failure *mail.DeliveryError
				if !errors.As(err, &failure) || failure.Stage != stage || failure.Permanent() {
					t.Fatalf("Send = %v", err)
				}
				unknown := stage == "end" && failure.Code == 0
				if f, _ := fault.As(err); unknown && f.Kind != fault.UnknownOutcome || !unknown && f.Kind != fault.Unavailable {
					t.Errorf("Send = %v", err)
				}
			})
		}
	}
}

// TestSendTaken: what a server does after it took the letter does not matter.
func TestSendTaken(t *testing.T) {
	address := script(t, func(c net.Conn) {
		dialog(c, func(got string, c net.Conn) bool {
			if got == "QUIT" {
				_, _ = io.Copy(io.Discard, c)
			}
			return got == "QUIT"
		})
	})
	s := sender(t, "smtp://"+address, func(c *mail.Config) { c.AllowPlaintext = true })
	if err := s.Send(t.Context(), letter()); err != nil {
		t.Error(err)
	}
}

// overheard is a connection whose reads are recorded.
type overheard struct {
	net.Conn

	heard *recorder
}

func (o overheard) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	_, _ = o.heard.Write(b[:n])
	return n, err
}

// TestSendStartTLSStripped: what is said in plain text before STARTTLS counts for
// nothing, and without STARTTLS nothing but EHLO is said.
func TestSendStartTLSStripped(t *testing.T) {
	var heard recorder
	address := script(t, func(c net.Conn) {
		dialog(overheard{Conn: c, heard: &heard}, func(string, net.Conn) bool { return false })
	})
	s := sender(t, "smtp://m:hunter2@"+address, nil)
	if err := s.Send(t.Context(), letter()); !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
		t.Errorf("Send = %v", err)
	}
	if got := heard.String(); got != "EHLO localhost\r\n" {
		t.Errorf("the server heard %q", got)
	}
}

// TestSendWaitsItsTurn: with one connection taken, the next letter waits, within
// its time.
func TestSendWaitsItsTurn(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	office := &postOffice{answer: func(string) error {
		entered <- struct{}{}
		<-leave
		return nil
	}}
	s := sender(t, "smtp://"+open(t, office, nil, false), func(c *mail.Config) { c.AllowPlaintext, c.MaxConcurrent = true, 1 })
	first := make(chan error, 1)
	go func() { first <- s.Send(t.Context(), letter()) }()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var failure *mail.DeliveryError
	if err := s.Send(ctx, letter()); !errors.As(err, &failure) || failure.Stage != "turn" {
		t.Errorf("Send = %v", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
}
