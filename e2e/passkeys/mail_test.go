package passkeys_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// post is an SMTP server that keeps the texts of letters by address.
type post struct {
	// URL is for senders.
	URL string

	mu    sync.Mutex
	texts map[string][]string
}

func startPost(t *testing.T) *post {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &post{URL: "smtp://" + listener.Addr().String(), texts: map[string][]string{}}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{post: p}, nil }))
	server.Domain, server.MaxMessageBytes, server.MaxRecipients = "localhost", 1<<20, 1
	server.ReadTimeout, server.WriteTimeout = time.Minute, time.Minute
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("SMTP: %v", err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		running.Wait()
	})
	return p
}

// letter waits for the nth letter to an address, and returns its text.
func (p *post) letter(t *testing.T, to string, n int) string {
	t.Helper()
	var text string
	harness.Eventually(t, "a letter has come", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.texts[to]) < n {
			return errors.New("there is none")
		}
		text = p.texts[to][n-1]
		return nil
	})
	return text
}

// delivery is one sender's.
type delivery struct {
	post *post
	to   string
}

func (*delivery) Mail(string, *smtp.MailOptions) error { return nil }

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = to
	return nil
}

func (d *delivery) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	text, err := plainText(content)
	if err != nil {
		return err
	}
	d.post.mu.Lock()
	defer d.post.mu.Unlock()
	d.post.texts[d.to] = append(d.post.texts[d.to], text)
	return nil
}

func (d *delivery) Reset() { d.to = "" }

func (*delivery) Logout() error { return nil }

// plainText returns the first part of a letter that is plain text.
func plainText(content []byte) (string, error) {
	letter, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	_, parameters, err := mime.ParseMediaType(letter.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	parts := multipart.NewReader(letter.Body, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/plain") {
			text, err := io.ReadAll(quotedprintable.NewReader(part))
			return strings.ReplaceAll(string(text), "\r\n", "\n"), err
		}
	}
}
