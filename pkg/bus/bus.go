// Package bus is the shared log on NATS JetStream: it publishes committed
// events, reads them again, and carries heartbeats and nudges.
//
// JetStream is a copy, never the commit point. Everything in it can be lost and
// published again from the events table.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/region"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Config says which NATS to use.
type Config struct {
	// URL of an external NATS, as nats://user:password@host:4222; several are
	// separated by commas. Empty: a server is started inside this process.
	URL string
	// CredentialsFile holds the user's JWT and key for an external NATS. Empty:
	// what the URL says.
	CredentialsFile string
	// Region whose stream this process writes, as eu-west. Required.
	Region string
	// Mirrors names the other regions whose streams this region keeps a copy of.
	Mirrors []string
	// Replicas of the stream, 1 to 5; 0 means 1. Production wants 3.
	Replicas int
	// Name of the connection, for operators; empty means meridian.
	Name string

	// StoreDir is where the embedded server keeps its streams. Required when URL
	// is empty, unused otherwise.
	StoreDir string
	// Embedded are the options of the embedded server.
	Embedded Embedded
}

// Bus is a connection to the shared log. Its methods may be called from many
// goroutines.
type Bus struct {
	region  string
	config  Config
	log     *slog.Logger
	conn    *nats.Conn
	js      jetstream.JetStream
	server  *Server
	streams []Stream
	back    hooks
	line    line
	writes  writes
	denied  denied
	unheal  func() // nil without an embedded server
	// completing: missing mirrors are looked after.
	completing atomic.Bool
}

// connectTimeout bounds the first connection and the creation of the streams.
const connectTimeout = 15 * time.Second

// Open starts the embedded server, or connects to an external one, and makes
// sure that the region's stream and mirrors exist. It fails when a stream
// exists with weaker guarantees than ours.
//
// Errors: BUS_UNAVAILABLE when NATS cannot be reached; anything else is a
// mistake in the configuration, as a user without the permissions that are needed.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Bus, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("bus configuration: %w", err)
	}
	b := &Bus{region: c.Region, config: c, log: log, streams: c.streams()}
	if c.URL == "" {
		server, err := Serve(ServerOptions{StoreDir: c.StoreDir, Name: c.Region, Embedded: c.Embedded}, log)
		if err != nil {
			return nil, err
		}
		b.server = server
	}
	if err := b.start(ctx); err != nil {
		b.Close()
		return nil, err
	}
	if b.server != nil {
		b.unheal = b.heal()
	}
	return b, nil
}

func (c Config) check() error {
	if err := region.Check(c.Region); err != nil {
		return fmt.Errorf("region: %w", err)
	}
	for _, m := range c.Mirrors {
		if err := region.Check(m); err != nil {
			return fmt.Errorf("mirrors: %w", err)
		}
		if m == c.Region {
			return fmt.Errorf("mirrors: %q is this region itself", m)
		}
	}
	if c.URL == "" && c.StoreDir == "" {
		return errors.New("store_dir: required when no url is given")
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return fmt.Errorf("replicas: %d is not between 1 and 5", c.Replicas)
	}
	return nil
}

func (b *Bus) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	b.line.up()
	conn, err := b.connect()
	if err != nil {
		return unavailable("the event bus cannot be reached", err)
	}
	b.conn = conn
	// Publishing is repeated by the relay, with its own back-off.
	if b.js, err = jetstream.New(conn); err != nil {
		return fmt.Errorf("jetstream: %w", err)
	}
	// What is refused is not answered: without this, it would take until the
	// deadline.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b.denied.tell(stop)
	defer b.denied.tell(nil)
	err = b.ensureAll(ctx)
	if refused := b.denied.err(); err != nil && refused != nil {
		return refused
	}
	return err
}

// connect returns a connection that reconnects for ever. While it is cut,
// publishing fails at once instead of filling a buffer: the outbox keeps what
// is not sent.
func (b *Bus) connect() (*nats.Conn, error) {
	name := b.config.Name
	if name == "" {
		name = "meridian"
	}
	options := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 250*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(5 * time.Second),
		nats.DrainTimeout(5 * time.Second),
		nats.DisconnectErrHandler(b.disconnected),
		nats.ReconnectHandler(b.reconnected),
		nats.ErrorHandler(b.asyncError),
	}
	if b.server != nil {
		return nats.Connect("", append(options, b.server.inProcess()...)...)
	}
	if b.config.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(b.config.CredentialsFile))
	}
	return nats.Connect(b.config.URL, options...)
}

func (b *Bus) disconnected(_ *nats.Conn, err error) {
	b.line.cut()
	if err != nil {
		b.log.Warn("bus connection lost", slog.String("error", err.Error()))
	}
}

func (b *Bus) reconnected(*nats.Conn) {
	b.log.Info("bus connection is back")
	b.denied.clear()
	b.line.up()
	b.back.call()
}

func (b *Bus) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if b.refused(err) {
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	b.log.Warn("bus error", slog.String("subject", subject), slog.String("error", err.Error()))
}

// Conn is the connection, for core NATS.
func (b *Bus) Conn() *nats.Conn { return b.conn }

// Region is the region whose stream Publish writes.
func (b *Bus) Region() string { return b.region }

// ClientURL is where other processes connect, with user and password in it: it
// is a secret. It is empty when the embedded server does not listen.
func (b *Bus) ClientURL() string {
	if b.server != nil {
		return b.server.URL()
	}
	return b.config.URL
}

// Ready returns BUS_UNAVAILABLE when the connection is cut at the moment, when
// the last publish of this process failed, or when NATS refused its user
// something since the connection is up.
func (b *Bus) Ready(context.Context) error {
	if !b.conn.IsConnected() {
		return unavailable("the event bus cannot be reached", nil)
	}
	if err := b.denied.err(); err != nil {
		return unavailable(err.Error(), nil)
	}
	if _, err := b.writes.failing(time.Now()); err != nil {
		return unavailable("the event bus takes no writes", err)
	}
	return nil
}

// Close sends what is buffered, ends the subscriptions and, when it is
// embedded, stops the server. It waits at most about five seconds.
func (b *Bus) Close() {
	if b.unheal != nil {
		b.unheal()
	}
	if b.conn != nil && !b.conn.IsClosed() {
		closed := make(chan struct{})
		b.conn.SetClosedHandler(func(*nats.Conn) { close(closed) })
		if err := b.conn.Drain(); err != nil {
			b.conn.Close()
		}
		<-closed
	}
	if b.server != nil {
		b.server.Stop()
	}
}

// unavailable returns a BUS_UNAVAILABLE fault.
func unavailable(detail string, cause error) error {
	f := fault.New(fault.Unavailable, commonv1.Reason_BUS_UNAVAILABLE, detail).Retry(time.Second)
	if cause != nil {
		f = f.Because(cause)
	}
	return f
}
