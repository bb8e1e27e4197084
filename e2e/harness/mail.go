package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// MailServer is an SMTP server that keeps the texts of letters by address.
type MailServer struct {
	// URL is for senders.
	URL string

	mu    sync.Mutex
	texts map[string][]string
}

// StartMailServer starts one that ends with the test.
func StartMailServer(t testing.TB) *MailServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed with the server
	if err != nil {
		t.Fatal(err)
	}
	m := &MailServer{URL: "smtp://" + listener.Addr().String(), texts: map[string][]string{}}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{server: m}, nil }))
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
	return m
}

// Identity is the section identity of a node whose letters come here, and whose
// people sign in on pages: passkeys are bound to localhost.
func (m *MailServer) Identity(t testing.TB, product, pages string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mail.url")
	write(t, file, m.URL+"\n")
	return fmt.Sprintf(`identity:
  product: %[1]s
  pages: %[2]s
  mail:
    url_file: %[3]s
    from: %[1]s <no-reply@shop.example>
    allow_plaintext: true
  passkeys:
    rp_id: localhost
    origins: [%[2]q]
`, product, pages, file)
}

// Letter waits for the nth letter to an address, and returns its text.
func (m *MailServer) Letter(t testing.TB, to string, n int) string {
	t.Helper()
	var text string
	Eventually(t, "a letter has come", func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.texts[to]) < n {
			return errors.New("there is none")
		}
		text = m.texts[to][n-1]
		return nil
	})
	return text
}

// delivery is one sender's.
type delivery struct {
	server *MailServer
	to     string
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
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	d.server.texts[d.to] = append(d.server.texts[d.to], text)
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
