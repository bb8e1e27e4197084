package sqldb_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// breakage is what a proxy does when it sees the commit.
type breakage uint8

const (
	// beforeServer: the commit does not reach the server; the connection breaks.
	beforeServer breakage = iota + 1
	// afterServer: the server commits; its answer is lost with the connection.
	afterServer
	// silence: the server commits, and its answer never comes.
	silence
)

// proxy stands between client and server until it sees the word that commits.
type proxy struct {
	listener net.Listener
	target   string
	commit   []byte
	breakage breakage
	// met is called when the breakage has happened.
	met   func()
	group sync.WaitGroup
}

func startProxy(t *testing.T, target, commit string, b breakage, met func()) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, commit: []byte(commit + "\x00"), breakage: b, met: met}
	p.group.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.group.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp4", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		answers := make(chan []byte)
		p.group.Go(func() { p.read(server, answers) })
		p.group.Go(func() { p.pass(client, server, answers) })
	}
}

// read hands on what the server says, until it says no more.
func (p *proxy) read(server net.Conn, answers chan<- []byte) {
	defer close(answers)
	for {
		chunk := make([]byte, 1<<16)
		n, err := server.Read(chunk)
		if err != nil {
			return
		}
		answers <- chunk[:n]
	}
}

func (p *proxy) pass(client, server net.Conn, answers <-chan []byte) {
	requests := make(chan []byte)
	p.group.Go(func() { p.read(client, requests) })
	defer func() {
		_ = client.Close()
		_ = server.Close()
		for range answers { // lets the readers end
		}
		for range requests {
		}
	}()
	for {
		select {
		case answer, more := <-answers:
			if _, err := client.Write(answer); err != nil || !more {
				return
			}
		case request, more := <-requests:
			if !more {
				return
			}
			if bytes.Contains(request, p.commit) {
				p.breakOff(request, server, answers, requests)
				return
			}
			if _, err := server.Write(request); err != nil {
				return
			}
		}
	}
}

func (p *proxy) breakOff(request []byte, server io.Writer, answers, requests <-chan []byte) {
	if p.breakage != beforeServer {
		if _, err := server.Write(request); err != nil {
			return
		}
		<-answers // the server has committed
	}
	p.met()
	if p.breakage == silence {
		<-requests // the client gives up and says good-bye
	}
}

// TestOutcomeUnknown shows that both outcomes lie behind the one error.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breakage breakage
		end      func(t *testing.T) (ctx context.Context, end func())
		written  int
	}{
		"the commit is lost":   {beforeServer, unbounded, 0},
		"the answer is lost":   {afterServer, unbounded, 1},
		"the deadline passes":  {silence, bounded, 1},
		"the caller goes away": {silence, cancellable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := notes(t, sqldb.Config{})
			ctx, end := c.end(t)
			db := behindProxy(t, direct, "commit", c.breakage, end)
			wantFault(t, db.Write(ctx, insert), fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN)
			if got := countNotes(t, direct); got != c.written {
				t.Fatalf("there are %d notes, want %d", got, c.written)
			}
		})
		t.Run(name+" as on CockroachDB", func(t *testing.T) {
			t.Parallel()
			ctx, end := c.end(t)
			direct := notes(t, sqldb.Config{})
			db := behindProxy(t, direct, "RELEASE SAVEPOINT cockroach_restart", c.breakage, end).AsCockroach()
			wantFault(t, db.Write(ctx, insert), fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN)
		})
	}
}

func unbounded(t *testing.T) (context.Context, func()) { return t.Context(), func() {} }

func cancellable(t *testing.T) (context.Context, func()) { return context.WithCancel(t.Context()) }

func bounded(t *testing.T) (context.Context, func()) {
	d := newDeadline(t.Context())
	return d, d.pass
}

// TestReadOutcomeIsKnown: a read whose commit is lost has written nothing.
func TestReadOutcomeIsKnown(t *testing.T) {
	t.Parallel()
	db := behindProxy(t, notes(t, sqldb.Config{}), "commit", beforeServer, func() {})
	err := db.Read(t.Context(), func(context.Context, pgx.Tx) error { return nil })
	wantFault(t, err, fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
}

// TestConnectionLostBeforeCommit: nothing can be written then.
func TestConnectionLostBeforeCommit(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]func(*sqldb.DB) *sqldb.DB{
		"PostgreSQL":  func(db *sqldb.DB) *sqldb.DB { return db },
		"CockroachDB": (*sqldb.DB).AsCockroach,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := notes(t, sqldb.Config{})
			db := as(behindProxy(t, direct, "SELECT 'lost'", afterServer, func() {}))
			err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				if err := insert(ctx, tx); err != nil {
					return err
				}
				_, _ = tx.Exec(ctx, "SELECT 'lost'")
				return insert(ctx, tx) // the driver says only that the connection is closed
			})
			wantFault(t, err, fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
			if got := countNotes(t, direct); got != 0 {
				t.Fatalf("there are %d notes, want none", got)
			}
		})
	}
}

func behindProxy(t *testing.T, direct *sqldb.DB, commit string, b breakage, met func()) *sqldb.DB {
	t.Helper()
	settings := direct.Pool().Config().ConnConfig
	target := net.JoinHostPort(settings.Host, strconv.Itoa(int(settings.Port)))
	p := startProxy(t, target, commit, b, met)
	url := through(t, secret.NewString(settings.ConnString()), p.listener.Addr().String())
	return open(t, sqldb.Config{URL: url})
}
