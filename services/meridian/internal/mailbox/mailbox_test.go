package mailbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/meridian-iam/meridian/pkg/mail"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/services/meridian/internal/mailbox"
)

// start opens a mailbox, and a server with its pages.
func start(t *testing.T) (box *mailbox.Box, url string) {
	t.Helper()
	box, err := mailbox.Start(t.Context(), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	server := serve.New(serve.Options{Config: serve.Config{Listen: "127.0.0.1:0"}, ServiceKey: key})
	box.Mount(server)
	address, err := server.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return box, "http://" + address.String()
}

// send sends as the product does.
func send(t *testing.T, box *mailbox.Box, m mail.Message) {
	t.Helper()
	s, err := mail.NewSender(mail.Config{URL: box.URL(), From: "Meridian <no-reply@meridian.example>", AllowPlaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// raw sends bytes as they are.
func raw(t *testing.T, box *mailbox.Box, content string) {
	t.Helper()
	address := strings.TrimPrefix(box.URL().Reveal(), "smtp://")
	c, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SendMail("eve@evil.example", []string{"ada@example.com"}, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url, host string) (status int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(content)
}

func TestMail(t *testing.T) {
	box, url := start(t)
	send(t, box, mail.Message{To: "ada@example.com", Subject: "First", Text: "Code 1\n"})
	send(t, box, mail.Message{To: "bob@example.com", Subject: "Zweiter „Größe“", Text: "Link https://id.example.com/x?token=a%2Bb&c=d.\n", HTML: "<p>Größe</p>"})
	send(t, box, mail.Message{To: "Ada@example.com", Subject: "Third", Text: "Code 3\n"})

	_, header, body := get(t, url+"/dev/mail.json?to=ADA@example.com", "")
	var found struct {
		Messages []mailbox.Message `json:"messages"`
	}
	if err := json.Unmarshal([]byte(body), &found); err != nil || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v in %s", err, body)
	}
	if m := found.Messages; len(m) != 2 || m[0].Subject != "Third" || m[1].Subject != "First" || m[1].Text != "Code 1\n" || m[1].ID != 1 || m[1].Sender != "no-reply@meridian.example" {
		t.Errorf("messages %+v", m)
	}

	_, _, body = get(t, url+"/dev/mail", "")
	first, second, third := strings.Index(body, "First"), strings.Index(body, "Zweiter „Größe“"), strings.Index(body, "Third")
	if first < second || second < third || third < 0 || !strings.Contains(body, `<meta http-equiv="refresh" content="5">`) {
		t.Errorf("list %s", body)
	}
	_, _, body = get(t, url+"/dev/mail?to=bob@example.com", "")
	if strings.Contains(body, "First") || !strings.Contains(body, "Zweiter") || !strings.Contains(body, `value="bob@example.com"`) {
		t.Errorf("list of one %s", body)
	}

	status, header, body := get(t, url+"/dev/mail/2", "")
	for _, want := range []string{
		"<pre>Link https://id.example.com/x?token=a%2Bb&amp;c=d.\n</pre>", `<a href="https://id.example.com/x?token=a%2Bb&amp;c=d" rel`,
		`<iframe sandbox="" src="/dev/mail/2/html"`, "Meridian", "bob@example.com",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	if status != http.StatusOK || header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, %v", status, header)
	}
	if status, header, body := get(t, url+"/dev/mail/2/html", ""); status != http.StatusOK || body != "<p>Größe</p>" || !strings.HasPrefix(header.Get("Content-Security-Policy"), "sandbox; default-src 'none';") {
		t.Errorf("status %d, %v, %s", status, header, body)
	}
	for _, path := range []string{"/dev/mail/4", "/dev/mail/0", "/dev/mail/x", "/dev/mail/-1", "/dev/mail/4/html", "/dev/mail/" + strings.Repeat("9", 100)} {
		if status, _, _ := get(t, url+path, ""); status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, status)
		}
	}
}

// TestHostileMail: what a message says is shown as text, wherever.
func TestHostileMail(t *testing.T) {
	const bad = `<script>alert(1)</script><img src=x onerror=alert(1)>"'>`
	box, url := start(t)
	raw(t, box, "From: "+bad+"\r\nSubject: "+bad+"\r\n\r\n"+bad+" javascript:alert(1) https://evil.example/\"onclick=alert(1)\r\n")
	raw(t, box, "Subject: =?utf-8?q?=3Cscript=3E=0D=0Ax?=\r\nContent-Type: text/html\r\n\r\n"+bad)
	raw(t, box, "no message at all "+bad)
	raw(t, box, "Content-Type: multipart/mixed; boundary=b\r\n\r\n"+bad)
	raw(t, box, "Content-Transfer-Encoding: base64\r\n\r\n!!!"+bad)
	raw(t, box, "\xff\xfe\x00\r\n\r\n\xff"+bad)
	raw(t, box, "")
	pages := []string{"/dev/mail", "/dev/mail?to=" + strings.ReplaceAll(bad, " ", "+")}
	for id := range 7 {
		pages = append(pages, fmt.Sprintf("/dev/mail/%d", id+1))
	}
	for _, page := range pages {
		status, header, body := get(t, url+page, "")
		if status != http.StatusOK {
			t.Errorf("%s: status %d: %s", page, status, body)
		}
		for _, tag := range []string{"<script", "<img", `href="javascript`, `"onclick`, `'>"`} {
			if strings.Contains(body, tag) {
				t.Errorf("%s has %q: %s", page, tag, body)
			}
		}
		policy := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "script-src") || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: policy %q", page, policy)
		}
	}
	if _, header, body := get(t, url+"/dev/mail/2/html", ""); body != bad+"\n" || !strings.Contains(header.Get("Content-Security-Policy"), "sandbox; default-src 'none'") {
		t.Errorf("the HTML is %q, %v", body, header)
	}
	if _, header, body := get(t, url+"/dev/mail.json", ""); header.Get("Content-Type") != "application/json" || strings.Contains(body, "<") {
		t.Errorf("JSON %s", body)
	}
}

// TestGuard: a site whose name was made to point to this machine reads nothing.
func TestGuard(t *testing.T) {
	box, url := start(t)
	send(t, box, mail.Message{To: "ada@example.com", Subject: "canary", Text: "canary"})
	for host, want := range map[string]int{
		"localhost":      http.StatusOK,
		"localhost:8080": http.StatusOK,
		"127.0.0.1:8080": http.StatusOK,
		"[::1]:8080":     http.StatusOK,
		"[::1]":          http.StatusOK,
		"evil.example":   http.StatusForbidden,
		"localhost.evil": http.StatusForbidden,
		"127.0.0.1.evil": http.StatusForbidden,
	} {
		for _, page := range []string{"/dev/mail", "/dev/mail.json", "/dev/mail/1", "/dev/mail/1/html"} {
			status, _, body := get(t, url+page, host)
			if status != want || status != http.StatusOK && strings.Contains(body, "canary") {
				t.Errorf("%s at %s: status %d, want %d", page, host, status, want)
			}
		}
	}
}

// TestBounds: the box keeps so much, and refuses what is larger.
func TestBounds(t *testing.T) {
	box, _ := start(t)
	for i := range mailbox.MaxMessages + 5 {
		raw(t, box, fmt.Sprintf("Subject: %d\r\n\r\nx", i))
	}
	if m := box.Messages(""); len(m) != mailbox.MaxMessages || m[0].Subject != "204" || m[len(m)-1].Subject != "5" {
		t.Errorf("%d messages", len(m))
	}
	lines := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 500)
	for range 70 {
		raw(t, box, "Subject: large\r\n\r\n"+lines)
	}
	if m := box.Messages(""); len(m) > 68 || len(m) < 60 {
		t.Errorf("%d messages of 500 kB are kept", len(m))
	}
	c, err := smtp.Dial(strings.TrimPrefix(box.URL().Reveal(), "smtp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SendMail("a@b.example", []string{"ada@example.com"}, strings.NewReader(lines+lines)); err == nil {
		t.Error("a message of 1 MB is taken")
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := c.SendMail("a@b.example", strings.Fields(strings.Repeat("ada@example.com ", 11)), strings.NewReader("x")); err == nil {
		t.Error("a message to 11 is taken")
	}
}

// TestGarbage: the server outlives clients that speak something else.
func TestGarbage(t *testing.T) {
	box, _ := start(t)
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x00\xff\r\n", strings.Repeat("x", 64<<10) + "\r\n", "EHLO x\r\nDATA\r\n.\r\n", "EHLO " + strings.Repeat("x ", 900) + "\r\n",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(box.URL().Reveal(), "smtp://"))
		if err != nil {
			t.Fatal(err)
		}
		if greeting, err := textproto.NewConn(c).ReadLine(); err != nil || !strings.HasPrefix(greeting, "220 ") {
			t.Fatalf("%q, %v", greeting, err)
		}
		_, _ = io.WriteString(c, text+"QUIT\r\n")
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	send(t, box, mail.Message{To: "ada@example.com", Subject: "after", Text: "after"})
	if m := box.Messages(""); len(m) != 1 {
		t.Errorf("%d messages", len(m))
	}
}

func TestStart(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:0", "localhost", "[::]:0"} {
		if box, err := mailbox.Start(t.Context(), mailbox.Options{Listen: listen}); err == nil {
			_ = box.Close()
			t.Errorf("listens on %s", listen)
		}
	}
	box, err := mailbox.Start(t.Context(), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}
}
