package topology

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
)

// chooseDatabase starts the database, unless it is a cluster: nodes reach each
// other by links, which are not there yet.
func (d *Deployment) chooseDatabase(ctx context.Context) (err error) {
	d.plan.Step("starting the database")
	if err := os.MkdirAll(d.plan.Dir, 0o755); err != nil { //nolint:gosec // the database's own account passes through it
		return fmt.Errorf("folder %s: %w", d.plan.Dir, err)
	}
	if d.clustered, err = pglocal.CanCluster(d.path(Database), len(d.plan.Regions)); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if d.clustered {
		return nil
	}
	d.database, err = pglocal.Start(ctx, pglocal.Options{Dir: d.path(Database)})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	d.Database = d.database.Kind()
	return nil
}

// startCluster starts the nodes of a cluster, if the database is one.
func (d *Deployment) startCluster(ctx context.Context) (err error) {
	if !d.clustered {
		return nil
	}
	d.plan.Step("starting CockroachDB: a node in each region")
	var nodes []pglocal.Node
	for _, r := range d.Regions {
		node := pglocal.Node{Region: r.Name, Address: r.node, From: map[string]string{}}
		for _, from := range d.Regions {
			if from != r {
				node.From[from.Name] = d.links.between(carriesNodes, from.Name, r.Name)[0].Address
			}
		}
		nodes = append(nodes, node)
	}
	d.cluster, err = pglocal.StartCluster(ctx, pglocal.ClusterOptions{Dir: d.path(Database), Nodes: nodes})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	d.Database = "CockroachDB, a node in each region"
	return nil
}

// databaseURL is the database's for a region, by way of an address.
func (d *Deployment) databaseURL(r *Region, address string) string {
	var known secret.String
	if d.clustered {
		known = d.cluster.URL(r.Name)
	} else {
		known = d.database.URL()
	}
	at, err := url.Parse(known.Reveal())
	if err != nil {
		panic(err) // pglocal made it
	}
	at.Host = address
	return at.String()
}

// databaseAddress is where a region's way to the database ends: at the region's
// own node, or at the only server.
func (d *Deployment) databaseAddress(r *Region) string {
	if d.clustered {
		return r.node
	}
	at, err := url.Parse(d.database.URL().Reveal())
	if err != nil {
		panic(err) // pglocal made it
	}
	return at.Host
}

func (d *Deployment) stopDatabase(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	if d.database != nil {
		err = d.database.Stop(ctx)
		d.database = nil
	}
	if d.cluster != nil {
		err = d.cluster.Stop(ctx)
		d.cluster = nil
	}
	return err
}

// KillDatabase ends the database without a warning; of a cluster, all nodes.
func (d *Deployment) KillDatabase() error {
	if d.cluster != nil {
		return d.cluster.Kill()
	}
	process, err := os.FindProcess(d.database.PID())
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		return fmt.Errorf("kill the database: %w", err)
	}
	select {
	case <-d.database.Exited():
		return nil
	case <-time.After(patience):
		return errors.New("the killed database goes on")
	}
}

// RestartDatabase starts the database again, after KillDatabase.
func (d *Deployment) RestartDatabase(ctx context.Context) error {
	if d.cluster != nil {
		return d.cluster.Start(ctx)
	}
	database, err := pglocal.Start(ctx, pglocal.Options{Dir: d.path(Database)})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	d.database = database
	for _, r := range d.Regions {
		for _, link := range d.links.between(carriesDatabase, r.Name, Database) {
			if err := d.links.point(link, d.databaseAddress(r)); err != nil {
				return err
			}
		}
	}
	return nil
}
