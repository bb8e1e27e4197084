package topology

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
	"github.com/meridian-iam/meridian/services/meridian/internal/node"
)

// Deployment is a running topology.
type Deployment struct {
	// Regions, the platform's home first.
	Regions []*Region
	// Token is the platform's, of level admin.
	Token string
	// Database says which database runs, as PostgreSQL.
	Database string

	plan    Plan
	ports   *ports
	links   *links
	secrets secrets
	// database is one server, or cluster one node in each region; the other is nil.
	database *pglocal.Server
	cluster  *pglocal.Cluster
	// clustered says which of them it is.
	clustered bool
}

// Start starts everything and returns when all regions answer.
func Start(ctx context.Context, p Plan) (_ *Deployment, err error) {
	if p.Servers == 0 {
		p.Servers = 1
	}
	if p.Step == nil {
		p.Step = func(string) {}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	d := &Deployment{plan: p, ports: newPorts(), secrets: newSecrets()}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Stop(context.WithoutCancel(ctx)))
		}
	}()
	for _, step := range []func(context.Context) error{d.chooseDatabase, d.lay, d.startNATS, d.migrate, d.startServices} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// path is a file or folder of the deployment.
func (d *Deployment) path(parts ...string) string {
	return filepath.Join(append([]string{d.plan.Dir}, parts...)...)
}

// Region returns a region by its name.
//
// Errors: there is none; the error names those that there are.
func (d *Deployment) Region(name string) (*Region, error) {
	for _, r := range d.Regions {
		if r.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no region %q; there are %s", name, strings.Join(d.plan.Regions, ", "))
}

// lay gives every region its addresses, opens the links, starts the nodes of a
// cluster, which reach each other by links, and writes what the processes read.
func (d *Deployment) lay(ctx context.Context) error {
	for i, name := range d.plan.Regions {
		r, err := d.place(name, i == 0)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(d.path(name), 0o700); err != nil {
			return err
		}
		d.Regions = append(d.Regions, r)
	}
	if err := d.openLinks(); err != nil {
		return err
	}
	if err := d.startCluster(ctx); err != nil {
		return err
	}
	for _, r := range d.Regions {
		if err := d.prepare(r); err != nil {
			return err
		}
	}
	return nil
}

func (d *Deployment) openLinks() (err error) {
	var api string
	if err := d.ports.fill(&api); err != nil {
		return err
	}
	if d.links, err = newLinks(api); err != nil {
		return err
	}
	for _, from := range d.Regions {
		if err := d.open(carriesDatabase, from.Name, Database, 0, d.databaseAddress(from)); err != nil {
			return err
		}
		for _, to := range d.Regions {
			if from == to {
				continue
			}
			if err := d.openBetween(from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// openBetween opens the links from a region to another.
func (d *Deployment) openBetween(from, to *Region) error {
	if err := d.open(carriesCalls, from.Name, to.Name, 0, to.edge.address); err != nil {
		return err
	}
	if d.clustered {
		if err := d.open(carriesNodes, from.Name, to.Name, 0, to.node); err != nil {
			return err
		}
	}
	for i, s := range to.nats {
		if err := d.open(carriesBus, from.Name, to.Name, i, s.gateway); err != nil {
			return err
		}
	}
	return nil
}

// open opens a link that leads to an address.
func (d *Deployment) open(carries, from, to string, nth int, address string) error {
	delay := d.plan.delay(from, to)
	link := &Link{Carries: carries, From: from, To: to, Nth: nth, Delay: delay, Jitter: delay / jitterShare}
	if err := d.ports.fill(&link.Address); err != nil {
		return err
	}
	return d.links.add(link, address)
}

// keys makes the keys of a region. The service key and the blind key are the same in
// all.
func (d *Deployment) keys(r *Region) error {
	made, err := node.MakeKeys(d.path(r.Name, "keys"))
	if err != nil {
		return err
	}
	return errors.Join(d.share(made.ServiceFile), d.share(made.BlindFile))
}

// share makes a region's key that of all, unless there is one.
func (d *Deployment) share(key string) error {
	shared := d.path(filepath.Base(key))
	if _, err := os.Stat(shared); err == nil {
		return os.Remove(key)
	}
	return os.Rename(key, shared)
}

func (d *Deployment) startNATS(ctx context.Context) error {
	d.plan.Step(fmt.Sprintf("starting NATS: %d regions of %d, joined by gateways", len(d.Regions), d.plan.Servers))
	group, starting := errgroup.WithContext(ctx)
	for _, r := range d.Regions {
		for _, s := range r.Servers() {
			group.Go(func() error { return s.Start(starting) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, r := range d.Regions {
		if err := d.elected(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// migrate brings the schemas up to date and makes the first token, unless there
// is one of an earlier run.
func (d *Deployment) migrate(ctx context.Context) error {
	d.plan.Step("migrating")
	config := d.path(d.plan.Regions[0], Identity+".yaml")
	if _, err := d.command(ctx, "migrate", "--config", config); err != nil {
		return err
	}
	token, err := os.ReadFile(d.path("admin.token"))
	if errors.Is(err, os.ErrNotExist) {
		if token, err = d.command(ctx, "bootstrap", "--config", config); err == nil {
			err = os.WriteFile(d.path("admin.token"), token, 0o600)
		}
	}
	d.Token = strings.TrimSpace(string(token))
	return err
}

// command runs a meridian command to its end and returns what it printed.
func (d *Deployment) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, d.plan.binary(d.plan.Regions[0]), args...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("meridian %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

func (d *Deployment) startServices(ctx context.Context) error {
	d.plan.Step("starting the services of " + strings.Join(d.plan.Regions, ", "))
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range d.Regions {
		group.Go(func() error { return d.startRegion(ctx, r) })
	}
	return group.Wait()
}

// startRegion starts what does not run of a region.
func (d *Deployment) startRegion(ctx context.Context, r *Region) error {
	if d.cluster != nil {
		if err := d.cluster.Start(ctx, r.Name); err != nil {
			return err
		}
	}
	if err := start(ctx, r.Servers()); err != nil {
		return err
	}
	if err := d.elected(ctx, r); err != nil {
		return err
	}
	if err := start(ctx, r.Services()); err != nil {
		return err
	}
	return r.edge.open()
}

func start(ctx context.Context, processes []*Process) error {
	for _, p := range processes {
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends everything. It may be called again.
func (d *Deployment) Stop(ctx context.Context) error {
	var stops errgroup.Group
	for _, r := range d.Regions {
		r.edge.close()
		for _, p := range r.Processes {
			stops.Go(func() error { return errors.Join(p.Continue(), p.Stop()) })
		}
	}
	// The nodes of a cluster need their links to stop in order.
	err := errors.Join(stops.Wait(), d.stopDatabase(ctx))
	if d.links != nil {
		err = errors.Join(err, d.links.close())
		d.links = nil
	}
	return err
}

// Delay is the one-way delay between two regions; 0 inside one.
func (d *Deployment) Delay(from, to string) time.Duration {
	if from == to {
		return 0
	}
	return d.plan.delay(from, to)
}

// API is the URL of toxiproxy's API, by which other programs cut, slow and heal
// the links.
func (d *Deployment) API() string { return "http://" + d.links.api }

// URLs are where callers in a region reach all regions, the nearest first.
func (d *Deployment) URLs(from string) []string {
	regions := slices.Clone(d.Regions)
	slices.SortStableFunc(regions, func(a, b *Region) int {
		return int(d.Delay(from, a.Name) - d.Delay(from, b.Name))
	})
	var urls []string
	for _, r := range regions {
		if r.Name == from {
			urls = append(urls, r.URL)
			continue
		}
		urls = append(urls, "http://"+d.links.between(carriesCalls, from, r.Name)[0].Address)
	}
	return urls
}

// Audits are where the services of a region answer to log verify: each knows
// its own rows.
func (d *Deployment) Audits(region string) []string {
	r, err := d.Region(region)
	if err != nil {
		return nil
	}
	return []string{"http://" + r.listen[Identity], "http://" + r.listen[Authz]}
}
