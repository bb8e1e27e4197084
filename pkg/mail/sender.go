package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// ContextDialer is what net.Dialer does.
type ContextDialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Sender sends letters, each over a connection of its own. It is for concurrent use.
type Sender struct {
	config Config
	server server
	from   *mail.Address
	turns  chan struct{}
}

// NewSender checks a configuration. It does not connect.
func NewSender(c Config) (*Sender, error) {
	to, err := endpoint(c)
	if err != nil {
		return nil, err
	}
	from, err := sender(c.From)
	if err != nil {
		return nil, err
	}
	if c.Timeout < 0 || c.MaxConcurrent < 0 {
		return nil, errors.New("mail: timeout and concurrency must not be negative")
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxConcurrent == 0 {
		c.MaxConcurrent = DefaultConcurrent
	}
	if c.Dialer == nil {
		c.Dialer = &net.Dialer{}
	}
	return &Sender{config: c, server: to, from: from, turns: make(chan struct{}, c.MaxConcurrent)}, nil
}

// Send hands a letter to the server, and returns when the server has it. It takes
// no longer than the configured timeout, whatever the server does.
//
// Errors: INVALID_FIELD; SERVICE_UNAVAILABLE, the server does not have it;
// OUTCOME_UNKNOWN, the server may have it. Behind the last two is a *DeliveryError.
func (s *Sender) Send(ctx context.Context, m Message) error {
	l, err := m.compose(s.from, messageID(), time.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return failed(ctx, stageTurn, ctx.Err())
	}
	conn, err := s.config.Dialer.DialContext(ctx, "tcp", s.server.address)
	if err != nil {
		return failed(ctx, stageConnect, err)
	}
	// What waits for the server ends when the connection does.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	return s.hand(ctx, &bounded{Conn: conn, left: maxAnswers}, l)
}

// maxAnswers bounds what a server says in one connection, in bytes, its TLS
// certificates included.
const maxAnswers = 256 << 10

var errTooMuch = errors.New("mail: too much")

// bounded is a connection that a server can say so much over.
type bounded struct {
	net.Conn

	left int
}

// Read implements io.Reader.
func (b *bounded) Read(into []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(into[:min(len(into), b.left)])
	b.left -= n
	return n, err
}

func messageID() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails, by its contract
	return hex.EncodeToString(random[:])
}

// hand gives a letter to the server over a new connection.
func (s *Sender) hand(ctx context.Context, conn net.Conn, l letter) error {
	client, stage, err := s.open(ctx, conn)
	if err != nil {
		return failed(ctx, stage, err)
	}
	defer func() { _ = client.Close() }()
	if s.server.user != "" {
		if err := s.authenticate(client); err != nil {
			return failed(ctx, stageAuth, err)
		}
	}
	if known, _ := client.Extension("SMTPUTF8"); l.needsUTF8 && !known {
		return failed(ctx, stageSender, errNoUTF8)
	}
	if err := client.Mail(s.from.Address, &smtp.MailOptions{UTF8: l.needsUTF8, Size: int64(len(l.content))}); err != nil {
		return failed(ctx, stageSender, err)
	}
	if err := client.Rcpt(l.to, nil); err != nil {
		return failed(ctx, stageRecipient, err)
	}
	data, err := client.Data()
	if err != nil {
		return failed(ctx, stageData, err)
	}
	if _, err := data.Write(l.content); err != nil {
		return failed(ctx, stageData, err)
	}
	if err := data.Close(); err != nil {
		return failed(ctx, stageEnd, err)
	}
	// It is sent; how the server takes its leave changes nothing.
	client.CommandTimeout = time.Second
	_ = client.Quit()
	return nil
}

// open greets a server, under TLS unless plain text is allowed.
func (s *Sender) open(ctx context.Context, conn net.Conn) (client *smtp.Client, stage string, err error) {
	secure := &tls.Config{ServerName: s.server.host, RootCAs: s.config.RootCAs, MinVersion: tls.VersionTLS12}
	switch {
	case s.server.implicitTLS:
		wrapped := tls.Client(conn, secure)
		if err := wrapped.HandshakeContext(ctx); err != nil {
			return nil, stageConnect, err
		}
		client = smtp.NewClient(wrapped)
	case s.server.plaintext:
		client = smtp.NewClient(conn)
	default:
		if client, err = upgrade(conn, secure); err != nil {
			return nil, stageTLS, err
		}
	}
	_, domain, _ := strings.Cut(s.from.Address, "@")
	if err := client.Hello(domain); err != nil {
		return nil, stageHello, err
	}
	if _, encrypted := client.TLSConnectionState(); !encrypted && !s.server.plaintext {
		return nil, stageTLS, errNoSTARTTLS
	}
	return client, "", nil
}

// upgrade turns a connection into one under TLS. The server says again what it
// offers, so what it said in plain text counts for nothing.
func upgrade(conn net.Conn, secure *tls.Config) (*smtp.Client, error) {
	client, err := smtp.NewClientStartTLS(conn, secure)
	var answer *smtp.SMTPError
	if err != nil && !errors.As(err, &answer) && strings.Contains(err.Error(), "STARTTLS") {
		return nil, errNoSTARTTLS // the library has no error value for it
	}
	return client, err
}

// authenticate signs in. The password leaves this machine only under TLS.
func (s *Sender) authenticate(client *smtp.Client) error {
	password := s.server.password.Reveal()
	switch {
	case client.SupportsAuth(sasl.Plain):
		return client.Auth(sasl.NewPlainClient("", s.server.user, password))
	case client.SupportsAuth(sasl.Login):
		return client.Auth(sasl.NewLoginClient(s.server.user, password))
	}
	return errNoAuth
}
