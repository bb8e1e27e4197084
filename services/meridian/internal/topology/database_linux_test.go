package topology

import (
	"context"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal/cockroachtest"
)

func TestMain(m *testing.M) {
	if code, was := cockroachtest.Main(); was {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// standIn is a cockroach with a PostgreSQL behind it.
func standIn(t *testing.T) *cockroachtest.Binary {
	t.Helper()
	behind, err := pglocal.Start(t.Context(), pglocal.Options{Dir: t.TempDir(), Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := behind.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return cockroachtest.Install(t, behind.URL().Reveal())
}

// laid is a deployment with its database and links, and without processes.
func laid(t *testing.T, regions ...string) *Deployment {
	t.Helper()
	d := &Deployment{
		plan:  Plan{Dir: t.TempDir(), Binary: "/nowhere/meridian", Servers: 1, Regions: regions, Step: func(string) {}},
		ports: newPorts(), secrets: newSecrets(),
	}
	t.Cleanup(func() {
		if err := d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []func(context.Context) error{d.chooseDatabase, d.lay} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// served are the regions whose services reach a database.
func served(t *testing.T, d *Deployment) []string {
	t.Helper()
	var all []string
	for _, r := range d.Regions {
		at, err := os.ReadFile(d.path(r.Name, "database.url"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), strings.TrimSpace(string(at)))
		if err != nil {
			continue
		}
		_ = conn.Close(t.Context())
		all = append(all, r.Name)
	}
	return all
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestClusterOfRegions(t *testing.T) {
	binary := standIn(t)
	regions := []string{"us-east", "eu-west", "ap-south"}
	d := laid(t, regions...)
	if d.Database != "CockroachDB, a node in each region" {
		t.Errorf("the database is %s", d.Database)
	}
	same(t, "regions with a database", served(t, d), regions)
	t.Run("a node in each region", func(t *testing.T) { testOwnNodes(t, d, binary) })
	t.Run("region loss", func(t *testing.T) { testLoss(t, d) })
	t.Run("region isolation", func(t *testing.T) { testIsolation(t, d) })
	t.Run("database loss", func(t *testing.T) { testDatabaseLoss(t, d) })
	if calls := binary.Calls(t, "init"); len(calls) != 1 {
		t.Errorf("the cluster was initialized %d times", len(calls))
	}
}

// testOwnNodes: a region's services use its own node, which reaches the others by
// the links of its region.
func testOwnNodes(t *testing.T, d *Deployment, binary *cockroachtest.Binary) {
	calls := binary.Calls(t, "start")
	if len(calls) != len(d.Regions) {
		t.Fatalf("%d nodes were started", len(calls))
	}
	for _, r := range d.Regions {
		link := d.links.between(carriesDatabase, r.Name, Database)[0]
		if at, err := url.Parse(d.databaseURL(r, link.Address)); err != nil || at.Host != link.Address {
			t.Errorf("%s: the services use %s, error %v", r.Name, at, err)
		}
		if link.Delay != nearDelay || link.proxy.Upstream != r.node {
			t.Errorf("%s: the link to the database leads to %s in %s, want %s in %s", r.Name, link.proxy.Upstream, link.Delay, r.node, nearDelay)
		}
		own := slices.IndexFunc(calls, func(args []string) bool { return slices.Contains(args, "--locality=region="+r.Name) })
		if own < 0 {
			t.Fatalf("there is no node in %s", r.Name)
		}
		var join, advertised []string
		for _, other := range d.Regions {
			if other == r {
				join = append(join, r.node)
				continue
			}
			out, in := d.links.between(carriesNodes, r.Name, other.Name)[0], d.links.between(carriesNodes, other.Name, r.Name)[0]
			if out.Delay != Delay(r.Name, other.Name) || out.proxy.Upstream != other.node {
				t.Errorf("%s leads to %s in %s", out.Name(), out.proxy.Upstream, out.Delay)
			}
			join, advertised = append(join, out.Address), append(advertised, "region="+other.Name+"@"+in.Address)
		}
		for _, want := range []string{
			"--listen-addr=" + r.node, "--join=" + strings.Join(join, ","), "--locality-advertise-addr=" + strings.Join(advertised, ","),
		} {
			if !slices.Contains(calls[own], want) {
				t.Errorf("the node of %s lacks %s:\n%s", r.Name, want, strings.Join(calls[own], "\n"))
			}
		}
	}
}

// cuts are the links that are cut.
func cuts(d *Deployment) []string {
	var all []string
	for _, link := range d.links.all {
		if link.proxy.Toxics.GetToxic(toxicCut+"-"+directions()[0]) != nil {
			all = append(all, link.Name())
		}
	}
	slices.Sort(all)
	return all
}

func testLoss(t *testing.T, d *Deployment) {
	lost := d.Regions[1]
	if err := d.Lose(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	same(t, "regions with a database after the loss of one", served(t, d), []string{"us-east", "ap-south"})
	// The node comes first; there is no program for the rest here.
	if err := d.Restore(t.Context(), lost); err == nil {
		t.Error("the region was restored without a program")
	}
	same(t, "regions with a database after its return", served(t, d), []string{"us-east", "eu-west", "ap-south"})
	same(t, "links that are cut", cuts(d), nil)
}

func testIsolation(t *testing.T, d *Deployment) {
	if err := d.Isolate(d.Regions[1]); err != nil {
		t.Fatal(err)
	}
	same(t, "links that are cut", slices.DeleteFunc(cuts(d), func(name string) bool {
		return strings.HasPrefix(name, carriesBus) || strings.HasPrefix(name, carriesCalls)
	}), []string{
		"cockroach:ap-south:eu-west:0", "cockroach:eu-west:ap-south:0", "cockroach:eu-west:us-east:0", "cockroach:us-east:eu-west:0",
	})
	if err := d.Rejoin(t.Context(), d.Regions[1]); err != nil {
		t.Fatal(err)
	}
	same(t, "links that are cut", cuts(d), nil)
}

func testDatabaseLoss(t *testing.T, d *Deployment) {
	if err := d.KillDatabase(); err != nil {
		t.Fatal(err)
	}
	same(t, "regions with a database after its loss", served(t, d), nil)
	if err := d.RestartDatabase(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "regions with a database after its return", served(t, d), []string{"us-east", "eu-west", "ap-south"})
}

// Two regions have no cluster: SURVIVE REGION FAILURE needs three.
func TestSingleNodeForTwoRegions(t *testing.T) {
	binary := standIn(t)
	d := laid(t, "us-east", "eu-west")
	if d.Database != "CockroachDB" {
		t.Errorf("the database is %s", d.Database)
	}
	same(t, "regions with a database", served(t, d), []string{"us-east", "eu-west"})
	if single, nodes := binary.Calls(t, "start-single-node"), binary.Calls(t, "start"); len(single) != 1 || len(nodes) != 0 {
		t.Errorf("%d single nodes and %d nodes of a cluster were started", len(single), len(nodes))
	}
	if len(d.links.between(carriesNodes, "us-east", "eu-west")) > 0 {
		t.Error("there is a link between nodes")
	}
}
