// Package mail sends letters through an SMTP server that the operator names.
//
// Sender sends one and waits. Queue sends later, so that how long an answer takes
// says nothing about whether there was a letter to send.
//
// No error, log line or metric of this package holds an address, a subject, a text
// or words of the server, which may quote them.
package mail

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// DefaultTimeout bounds a letter, from its turn to the server's last word.
	DefaultTimeout = 10 * time.Second
	// DefaultConcurrent is how many letters are sent at once.
	DefaultConcurrent = 8
)

// Config says through which server, and as whom.
type Config struct {
	// URL is smtps://user:password@host:465, TLS from the first byte, or
	// smtp://user:password@host:587, TLS by STARTTLS, without which nothing is
	// sent. Without a port those are the ports; without a user nobody signs in.
	// What the user or password has of :/?#[]@% is percent-encoded.
	URL secret.String
	// From is the sender as letters show it: Meridian <no-reply@example.com>.
	From string
	// Timeout bounds one letter; 0 means DefaultTimeout.
	Timeout time.Duration
	// MaxConcurrent is how many connections there are at once; 0 means
	// DefaultConcurrent. Further ones wait, within their time.
	MaxConcurrent int
	// RootCAs are who may vouch for the server; nil means the machine's.
	RootCAs *x509.CertPool
	// AllowPlaintext sends without TLS to a server on a loopback address: for
	// development. Other servers need TLS all the same.
	AllowPlaintext bool
	// Dialer connects; nil means a net.Dialer.
	Dialer ContextDialer
}

// maxURLFile bounds what is read of a file, in bytes.
const maxURLFile = 4096

// LoadURL reads a Config's URL from a file of one line. A file that others than its
// owner can read or write is refused. No error holds any part of it.
func LoadURL(path string) (secret.String, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.String{}, fmt.Errorf("mail server's URL: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return secret.String{}, fmt.Errorf("mail server's URL: %w", err)
	case !info.Mode().IsRegular():
		return secret.String{}, fmt.Errorf("mail server's URL %s: not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return secret.String{}, fmt.Errorf("mail server's URL %s: mode is %04o and must be 0600", path, info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, maxURLFile+1))
	if err != nil {
		return secret.String{}, fmt.Errorf("mail server's URL: %w", err)
	}
	if len(content) > maxURLFile {
		return secret.String{}, fmt.Errorf("mail server's URL %s: has more than %d bytes", path, maxURLFile)
	}
	return secret.NewString(strings.TrimSpace(string(content))), nil
}

// server is where and how letters are handed over.
type server struct {
	host, address string
	implicitTLS   bool // from the first byte, not by STARTTLS
	plaintext     bool
	user          string
	password      secret.String
}

// endpoint reads a URL. No error holds any part of it.
func endpoint(c Config) (server, error) {
	u, err := url.Parse(c.URL.Reveal())
	if err != nil {
		return server{}, errors.New("mail server's URL: is not a URL; percent-encode what user and password have of :/?#[]@%")
	}
	s := server{host: u.Hostname(), implicitTLS: u.Scheme == "smtps"}
	port := u.Port()
	switch {
	case u.Scheme != "smtp" && u.Scheme != "smtps":
		return server{}, errors.New("mail server's URL: must start with smtp:// or smtps://")
	case s.host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return server{}, errors.New("mail server's URL: must be of the form smtps://user:password@host:port")
	case port == "" && s.implicitTLS:
		port = "465"
	case port == "":
		port = "587"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return server{}, errors.New("mail server's URL: has no valid port")
	}
	s.address = net.JoinHostPort(s.host, port)
	if u.User != nil {
		password, given := u.User.Password()
		if s.user = u.User.Username(); s.user == "" || !given {
			return server{}, errors.New("mail server's URL: has a user or a password, and needs both")
		}
		s.password = secret.NewString(password)
	}
	if c.AllowPlaintext && !s.implicitTLS {
		ip, err := netip.ParseAddr(s.host)
		s.plaintext = s.host == "localhost" || err == nil && ip.IsLoopback()
	}
	return s, nil
}

// sender reads a Config's From.
func sender(from string) (*mail.Address, error) {
	parsed, err := mail.ParseAddress(from)
	if err != nil {
		return nil, errors.New("mail sender: must be of the form Meridian <no-reply@example.com>")
	}
	address, needsUTF8, err := mailbox("from", parsed.Address)
	if err != nil || needsUTF8 || line("from", parsed.Name) != nil {
		return nil, errors.New("mail sender: must have an address of ASCII before the @, and a name without control characters")
	}
	return &mail.Address{Name: parsed.Name, Address: address}, nil
}
