package bus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Embedded are the options of a server inside this process.
type Embedded struct {
	// Private: other processes cannot connect. Default: they can, on 127.0.0.1,
	// with the user and password in ClientURL.
	Private bool
	// Port to listen on; 0 means any free one.
	Port int
	// SyncAlways flushes every append to the disk before it is acknowledged, as
	// the production configuration does. Default: every two minutes, which is
	// right for development: a crash of the machine may lose the newest messages
	// of the copy, and the events table still has them.
	SyncAlways bool
	// User and Password of the connection; empty means random ones.
	User, Password string
}

// ServerOptions are the options of Serve.
type ServerOptions struct {
	// StoreDir is where streams are kept. Created when absent.
	StoreDir string
	// Name of the server.
	Name     string
	Embedded Embedded
}

// Server is a NATS server inside this process.
type Server struct {
	options        ServerOptions
	log            *slog.Logger
	user, password string
	url            string

	mu      sync.Mutex
	running *server.Server // nil while it starts again
}

// accounts lets the application's user do everything but destroy: delete and
// purge of a stream are refused by the stream itself (deny_delete, deny_purge),
// these rules also refuse to delete the stream or to weaken it. A refused
// request shows at the client only as a timeout.
const accounts = `
accounts {
  APP {
    jetstream: enabled
    users: [ {
      user: %q
      password: %q
      permissions: { publish: { deny: [
        "$JS.API.STREAM.DELETE.>"
        "$JS.API.STREAM.PURGE.>"
        "$JS.API.STREAM.MSG.DELETE.>"
        "$JS.API.STREAM.UPDATE.>"
      ] } }
    } ]
  }
}
`

// readyTimeout bounds the start: a stream of a million events opens in 1.5 s.
const readyTimeout = 30 * time.Second

// maxPayload is the largest message, in bytes.
const maxPayload = 4 << 20

// Serve starts a server. Stop ends it.
func Serve(o ServerOptions, log *slog.Logger) (*Server, error) {
	if o.StoreDir == "" {
		return nil, errors.New("store_dir: required for an embedded server")
	}
	if err := os.MkdirAll(o.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("create store directory: %w", err)
	}
	s := &Server{options: o, log: log, user: o.Embedded.User, password: o.Embedded.Password}
	if s.user == "" {
		s.user, s.password = "meridian", randomPassword()
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	if addr, ok := s.running.Addr().(*net.TCPAddr); ok && !o.Embedded.Private {
		// The port stays when the server starts again.
		s.options.Embedded.Port = addr.Port
		u := url.URL{Scheme: "nats", User: url.UserPassword(s.user, s.password), Host: addr.String()}
		s.url = u.String()
	}
	return s, nil
}

// start starts a server that nobody uses yet.
func (s *Server) start() error {
	options := &server.Options{}
	if err := options.ProcessConfigString(fmt.Sprintf(accounts, s.user, s.password)); err != nil {
		return errors.New("embedded server configuration: user or password has an unusable character")
	}
	e := s.options.Embedded
	options.ServerName = "meridian-" + s.options.Name
	options.NoSigs, options.NoLog = true, true
	options.JetStream, options.StoreDir = true, s.options.StoreDir
	options.SyncAlways = e.SyncAlways
	options.MaxPayload = maxPayload
	options.DontListen = e.Private
	options.Host, options.Port = "127.0.0.1", e.Port
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	running, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("embedded server: %w", err)
	}
	running.SetLoggerV2(serverLog{s.log}, false, false, false)
	running.Start()
	if !running.ReadyForConnections(readyTimeout) || !running.JetStreamEnabled() {
		end(running)
		return unavailable("the embedded event bus did not start", nil)
	}
	s.swap(running)
	return nil
}

// restart ends the server and starts it on the same streams and port.
// Connections see a cut.
func (s *Server) restart() error {
	end(s.swap(nil))
	return s.start()
}

func (s *Server) swap(to *server.Server) (from *server.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, s.running = s.running, to
	return from
}

func (s *Server) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running != nil
}

// URL is where other processes connect. It holds the password: it is a secret.
// Empty when the server is private.
func (s *Server) URL() string { return s.url }

// Stop ends the server and waits for it.
func (s *Server) Stop() { end(s.swap(nil)) }

func end(running *server.Server) {
	if running != nil {
		running.Shutdown()
		running.WaitForShutdown()
	}
}

// InProcessConn connects to the server inside this process. It fails while the
// server starts again. The client library calls it for each reconnect.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil, errors.New("the embedded server starts again")
	}
	return s.running.InProcessConn()
}

func (s *Server) inProcess() []nats.Option {
	return []nats.Option{nats.InProcessServer(s), nats.UserInfo(s.user, s.password)}
}

func randomPassword() string {
	var b [24]byte
	// crypto/rand never fails: it ends the process instead.
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// serverLog sends what the server says to slog.
type serverLog struct{ log *slog.Logger }

func (l serverLog) say(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, "nats server", slog.String("text", fmt.Sprintf(format, v...)))
}

func (l serverLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l serverLog) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l serverLog) Fatalf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l serverLog) Errorf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l serverLog) Debugf(format string, v ...any)  {}
func (l serverLog) Tracef(format string, v ...any)  {}
