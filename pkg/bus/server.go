package bus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
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
	server         *server.Server
	user, password string
	private        bool
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
	s := &Server{user: o.Embedded.User, password: o.Embedded.Password, private: o.Embedded.Private}
	if s.user == "" {
		s.user, s.password = "meridian", randomPassword()
	}
	options := &server.Options{}
	if err := options.ProcessConfigString(fmt.Sprintf(accounts, s.user, s.password)); err != nil {
		return nil, errors.New("embedded server configuration: user or password has an unusable character")
	}
	options.ServerName = "meridian-" + o.Name
	options.NoSigs, options.NoLog = true, true
	options.JetStream, options.StoreDir = true, o.StoreDir
	options.SyncAlways = o.Embedded.SyncAlways
	options.MaxPayload = maxPayload
	options.DontListen = s.private
	options.Host, options.Port = "127.0.0.1", o.Embedded.Port
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	running, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	running.SetLoggerV2(serverLog{log}, false, false, false)
	running.Start()
	s.server = running
	if !running.ReadyForConnections(readyTimeout) || !running.JetStreamEnabled() {
		s.Stop()
		return nil, unavailable("the embedded event bus did not start", nil)
	}
	return s, nil
}

// URL is where other processes connect. It holds the password: it is a secret.
// Empty when the server is private.
func (s *Server) URL() string {
	if s.private {
		return ""
	}
	u := url.URL{Scheme: "nats", User: url.UserPassword(s.user, s.password), Host: s.server.Addr().String()}
	return u.String()
}

// Stop ends the server and waits for it.
func (s *Server) Stop() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

func (s *Server) inProcess() []nats.Option {
	return []nats.Option{nats.InProcessServer(s.server), nats.UserInfo(s.user, s.password)}
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
