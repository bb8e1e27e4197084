package pglocal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/region"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// FewestNodes is how many regions a cluster has at least: SURVIVE REGION FAILURE
// needs three. A single node stands for the cluster of fewer regions.
const FewestNodes = 3

// Node is one node of a cluster.
type Node struct {
	// Region is its locality: --locality=region=…. Each region has one node.
	Region string
	// Address is where it listens, as 127.0.0.1:21000. Its client URL names it.
	Address string
	// From are other addresses, by region: those at which the nodes of that region
	// reach this one, where something between them delays or cuts what they say. A
	// region that is not in it uses Address.
	From map[string]string
}

// seenFrom is where the nodes of a region reach this one.
func (n Node) seenFrom(other string) string {
	if address, ok := n.From[other]; ok {
		return address
	}
	return n.Address
}

// ClusterOptions say where a cluster keeps its data, and what its nodes are.
type ClusterOptions struct {
	// Dir holds the data of all nodes, as Options.Dir does.
	Dir string
	// Log gets the nodes' own output at debug level. nil means none.
	Log *slog.Logger
	// Nodes are at least three. A node whose data is in Dir may not be left out;
	// its addresses may be others than before.
	Nodes []Node
}

// Cluster is a CockroachDB of one node in each region. Its methods may be called
// from many goroutines, and wait for each other.
//
// It is insecure in CockroachDB's sense, as the single node is. From version 24.3
// on CockroachDB throttles a cluster of more than one node that has had no licence
// key for seven days.
type Cluster struct {
	binary, dir string
	log         *slog.Logger

	mu      sync.Mutex
	members []*member
	// lock is the directory's; nil after Stop.
	lock *os.File
}

// member is a node and its process.
type member struct {
	Node

	home string
	// process is nil before the first start.
	process *process
	// admin is the URL that the node announced.
	admin secret.String
}

func (m *member) running() bool {
	if m.process == nil {
		return false
	}
	select {
	case <-m.process.exited:
		return false
	default:
		return true
	}
}

// initializedFile says that the nodes were made one cluster. No region is called
// like this.
const initializedFile = "cluster.initialized"

// CanCluster says whether StartCluster is the way to start the database of these
// regions in dir: there are three regions or more, a cockroach binary, and no
// data of PostgreSQL or of a single node. Data of a cluster decides alone.
func CanCluster(dir string, regions int) (bool, error) {
	written := writtenBy(dir)
	if written == postgresqlFolder || written == cockroachFolder {
		return false, nil
	}
	binary, err := findCockroach()
	if err != nil {
		return false, err
	}
	if written == clusterData {
		if binary == "" {
			return false, noCockroach(dir)
		}
		return true, nil
	}
	return binary != "" && regions >= FewestNodes, nil
}

// StartCluster starts a node in each region, makes one cluster of them when they
// are new, waits until all accept connections and makes the database "meridian".
// ctx bounds the start only.
func StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c, err := prepare(o)
	if err != nil {
		return nil, fmt.Errorf("start local cluster: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	if err := c.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start local cluster: %w", err), c.Kill(), c.lock.Close())
	}
	o.Log.InfoContext(ctx, "local cluster started", slog.Int("nodes", len(c.members)), slog.String("dir", c.dir))
	return c, nil
}

// prepare checks what is asked for and locks the directory.
func prepare(o ClusterOptions) (*Cluster, error) {
	if o.Dir == "" {
		return nil, errors.New("no directory given")
	}
	if err := checkNodes(o.Nodes); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, log: o.Log}
	for _, n := range o.Nodes {
		c.members = append(c.members, &member{Node: n, home: filepath.Join(dir, cockroachFolder, n.Region)})
	}
	if c.binary, err = findCockroach(); err != nil {
		return nil, err
	}
	if c.binary == "" {
		return nil, errors.New("there is no cockroach on PATH")
	}
	if c.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if err := c.checkData(); err != nil {
		return nil, errors.Join(err, c.lock.Close())
	}
	return c, nil
}

func checkNodes(nodes []Node) error {
	if len(nodes) < FewestNodes {
		return fmt.Errorf("a cluster has at least %d nodes, not %d", FewestNodes, len(nodes))
	}
	for i, n := range nodes {
		if err := region.Check(n.Region); err != nil {
			return err
		}
		if n.Region == dataFolder {
			return fmt.Errorf("no node is in a region called %q: that is where a single node keeps its data", dataFolder)
		}
		if slices.ContainsFunc(nodes[:i], func(o Node) bool { return o.Region == n.Region }) {
			return fmt.Errorf("%s has two nodes", n.Region)
		}
	}
	return nil
}

func (c *Cluster) checkData() error {
	if by := writtenBy(c.dir); by == postgresqlFolder || by == cockroachFolder {
		return fmt.Errorf("%s holds data of another database", c.dir)
	}
	for _, kept := range stores(c.dir) {
		if len(c.named(kept)) == 0 {
			return fmt.Errorf("%s holds the data of a node in %s, which is left out", c.dir, kept)
		}
	}
	return nil
}

// stores are the regions whose nodes have data in dir.
func stores(dir string) []string {
	folders, _ := os.ReadDir(filepath.Join(dir, cockroachFolder)) // absent: none
	var regions []string
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(dir, cockroachFolder, folder.Name(), dataFolder)); err == nil {
			regions = append(regions, folder.Name())
		}
	}
	return regions
}

func (c *Cluster) begin(ctx context.Context) error {
	if err := c.Start(ctx); err != nil {
		return err
	}
	first := c.members[0]
	return ready(ctx, first.process, first.admin)
}

// URL returns the connection URL of the database "meridian" by way of a region's
// node, which must be one of Nodes. It is the same after a restart.
func (c *Cluster) URL(of string) secret.String {
	c.mu.Lock()
	defer c.mu.Unlock()
	named, err := withDatabase(c.named(of)[0].admin, database)
	if err != nil {
		panic(err) // it was connected to
	}
	return named
}

// Start starts what does not run of the nodes of these regions, or of all nodes
// if none is named, and waits until they accept connections. That needs a majority
// of all nodes. Nodes have the data and addresses that they had.
func (c *Cluster) Start(ctx context.Context, regions ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	starting := slices.DeleteFunc(c.named(regions...), (*member).running)
	if err := c.start(ctx, starting); err != nil {
		return errors.Join(err, end(ctx, starting, cockroachQuit))
	}
	return nil
}

func (c *Cluster) start(ctx context.Context, starting []*member) error {
	for _, m := range starting {
		if err := c.launch(ctx, m); err != nil {
			return fmt.Errorf("node of %s: %w", m.Region, err)
		}
	}
	for _, m := range starting {
		var err error
		if m.admin, err = announced(ctx, m.process, filepath.Join(m.home, urlFile)); err != nil {
			return fmt.Errorf("node of %s: %w", m.Region, err)
		}
	}
	if err := c.initialize(ctx); err != nil {
		return err
	}
	for _, m := range starting {
		conn, err := answering(ctx, m.process, m.admin)
		if err != nil {
			return fmt.Errorf("node of %s: %w", m.Region, err)
		}
		_ = conn.Close(ctx) // it was only asked whether it answers
	}
	return nil
}

func (c *Cluster) launch(ctx context.Context, m *member) error {
	if err := os.MkdirAll(m.home, 0o700); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(m.home, urlFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	started, err := launch(ctx, exec.Command(c.binary, c.args(m)...), cockroachQuit, nil, c.log)
	if err != nil {
		return err
	}
	m.process = started
	return nil
}

// args of a node. It joins the others, and they reach it, at the addresses that
// are meant for their regions; what is between two nodes may so be different for
// each pair.
//
// Source: CockroachDB documentation, "cockroach start", --locality-advertise-addr:
// the address that nodes in a locality use for this one, else --advertise-addr.
func (c *Cluster) args(m *member) []string {
	var join, advertised []string
	for _, other := range c.members {
		join = append(join, other.seenFrom(m.Region))
		if address, ok := m.From[other.Region]; ok {
			advertised = append(advertised, "region="+other.Region+"@"+address)
		}
	}
	args := []string{
		"start", "--insecure",
		"--listen-addr=" + m.Address, "--advertise-addr=" + m.Address, "--http-addr=127.0.0.1:0",
		"--locality=region=" + m.Region, "--join=" + strings.Join(join, ","),
	}
	if len(advertised) > 0 {
		args = append(args, "--locality-advertise-addr="+strings.Join(advertised, ","))
	}
	return append(args, storage(m.home)...)
}

// initialize makes one cluster of the nodes, once. A node accepts connections
// when it runs, and serves them after this.
func (c *Cluster) initialize(ctx context.Context) error {
	done := filepath.Join(c.dir, cockroachFolder, initializedFile)
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	cmd := exec.Command(c.binary, "init", "--insecure", "--host="+c.members[0].Address)
	err := run(ctx, cmd, nil, c.log)
	if err != nil && !strings.Contains(err.Error(), "cluster has already been initialized") {
		return err
	}
	return os.WriteFile(done, nil, 0o600)
}

// Kill ends the nodes of these regions without a warning, or all nodes if none is
// named. The other nodes go on as a cluster that has lost them.
func (c *Cluster) Kill(regions ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return end(context.Background(), c.named(regions...), cockroachQuit)
}

// Stop stops all nodes in order, and kills those that take longer than 15 s or
// are not done when ctx ends. When it returns, they have ended and the directory
// is free. It may be called again; the nodes cannot be started after it.
func (c *Cluster) Stop(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := end(ctx, c.members, syscall.SIGTERM); err != nil || c.lock == nil {
		return err
	}
	_ = c.lock.Close() // read only
	c.lock = nil
	return nil
}

// end ends members at the same time.
func end(ctx context.Context, members []*member, signal syscall.Signal) error {
	var ends errgroup.Group
	for _, m := range members {
		if m.running() {
			ends.Go(func() error { return m.process.stop(ctx, signal) })
		}
	}
	return ends.Wait()
}

// named returns the members of regions, all if none is named.
func (c *Cluster) named(regions ...string) []*member {
	if len(regions) == 0 {
		return slices.Clone(c.members)
	}
	return slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return !slices.Contains(regions, m.Region) })
}
