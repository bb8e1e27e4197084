// Package dev runs a whole Meridian on one machine, for development: database,
// bus, services, the demo model and a demo organization.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
	"github.com/meridian-iam/meridian/pkg/telemetry"
	"github.com/meridian-iam/meridian/services/authz"
	"github.com/meridian-iam/meridian/services/identity"
	"github.com/meridian-iam/meridian/services/meridian/internal/mailbox"
	"github.com/meridian-iam/meridian/services/meridian/internal/node"
	"github.com/meridian-iam/meridian/services/sessions"
)

// Region is the only region of a development deployment.
const Region = "local"

// Options say where and how.
type Options struct {
	// Dir keeps everything; the same folder again continues.
	Dir string
	// Listen is host:port; port 0 takes a free one.
	Listen string
	// Step is told what happens, for people.
	Step func(text string)
	// LogFile gets the log; empty means Dir/meridian.log.
	LogFile string
}

// Run runs until ctx ends. started is called once everything answers, after
// Dir/dev.json was written.
func Run(ctx context.Context, o Options, started func(Ready)) (err error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil { //nolint:gosec // the database's own account passes through it
		return fmt.Errorf("folder %s: %w", o.Dir, err)
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	logFile, err := openLog(o)
	if err != nil {
		return err
	}
	defer logFile.Close() //nolint:errcheck // a log
	o.Step("starting the database")
	t, stopTelemetry, err := telemetry.New(telemetry.Config{Format: "text", Output: logFile, Region: Region})
	if err != nil {
		return err
	}
	defer func() { _ = stopTelemetry(context.WithoutCancel(ctx)) }()
	database, err := pglocal.Start(ctx, pglocal.Options{Dir: filepath.Join(o.Dir, "database"), Log: t.Log})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, database.Stop(stopping))
	}()
	keys, err := node.MakeKeys(filepath.Join(o.Dir, "keys"))
	if err != nil {
		return err
	}
	box, err := mailbox.Start(ctx, mailbox.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	people, err := signIn(box, o)
	if err != nil {
		return err
	}
	o.Step("starting the services (" + database.Kind() + ", embedded NATS)")
	n, err := node.Open(ctx, node.Config{
		Region: Region, DataDir: o.Dir, Keys: keys,
		Database:  node.DatabaseConfig{URL: database.URL()},
		Server:    serve.Config{Listen: o.Listen, StopTimeout: 3 * time.Second},
		Telemetry: telemetry.Config{Format: "text", Output: logFile},
		Authz:     authz.Config{PublicURL: publicURL(o.Listen)},
		Identity:  people,
		Sessions:  sessions.Config{Issuers: issuers(o.Listen, people)},
	})
	if err != nil {
		return err
	}
	defer n.Close()
	n.Extend(box.Mount)
	if err := n.Migrate(ctx); err != nil {
		return err
	}
	return serveNode(ctx, n, o, started)
}

// signIn configures identity: letters go to the mailbox, and passkeys are bound to
// localhost, where browsers take them without TLS. Links in letters lead to the
// default port when the port is not known yet.
func signIn(box *mailbox.Box, o Options) (identity.Config, error) {
	file := filepath.Join(o.Dir, "mail.url")
	if err := os.WriteFile(file, []byte(box.URL().Reveal()+"\n"), 0o600); err != nil {
		return identity.Config{}, fmt.Errorf("mailbox: %w", err)
	}
	_, port, err := net.SplitHostPort(o.Listen)
	if err != nil || port == "0" {
		port = "8080"
	}
	pages := "http://localhost:" + port
	return identity.Config{
		Pages:    pages,
		Mail:     identity.MailConfig{URLFile: file, From: "Meridian <no-reply@meridian.example>", AllowPlaintext: true},
		Passkeys: identity.PasskeysConfig{RPID: "localhost", Origins: []string{pages}},
	}, nil
}

// issuers are the pages' own, unless their port is not known yet.
func issuers(listen string, people identity.Config) []string {
	if publicURL(listen) == "" {
		return nil
	}
	return []string{people.Pages}
}

// publicURL is where callers of this machine reach an address; empty for a port
// that is not known yet.
func publicURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return ""
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// serveNode runs the node, seeds it and says when it is ready.
func serveNode(ctx context.Context, n *node.Node, o Options, started func(Ready)) error {
	address, err := n.Listen(ctx)
	if err != nil {
		return listenError(o.Listen, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.Run(ctx) })
	group.Go(func() error {
		ready, err := prepare(ctx, n, o, "http://"+address.String())
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped while it started
		}
		if err != nil {
			return err
		}
		if err := write(o.Dir, ready); err != nil {
			return err
		}
		started(ready)
		return nil
	})
	return group.Wait()
}

// prepare makes the admin token and the demo data, or finds those of an
// earlier run.
func prepare(ctx context.Context, n *node.Node, o Options, url string) (Ready, error) {
	ready := Ready{URL: url, Mail: url + mailbox.Path, PID: os.Getpid()}
	earlier, err := Read(o.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ready, err
	}
	ready.AdminToken = earlier.AdminToken
	if ready.AdminToken != "" {
		if _, err := n.Verifier().Verify(ctx, secret.NewString(ready.AdminToken)); err != nil {
			ready.AdminToken = ""
		}
	}
	if ready.AdminToken == "" {
		token, err := n.Bootstrap(ctx, "meridian dev", 0)
		if err != nil {
			return ready, fmt.Errorf("admin token: %w", err)
		}
		ready.AdminToken = token.Reveal()
	}
	o.Step("seeding the demo model and the demo organization")
	ready.Organization, err = seed(ctx, url, ready.AdminToken)
	if err != nil {
		return ready, fmt.Errorf("demo data: %w", err)
	}
	return ready, nil
}

func listenError(listen string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("cannot listen on %s: %w; choose another with --listen, as --listen 127.0.0.1:0", listen, op.Err)
	}
	return err
}

func openLog(o Options) (*os.File, error) {
	path := o.LogFile
	if path == "" {
		path = filepath.Join(o.Dir, "meridian.log")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	return f, nil
}
