// Package mailbox takes the mail of a development deployment, and shows it. Nothing
// goes any further: it is an SMTP server on a loopback address that keeps what it
// is given in memory, and pages below /dev/mail.
//
// It is for meridian dev only: whoever reaches the pages reads codes and links with
// which people sign in. Wire it so:
//
//	box, err := mailbox.Start(ctx, mailbox.Options{})
//	defer box.Close()
//	mail.NewSender(mail.Config{URL: box.URL(), AllowPlaintext: true, …})
//	box.Mount(server) // before the server listens
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"

	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// MaxMessages is how many messages are kept; older ones go.
	MaxMessages = 200

	maxTotal       = 32 << 20 // bytes of all messages as they came
	maxMessage     = 512 << 10
	maxRecipients  = 10
	maxConnections = 32
	idle           = time.Minute
)

// Options say where.
type Options struct {
	// Listen is host:port of a loopback address; empty means 127.0.0.1:0, a free
	// port.
	Listen string
	// AllowRemote shows the pages to other machines too.
	AllowRemote bool
	// Clock is the time; nil means time.Now.
	Clock func() time.Time
}

// Box is a mailbox that takes mail. It is for concurrent use.
type Box struct {
	options  Options
	server   *smtp.Server
	listener net.Listener
	done     chan error

	mu       sync.Mutex
	last     uint64
	bytes    int
	messages []Message // oldest first
}

// Start takes mail until Close.
func Start(ctx context.Context, o Options) (*Box, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return nil, errors.New("mailbox: must listen on a loopback address")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	b := &Box{options: o, listener: listener, done: make(chan error, 1)}
	b.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{box: b}, nil }))
	b.server.Domain = "localhost"
	b.server.MaxMessageBytes, b.server.MaxRecipients = maxMessage, maxRecipients
	b.server.ReadTimeout, b.server.WriteTimeout = idle, idle
	b.server.EnableSMTPUTF8 = true
	// It quotes what clients say, which may be anything.
	b.server.ErrorLog = log.New(io.Discard, "", 0)
	go func() { b.done <- b.server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	return b, nil
}

// Close ends taking mail. What was taken is still shown.
func (b *Box) Close() error {
	err := b.server.Close()
	_ = b.listener.Close() // the server may not know it yet
	served := <-b.done
	b.done <- nil // for the next Close
	for _, err := range []error{err, served} {
		if err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("mailbox: %w", err)
		}
	}
	return nil
}

// URL is where to send mail, for mail.Config with AllowPlaintext.
func (b *Box) URL() secret.String { return secret.NewString("smtp://" + b.listener.Addr().String()) }

// Messages returns what was taken, newest first: all of it, or what went to an
// address, in whatever case.
func (b *Box) Messages(to string) []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := make([]Message, 0, len(b.messages))
	for _, m := range slices.Backward(b.messages) {
		if to == "" || slices.ContainsFunc(m.To, func(r string) bool { return strings.EqualFold(r, to) }) {
			found = append(found, m)
		}
	}
	return found
}

func (b *Box) message(id uint64) (Message, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		if m.ID == id {
			return m, true
		}
	}
	return Message{}, false
}

// keep adds a message, and lets the oldest go when there are too many.
func (b *Box) keep(m Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	m.ID = b.last
	b.messages = append(b.messages, m)
	b.bytes += m.size
	for len(b.messages) > MaxMessages || b.bytes > maxTotal {
		b.bytes -= b.messages[0].size
		b.messages = slices.Delete(b.messages, 0, 1)
	}
}

// session is one client's.
type session struct {
	box  *Box
	from string
	to   []string
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session. The server bounds what it reads.
func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m := parse(content)
	m.At, m.Sender, m.To = s.box.options.Clock().UTC(), s.from, slices.Clone(s.to)
	s.box.keep(m)
	return nil
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (*session) Logout() error { return nil }
