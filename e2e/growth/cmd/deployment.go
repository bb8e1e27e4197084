package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

const (
	startBound = 3 * time.Minute
	stopBound  = 30 * time.Second
	// callBound is that of a single call.
	callBound = 30 * time.Second
)

// deployment is a running `meridian dev --regions`, and the authz processes
// that were started again beside it.
type deployment struct {
	dir, binary string
	regions     []string
	cmd         *exec.Cmd
	said        *bytes.Buffer
	ended       chan struct{}
	token       string
	model       string

	// own are processes that this program started in place of those of dev.
	own []*exec.Cmd
	// clients by region, one for each token: the budget of calls at level admin is
	// each principal's own.
	identity, authz map[string][]*meridian.Client
}

// start starts a deployment and waits until it answers.
func start(ctx context.Context, binary, dir string, regions []string) (*deployment, error) {
	d := &deployment{dir: dir, binary: binary, regions: regions, said: &bytes.Buffer{}, ended: make(chan struct{})}
	d.cmd = exec.Command(binary, "--dir", dir, "dev", "--listen", "127.0.0.1:0", "--regions", strings.Join(regions, ",")) //nolint:noctx // stop ends it
	d.cmd.Env = environment()
	d.cmd.Stdout, d.cmd.Stderr = d.said, d.said
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = d.cmd.Wait() // what it said tells why
		close(d.ended)
	}()
	err := until(ctx, startBound, "meridian dev is ready", func(context.Context) error {
		select {
		case <-d.ended:
			return fatal{fmt.Errorf("meridian dev ended: %s", d.said)}
		default:
		}
		return d.read()
	})
	if err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

func (d *deployment) read() error {
	content, err := os.ReadFile(filepath.Join(d.dir, "dev.json"))
	if err != nil {
		return err
	}
	var ready struct {
		AdminToken string `json:"admin_token"`
	}
	err = json.Unmarshal(content, &ready)
	d.token = ready.AdminToken
	return err
}

// environment is this process's, without settings for the programs it starts.
func environment() []string {
	var out []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "MERIDIAN_") {
			out = append(out, pair)
		}
	}
	return out
}

// stop ends everything, in order where that works.
func (d *deployment) stop() error {
	for _, cmd := range d.own {
		terminate(cmd, stopBound)
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	late := time.NewTimer(stopBound)
	defer late.Stop()
	select {
	case <-d.ended:
		return nil
	case <-late.C:
		// Its processes read its pipes, and end with it.
		err := d.cmd.Process.Kill()
		<-d.ended
		return errors.Join(fmt.Errorf("meridian dev did not end in %v", stopBound), err)
	}
}

func terminate(cmd *exec.Cmd, within time.Duration) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	timer := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // how it ended does not matter here
}

// config is the configuration of a process of the deployment.
func (d *deployment) config(region, kind string) string {
	return filepath.Join(d.dir, "regions", region, kind+".yaml")
}

var listens = regexp.MustCompile(`(?m)^  listen: (\S+)$`)

// address is where a process answers: past the front door of the region, which
// is a stand-in for a load balancer and would cost more than the service.
func (d *deployment) address(region, kind string) (string, error) {
	content, err := os.ReadFile(d.config(region, kind))
	if err != nil {
		return "", err
	}
	found := listens.FindSubmatch(content)
	if found == nil {
		return "", fmt.Errorf("%s names no address", d.config(region, kind))
	}
	return string(found[1]), nil
}

// tokens is how many there are. An organization takes one call at level admin of
// identity and one of authz, and a process takes 100/s of each token: ten allow
// 1,000 organizations/s in a region, more than two cores do.
const tokens = 10

// prepare publishes the model, makes the tokens and the clients.
func (d *deployment) prepare(ctx context.Context) error {
	first, err := d.open(d.regions[0], d.token)
	if err != nil {
		return err
	}
	published, err := first[authz].Models.PublishModel(ctx, &authzv1.PublishModelRequest{
		Name: "growth", Files: []*authzv1.ModelFile{{Path: "growth.fga", Content: model}}, IdempotencyKey: "growth-model",
	})
	if err != nil {
		return fmt.Errorf("publish model: %w", err)
	}
	d.model = published.GetModel().GetId()
	d.identity, d.authz = map[string][]*meridian.Client{}, map[string][]*meridian.Client{}
	for i := range tokens {
		made, err := first[identity].Tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
			Name: fmt.Sprintf("growth %d", i), Level: commonv1.Level_LEVEL_ADMIN, IdempotencyKey: fmt.Sprintf("growth-token-%d", i),
		})
		if err != nil {
			return fmt.Errorf("create token: %w", err)
		}
		for _, region := range d.regions {
			clients, err := d.open(region, made.GetSecret())
			if err != nil {
				return err
			}
			d.identity[region] = append(d.identity[region], clients[identity])
			d.authz[region] = append(d.authz[region], clients[authz])
		}
	}
	return nil
}

func (d *deployment) open(region, token string) (map[string]*meridian.Client, error) {
	out := map[string]*meridian.Client{}
	for _, kind := range []string{identity, authz} {
		address, err := d.address(region, kind)
		if err != nil {
			return nil, err
		}
		out[kind] = meridian.New("http://"+address, token)
	}
	return out, nil
}

// fatal ends the waiting of until.
type fatal struct{ error }

// until tries until there is no error.
func until(ctx context.Context, bound time.Duration, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := try(ctx)
		var end fatal
		if err == nil || errors.As(err, &end) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; the last try: %w", what, ctx.Err(), err)
		case <-again.C:
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parallel calls do with 0 to n-1, some at once, until one fails.
func parallel(ctx context.Context, workers, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}
