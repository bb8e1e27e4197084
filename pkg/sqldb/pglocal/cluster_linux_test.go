package pglocal_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal/cockroachtest"
)

const (
	east  = "us-east"
	west  = "eu-west"
	south = "ap-south"
)

// nodes of three regions, on free ports.
func nodes(t *testing.T) []pglocal.Node {
	t.Helper()
	var all []pglocal.Node
	for _, region := range []string{east, west, south} {
		all = append(all, pglocal.Node{Region: region, Address: net.JoinHostPort("127.0.0.1", freePort(t))})
	}
	return all
}

func startCluster(t *testing.T, dir string, nodes []pglocal.Node) *pglocal.Cluster {
	t.Helper()
	c, err := pglocal.StartCluster(t.Context(), pglocal.ClusterOptions{Dir: dir, Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopCluster(t, c) })
	return c
}

func stopCluster(t *testing.T, c *pglocal.Cluster) {
	t.Helper()
	if err := c.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// hosts are the addresses in the URLs of the regions' nodes.
func hosts(t *testing.T, c *pglocal.Cluster, nodes []pglocal.Node) []string {
	t.Helper()
	var all []string
	for _, n := range nodes {
		u, err := url.Parse(c.URL(n.Region).Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if u.Path != "/meridian" {
			t.Errorf("the URL of %s names the database %q", n.Region, u.Path)
		}
		all = append(all, u.Host)
	}
	return all
}

func addresses(nodes []pglocal.Node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.Address)
	}
	return all
}

// serving are the regions whose nodes accept connections.
func serving(t *testing.T, c *pglocal.Cluster, nodes []pglocal.Node) []string {
	t.Helper()
	var all []string
	for _, n := range nodes {
		conn, err := pgx.Connect(t.Context(), c.URL(n.Region).Reveal())
		if err != nil {
			continue
		}
		_ = conn.Close(t.Context())
		all = append(all, n.Region)
	}
	return all
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// started is how often a command of the stand-in was run.
func started(t *testing.T, binary *cockroachtest.Binary, command string, want int) [][]string {
	t.Helper()
	calls := binary.Calls(t, command)
	if len(calls) != want {
		t.Fatalf("cockroach %s was run %d times, want %d", command, len(calls), want)
	}
	return calls
}

// TestCluster runs clusters of stand-ins, one after the other, with one PostgreSQL
// behind all.
func TestCluster(t *testing.T) {
	behind := start(t, pglocal.Options{Dir: t.TempDir(), Fast: true}).URL().Reveal()
	for name, test := range map[string]func(*testing.T, *cockroachtest.Binary){
		"a node in each region":         testNodeInEachRegion,
		"it starts again":               testClusterStartsAgain,
		"it is initialized already":     testInitializedAlready,
		"killed nodes rejoin":           testKilledNodesRejoin,
		"a failed start leaves no node": testFailedStartLeavesNoNode,
	} {
		t.Run(name, func(t *testing.T) { test(t, cockroachtest.Install(t, behind)) })
	}
}

func testNodeInEachRegion(t *testing.T, binary *cockroachtest.Binary) {
	dir, all := t.TempDir(), nodes(t)
	// us-east is reached from eu-west by way of something, and by nobody else.
	all[0].From = map[string]string{west: "127.0.0.1:9"}
	c := startCluster(t, dir, all)

	calls := started(t, binary, "start", 3)
	slices.SortFunc(calls, func(a, b []string) int {
		place := func(args []string) int {
			return slices.IndexFunc(all, func(n pglocal.Node) bool { return slices.Contains(args, "--locality=region="+n.Region) })
		}
		return place(a) - place(b)
	})
	for i, n := range all {
		want := []string{
			"start", "--insecure",
			"--listen-addr=" + n.Address, "--advertise-addr=" + n.Address, "--http-addr=127.0.0.1:0",
			"--locality=region=" + n.Region, "--join=" + strings.Join(addresses(all), ","),
			"--listening-url-file=" + filepath.Join(dir, "cockroach", n.Region, "url"),
			"--store=" + filepath.Join(dir, "cockroach", n.Region, "data"),
			"--cache=128MiB", "--max-sql-memory=128MiB",
		}
		switch n.Region {
		case east:
			want = slices.Insert(want, 7, "--locality-advertise-addr=region=eu-west@127.0.0.1:9")
		case west:
			want[6] = "--join=127.0.0.1:9," + all[1].Address + "," + all[2].Address
		}
		equal(t, "arguments of "+n.Region, calls[i], want)
	}
	equal(t, "init", started(t, binary, "init", 1)[0], []string{"init", "--insecure", "--host=" + all[0].Address})
	equal(t, "the regions' databases", hosts(t, c, all), addresses(all))
	for _, n := range all {
		if got := number(t, c.URL(n.Region).Reveal(), "SELECT 1 WHERE current_database() = 'meridian'"); got != 1 {
			t.Errorf("%s: got %d", n.Region, got)
		}
	}
	if _, err := pglocal.StartCluster(t.Context(), pglocal.ClusterOptions{Dir: dir, Nodes: all}); !errors.Is(err, pglocal.ErrInUse) {
		t.Errorf("started twice: got %v, want ErrInUse", err)
	}

	stopCluster(t, c)
	equal(t, "nodes after Stop", serving(t, c, all), nil)
	stopCluster(t, c) // a second time does no harm
}

func testClusterStartsAgain(t *testing.T, binary *cockroachtest.Binary) {
	dir, all := t.TempDir(), nodes(t)
	stopCluster(t, startCluster(t, dir, all))
	all = nodes(t) // at other addresses
	c := startCluster(t, dir, all)
	started(t, binary, "start", 6)
	started(t, binary, "init", 1)
	equal(t, "the regions' databases", hosts(t, c, all), addresses(all))
	equal(t, "nodes", serving(t, c, all), []string{east, west, south})
}

// A start that was interrupted after `cockroach init` does not know that it was
// done.
func testInitializedAlready(t *testing.T, binary *cockroachtest.Binary) {
	dir, all := t.TempDir(), nodes(t)
	stopCluster(t, startCluster(t, dir, all))
	if err := os.Remove(filepath.Join(dir, "cockroach", "cluster.initialized")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and once it knows
		c := startCluster(t, dir, all)
		equal(t, "nodes", serving(t, c, all), []string{east, west, south})
		stopCluster(t, c)
	}
	started(t, binary, "init", 2)
}

func testKilledNodesRejoin(t *testing.T, binary *cockroachtest.Binary) {
	all := nodes(t)
	c := startCluster(t, t.TempDir(), all)
	before := started(t, binary, "start", 3)

	if err := c.Kill(west); err != nil {
		t.Fatal(err)
	}
	equal(t, "nodes after the loss of one", serving(t, c, all), []string{east, south})
	for range 2 { // the second time there is nothing to start
		if err := c.Start(t.Context(), west); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "nodes after its return", serving(t, c, all), []string{east, west, south})
	again := started(t, binary, "start", 4)[3]
	if !slices.ContainsFunc(before, func(first []string) bool { return slices.Equal(first, again) }) {
		t.Errorf("the node came back with other arguments: %s", strings.Join(again, " "))
	}

	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	equal(t, "nodes after the loss of all", serving(t, c, all), nil)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "nodes after their return", serving(t, c, all), []string{east, west, south})
	started(t, binary, "start", 7)
	started(t, binary, "init", 1)
	equal(t, "the regions' databases", hosts(t, c, all), addresses(all))
}

func testFailedStartLeavesNoNode(t *testing.T, binary *cockroachtest.Binary) {
	dir, all := t.TempDir(), nodes(t)
	taken, err := net.Listen("tcp", all[2].Address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pglocal.StartCluster(t.Context(), pglocal.ClusterOptions{Dir: dir, Nodes: all}); err == nil || !strings.Contains(err.Error(), south) {
		t.Fatalf("got %v, want an error that names the node", err)
	}
	started(t, binary, "init", 0)
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, dir, all) // the others' addresses and the directory are free
	equal(t, "nodes", serving(t, c, all), []string{east, west, south})
}

func TestClusterSaysWhatIsWrong(t *testing.T) {
	t.Setenv("COCKROACH_BINARY", os.Args[0]) // it is not run
	three := nodes(t)
	named := func(regions ...string) []pglocal.Node {
		var all []pglocal.Node
		for _, region := range regions {
			all = append(all, pglocal.Node{Region: region, Address: "127.0.0.1:9"})
		}
		return all
	}
	for name, c := range map[string]struct {
		dir   string
		nodes []pglocal.Node
		want  string
	}{
		"no directory":         {"", three, "no directory given"},
		"two regions":          {t.TempDir(), three[:2], "at least 3"},
		"a region twice":       {t.TempDir(), named(east, west, east), "two nodes"},
		"a region called data": {t.TempDir(), named(east, west, "data"), "single node"},
		"no region's name":     {t.TempDir(), named(east, west, "../else"), "is not a region"},
		"a node left out":      {withData(t, "cockroach/af-south"), three, "af-south, which is left out"},
		"data of PostgreSQL":   {withData(t, "postgresql"), three, "another database"},
		"data of one node":     {withData(t, "cockroach"), three, "another database"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pglocal.StartCluster(t.Context(), pglocal.ClusterOptions{Dir: c.dir, Nodes: c.nodes})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	t.Run("a single node in a cluster's directory", func(t *testing.T) {
		_, err := pglocal.Start(t.Context(), pglocal.Options{Dir: withData(t, "cockroach/us-east")})
		if err == nil || !strings.Contains(err.Error(), "node in each of us-east") {
			t.Fatalf("got %v, want an error that names the regions", err)
		}
	})
}

func TestCanCluster(t *testing.T) {
	check := func(dir string, regions int, want bool) {
		t.Helper()
		if got, err := pglocal.CanCluster(dir, regions); err != nil || got != want {
			t.Errorf("%d regions in %s: got %v and error %v, want %v", regions, dir, got, err, want)
		}
	}
	kept := withData(t, "cockroach/us-east")
	t.Setenv("PATH", t.TempDir())
	check(t.TempDir(), 3, false) // no cockroach
	if _, err := pglocal.CanCluster(kept, 3); err == nil {
		t.Error("data of a cluster and no cockroach: want an error")
	}
	t.Setenv("COCKROACH_BINARY", os.Args[0])
	check(t.TempDir(), 1, false)
	check(t.TempDir(), 2, false)
	check(t.TempDir(), 3, true)
	check(t.TempDir(), 4, true)
	check(kept, 3, true)
	check(withData(t, "postgresql"), 3, false)
	check(withData(t, "cockroach"), 3, false)
}
