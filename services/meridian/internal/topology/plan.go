// Package topology runs a deployment of several regions on this machine, or of
// one: for each region its services as processes of their own and a NATS
// cluster, one database for all of them, and between them links with the delays
// of the real world, which can be cut, slowed and healed.
//
// The database is a CockroachDB cluster, one node in each region, when there are
// three regions or more and pglocal finds a cockroach binary. Services use their
// own region's node, and the nodes reach each other by links: the delays are
// theirs, a region that is cut off has a node that is cut off, and a region that
// is lost has lost its node. It was tested with a stand-in for the binary only.
//
// Else PostgreSQL, or a single node of CockroachDB, stands for the cluster. It is
// near to every region, as the leaseholders of an organization's rows are to its
// home region, whose services execute the writes; DatabaseDelay makes it far. Losing a region
// does not lose it, as losing one of three does not lose a CockroachDB cluster.
// With two regions it is so in any case: SURVIVE REGION FAILURE needs three.
package topology

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-iam/meridian/pkg/region"
)

// Plan says what to run.
type Plan struct {
	// Dir keeps everything; the same folder again continues.
	Dir string
	// Binary is the meridian program that the processes run.
	Binary string
	// Binaries are those of single regions, where they differ.
	Binaries map[string]string
	// Regions, the platform's home first. One is a deployment, too: the same
	// processes, without links to others.
	Regions []string
	// Servers of each region's NATS cluster: 1 or 3; 0 means 1.
	Servers int
	// Delays of the links; nil means Delay of each pair.
	Delays func(from, to string) time.Duration
	// DatabaseDelay is the way from a region to the database, or to its own node of
	// it; 0 means 1 ms.
	DatabaseDelay time.Duration
	// Skews are how far the clocks of regions are off.
	Skews map[string]time.Duration
	// Listen is where the first region answers; empty means a free port.
	Listen string
	// Step is told what happens, for people.
	Step func(text string)
}

// Database is the place of the database in links.
const Database = "database"

// The services of a region, each a process. Bus is the first of its NATS
// servers.
const (
	Identity = "identity"
	Authz    = "authz"
	Relay    = "relay"
	Bus      = "nats"
	// Sessions and Audit are in the process of identity.
	Sessions = "sessions"
	Audit    = "audit"
)

// services are in the order in which they start.
func services() []string { return []string{Identity, Authz, Relay} }

// oneWay are delays between places, as public clouds have them.
func oneWay() map[[2]string]time.Duration {
	return map[[2]string]time.Duration{
		{"us-east", "eu-west"}:  40 * time.Millisecond,
		{"us-east", "ap-south"}: 110 * time.Millisecond,
		{"eu-west", "ap-south"}: 65 * time.Millisecond,
	}
}

// The delays of pairs that oneWay does not have.
const (
	otherDelay = 50 * time.Millisecond
	// nearDelay is the way to a leaseholder in the same region.
	nearDelay = 1 * time.Millisecond
)

// Delay is the standard one-way delay between two regions.
func Delay(from, to string) time.Duration {
	known := oneWay()
	for _, pair := range [][2]string{{from, to}, {to, from}} {
		if d, ok := known[pair]; ok {
			return d
		}
	}
	return otherDelay
}

// delay is the one-way delay of a link.
func (p Plan) delay(from, to string) time.Duration {
	between := p.Delays
	if between == nil {
		between = Delay
	}
	if to == Database {
		return max(p.DatabaseDelay, nearDelay)
	}
	return between(from, to)
}

func (p Plan) binary(of string) string {
	if b, ok := p.Binaries[of]; ok {
		return b
	}
	return p.Binary
}

func (p Plan) check() error {
	if len(p.Regions) == 0 {
		return errors.New("regions: there must be at least one")
	}
	if p.Servers != 1 && p.Servers != 3 {
		return fmt.Errorf("nats-servers: a region's NATS cluster has 1 or 3 servers, not %d", p.Servers)
	}
	for i, name := range p.Regions {
		if err := region.Check(name); err != nil {
			return fmt.Errorf("regions: %w", err)
		}
		if slices.Contains(p.Regions[:i], name) {
			return fmt.Errorf("regions: %q is named twice; name each region once", name)
		}
		if name == Database {
			return fmt.Errorf("regions: %q is the place of the database here; choose another name", name)
		}
	}
	return nil
}
