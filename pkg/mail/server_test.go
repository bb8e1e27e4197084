package mail_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/meridian-iam/meridian/pkg/mail"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// received is a message as a server got it.
type received struct {
	From, To string
	UTF8     bool
	Secure   bool
	User     string
	Content  []byte
}

// postOffice is the backend of a real SMTP server.
type postOffice struct {
	user, password string
	// answer, if set, decides about each recipient and each message.
	answer func(to string) error
	accept func(content []byte) error

	mu  sync.Mutex
	got []received
}

func (o *postOffice) messages() []received {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]received(nil), o.got...)
}

// NewSession implements smtp.Backend.
func (o *postOffice) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	return &visit{office: o, message: received{Secure: secure}}, nil
}

type visit struct {
	office  *postOffice
	message received
}

func (v *visit) AuthMechanisms() []string {
	if v.office.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != v.office.user || password != v.office.password {
			return smtp.ErrAuthFailed
		}
		v.message.User = user
		return nil
	}), nil
}

func (v *visit) Mail(from string, o *smtp.MailOptions) error {
	if v.office.user != "" && v.message.User == "" {
		return smtp.ErrAuthRequired
	}
	v.message.From, v.message.UTF8 = from, o.UTF8
	return nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	v.message.To = to
	if v.office.answer != nil {
		return v.office.answer(to)
	}
	return nil
}

func (v *visit) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if v.office.accept != nil {
		if err := v.office.accept(content); err != nil {
			return err
		}
	}
	v.message.Content = content
	v.office.mu.Lock()
	defer v.office.mu.Unlock()
	v.office.got = append(v.office.got, v.message)
	return nil
}

func (*visit) Reset()        {}
func (*visit) Logout() error { return nil }

// certificate is one for 127.0.0.1, and who vouches for it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	return &tls.Config{Certificates: web.TLS.Certificates, MinVersion: tls.VersionTLS12}, roots
}

// open starts a server for the office. secure nil means no TLS; implicit means TLS
// from the first byte.
func open(t *testing.T, o *postOffice, secure *tls.Config, implicit bool) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, o, l, secure, implicit)
	return l.Addr().String()
}

func serve(t *testing.T, o *postOffice, l net.Listener, secure *tls.Config, implicit bool) {
	t.Helper()
	s := smtp.NewServer(o)
	s.Domain = "mail.test"
	s.EnableSMTPUTF8 = true
	s.MaxMessageBytes = 1 << 20
	s.AllowInsecureAuth = secure == nil
	s.ErrorLog = log.New(io.Discard, "", 0)
	if secure != nil && implicit {
		l = tls.NewListener(l, secure)
	} else {
		s.TLSConfig = secure
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("server: %v", err)
		}
	})
}

// script starts a server that does with each connection what the script says.
func script(t *testing.T, with func(c net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				defer func() { _ = c.Close() }()
				with(c)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// recorder keeps what is written to it.
type recorder struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.Write(b)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.String()
}

func sender(t *testing.T, url string, change func(*mail.Config)) *mail.Sender {
	t.Helper()
	c := mail.Config{URL: secret.NewString(url), From: "Meridian <no-reply@meridian.example>", Timeout: 30 * time.Second}
	if change != nil {
		change(&c)
	}
	s, err := mail.NewSender(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func letter() mail.Message {
	return mail.Message{To: "ada@canary.example", Subject: "canary-subject", Text: "canary-text 123456\n", HTML: "<p>canary-text 123456</p>"}
}

// clean fails when an error holds any part of letter or of the server's words.
func clean(t *testing.T, err error) {
	t.Helper()
	for _, word := range []string{"ada", "canary", "123456", "gossip", "hunter2"} {
		if err != nil && strings.Contains(err.Error(), word) {
			t.Errorf("the error holds %q: %.300v", word, err)
		}
	}
}
