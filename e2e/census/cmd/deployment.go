package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/usage"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
)

const (
	startBound = 60 * time.Second
	stopBound  = 15 * time.Second
	region     = "census"
)

// settings are those of the database: only memory and checkpoints, so that it
// plans as it does by default.
var settings = []string{"shared_buffers=2GB", "maintenance_work_mem=512MB", "max_wal_size=8GB", "checkpoint_timeout=30min"}

// deployment is a PostgreSQL and one `meridian serve` with all services and an
// embedded NATS.
type deployment struct {
	dir, binary string
	database    *pglocal.Server
	address     string
	client      *meridian.Client

	server *exec.Cmd
	log    *os.File
	ended  chan struct{}
}

func (d *deployment) who() usage.Who {
	return usage.Who{Server: d.server.Process.Pid, Database: d.database.PID()}
}

// start starts a deployment in a folder and waits until it answers. stop is to be
// called also when it fails.
func (d *deployment) start(ctx context.Context) (err error) {
	if d.database, err = pglocal.Start(ctx, pglocal.Options{Dir: filepath.Join(d.dir, "database"), Settings: settings}); err != nil {
		return err
	}
	if d.database.Kind() != "PostgreSQL" {
		return errors.New("rows are copied as PostgreSQL takes them: take cockroach off the PATH")
	}
	config, err := d.configure(ctx)
	if err != nil {
		return err
	}
	if _, err := output(d.command(ctx, "keys", filepath.Join(d.dir, "keys"))); err != nil {
		return err
	}
	if _, err := output(d.command(ctx, "migrate", "--config", config)); err != nil {
		return err
	}
	token, err := output(d.command(ctx, "bootstrap", "--config", config))
	if err != nil {
		return err
	}
	d.client = meridian.New("http://"+d.address, token)
	if d.log, err = os.Create(filepath.Join(d.dir, "meridian.log")); err != nil {
		return err
	}
	server := d.command(context.WithoutCancel(ctx), "serve", "--config", config)
	server.Stdout, server.Stderr = d.log, d.log
	if err := server.Start(); err != nil {
		return err
	}
	d.server, d.ended = server, make(chan struct{})
	go func() {
		_ = server.Wait() // what it said tells why
		close(d.ended)
	}()
	return d.ready(ctx)
}

// configure writes the configuration file. Calls are not limited, and only those
// that fail are logged.
func (d *deployment) configure(ctx context.Context) (path string, err error) {
	if d.address, err = freeAddress(ctx); err != nil {
		return "", err
	}
	url := filepath.Join(d.dir, "database.url")
	if err := os.WriteFile(url, []byte(d.database.URL().Reveal()), 0o600); err != nil {
		return "", err
	}
	text := strings.NewReplacer("ADDRESS", d.address, "REGION", region, "URL", url, "DIR", d.dir).Replace(`region: REGION
data_dir: DIR/data
database:
  url_file: URL
keys:
  service_file: DIR/keys/service.key
  regional_file: DIR/keys/regional.json
  blind_file: DIR/keys/blind.key
server:
  listen: ADDRESS
  access_log: errors
  limits:
    read: {per_second: -1}
    write: {per_second: -1}
    manage: {per_second: -1}
`)
	path = filepath.Join(d.dir, "meridian.yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// ready waits until the server says that it is.
func (d *deployment) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := probe(ctx, "http://"+d.address+"/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-d.ended:
			return fmt.Errorf("meridian ended: %s", d.said())
		case <-ctx.Done():
			return fmt.Errorf("meridian does not answer: %w", err)
		}
	}
}

var probes = &http.Client{Timeout: 5 * time.Second}

func probe(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := probes.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // only its status is wanted
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return nil
}

// said is the end of what the server logged.
func (d *deployment) said() string {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// stop ends everything, in order where that works.
func (d *deployment) stop(ctx context.Context) error {
	if d.server != nil {
		_ = d.server.Process.Signal(syscall.SIGTERM) // it may have ended
		late := time.AfterFunc(stopBound, func() { _ = d.server.Process.Kill() })
		<-d.ended
		late.Stop()
	}
	if d.log != nil {
		_ = d.log.Close() // a log
	}
	if d.database == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
	defer cancel()
	return d.database.Stop(ctx)
}

// command runs meridian. It is asked to end when ctx does.
func (d *deployment) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopBound
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "MERIDIAN_") { // settings of somebody else's
			cmd.Env = append(cmd.Env, pair)
		}
	}
	return cmd
}

// freeAddress is a port of this machine on which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// output runs a command to its end and returns what it printed.
func output(cmd *exec.Cmd) (string, error) {
	text, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(text)), err
}
