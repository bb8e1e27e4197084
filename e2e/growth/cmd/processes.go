package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/e2e/growth"
	"github.com/meridian-iam/meridian/e2e/load/usage"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
)

const (
	authz    = growth.Authz
	identity = growth.Identity
	relay    = growth.Relay
)

// process is one of the deployment; the database and links have no region.
type process struct {
	pid          int
	kind, region string
}

// processes finds all that run, by what they were called with.
func (d *deployment) processes() []process {
	out := []process{{pid: d.cmd.Process.Pid, kind: growth.Links}}
	pids := usage.Children(d.cmd.Process.Pid)
	for _, cmd := range d.own {
		pids = append(pids, cmd.Process.Pid)
	}
	for _, pid := range pids {
		args := usage.Command(pid)
		if len(args) == 0 {
			continue // it has just ended
		}
		if strings.HasPrefix(filepath.Base(args[0]), "postgres") {
			out = append(out, process{pid: pid, kind: growth.Database})
		}
		for i, arg := range args[:len(args)-1] {
			if arg != "--config" {
				continue
			}
			file := filepath.Base(args[i+1])
			kind := strings.TrimSuffix(file, filepath.Ext(file))
			if strings.HasPrefix(kind, growth.NATS) {
				kind = growth.NATS // nats-2 is one, too
			}
			out = append(out, process{pid: pid, kind: kind, region: filepath.Base(filepath.Dir(args[i+1]))})
		}
	}
	return out
}

// memory is what the processes of each kind have resident. The database's is
// proportional: its processes share most of it.
func (d *deployment) memory() map[string]uint64 {
	out := map[string]uint64{}
	for _, p := range d.processes() {
		if p.kind == growth.Database {
			out[p.kind] += usage.Proportional(p.pid)
			continue
		}
		out[p.kind] += usage.Resident(p.pid)
	}
	return out
}

// spent is the processor time of each process so far.
func (d *deployment) spent() map[process]time.Duration {
	out := map[process]time.Duration{}
	for _, p := range d.processes() {
		if p.kind == growth.Database {
			out[p] = usage.Family(p.pid)
			continue
		}
		out[p] = usage.Process(p.pid)
	}
	return out
}

// ours is the processor time of all of them and of this program.
func (d *deployment) ours() time.Duration {
	sum := usage.Process(os.Getpid())
	for _, spent := range d.spent() {
		sum += spent
	}
	return sum
}

// idle measures, without load, how many cores the processes of each kind use.
func (d *deployment) idle(ctx context.Context, during time.Duration) (map[string]float64, error) {
	before, began := d.spent(), time.Now()
	if err := pause(ctx, during); err != nil {
		return nil, err
	}
	after, took := d.spent(), time.Since(began).Seconds()
	out := map[string]float64{}
	for p, spent := range after {
		out[p.kind] += (spent - before[p]).Seconds() / took
	}
	return out, nil
}

// restart ends a region's authz process in order, starts it again, and asks.
func (d *deployment) restart(ctx context.Context, about organization) (r growth.Restart, err error) {
	region := d.regions[0]
	pid := 0
	for _, p := range d.processes() {
		if p.kind == authz && p.region == region {
			pid = p.pid
		}
	}
	if pid == 0 {
		return r, errors.New("the authz process is gone")
	}
	began := time.Now()
	if err := d.end(ctx, pid); err != nil {
		return r, err
	}
	r.Stop = time.Since(began).Seconds()
	began = time.Now()
	if err := d.launch(region); err != nil {
		return r, err
	}
	address, err := d.address(region, authz)
	if err != nil {
		return r, err
	}
	if err := until(ctx, startBound, "authz is ready", func(ctx context.Context) error { return probe(ctx, "http://"+address+"/readyz") }); err != nil {
		return r, err
	}
	r.Ready = time.Since(began).Seconds()
	if _, err := d.authz[region][0].Check(ctx, question(about, "user:anna")); err != nil {
		return r, fmt.Errorf("after the restart: %w", err)
	}
	r.Answer = time.Since(began).Seconds()
	return r, nil
}

// end asks a process to end and waits until it has.
func (d *deployment) end(ctx context.Context, pid int) error {
	for i, cmd := range d.own {
		if cmd.Process.Pid == pid {
			terminate(cmd, stopBound)
			d.own = append(d.own[:i], d.own[i+1:]...)
			return nil
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	return until(ctx, stopBound, "authz ends", func(context.Context) error {
		if err := syscall.Kill(pid, 0); err == nil {
			return errors.New("it runs")
		}
		return nil
	})
}

// launch starts an authz process as dev does. It ends with this program.
func (d *deployment) launch(region string) error {
	log, err := os.OpenFile(filepath.Join(d.dir, "regions", region, "authz.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                                                            //nolint:errcheck // the process has its own
	cmd := exec.Command(d.binary, "serve", "--config", d.config(region, authz), "--with-parent") //nolint:noctx // end and stop end it
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.own = append(d.own, cmd)
	return nil
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

// question is one whose answer is yes for user:anna.
func question(o organization, subject string) meridian.Question {
	return meridian.Question{Organization: o.id, Subject: subject, Permission: "viewer", Resource: "document:one"}
}
