package drill

import (
	"fmt"
	"strings"
	"time"
)

// The drills.
const (
	RegionLoss      = "region-loss"
	RegionIsolation = "region-isolation"
	NATSLoss        = "nats-loss"
	DatabaseLoss    = "database-loss"
	SlowLink        = "slow-link"
	RelayCrash      = "relay-crash"
	ClockSkew       = "clock-skew"
	RollingUpgrade  = "rolling-upgrade"
	Chaos           = "chaos"
)

// Scenario is what a drill breaks, and what it promises meanwhile.
type Scenario struct {
	Name string
	// Does says what is done, for people.
	Does string
	// Promises are the limits that decide the exit code.
	Promises Promises
}

// Promises are limits of a drill. Always, nothing acknowledged may be lost,
// nothing revoked allowed, all copies must agree, and the histories hold.
type Promises struct {
	// WriteRTO and CheckRTO are how long after the fault's begin all writes, and
	// all checks by clients of regions that are well, succeed again. 0: they may
	// be away until the fault has ended, and for Settle then.
	WriteRTO, CheckRTO time.Duration
	// Settle is how long after the end of the fault everything is well again.
	Settle time.Duration
	// Budget is the share of calls that may fail.
	Budget float64
}

// Scenarios returns all drills, in the order in which `drill all` does them.
func Scenarios() []Scenario {
	return []Scenario{
		{RelayCrash, "the relay of a region is killed; another region's takes its lease", Promises{WriteRTO: 10 * time.Second, CheckRTO: 10 * time.Second, Settle: 15 * time.Second, Budget: 0.05}},
		{NATSLoss, "the NATS cluster of a region is killed, and started again with its disk", Promises{WriteRTO: 10 * time.Second, CheckRTO: 10 * time.Second, Settle: 15 * time.Second, Budget: 0.10}},
		{SlowLink, fmt.Sprintf("all links are %d times as slow, and their delays vary by half", slowFactor), Promises{Settle: 15 * time.Second, Budget: 0.10}},
		{RegionIsolation, "all links of a region are cut; its processes go on", Promises{Settle: 45 * time.Second, Budget: 0.30}},
		{RegionLoss, "the links of a region are cut and, a second later, all its processes killed", Promises{Settle: 45 * time.Second, Budget: 0.30}},
		{DatabaseLoss, "the database is killed, and started again", Promises{Settle: 15 * time.Second, Budget: 0.60}},
		{ClockSkew, "the clocks of a region's machines go two minutes slow", Promises{Settle: 15 * time.Second, Budget: 0.20}},
		{RollingUpgrade, "one region after another runs another build, and the first one again", Promises{Settle: 15 * time.Second, Budget: 0.20}},
		{Chaos, "processes are killed and stopped, links cut, and the database killed, at random, while many write", Promises{Settle: time.Minute, Budget: 0.90}},
	}
}

// Find returns a scenario by its name.
//
// Errors: there is none; the error names all.
func Find(name string) (Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("there is no drill %q; there are %s", name, strings.Join(names, ", "))
}
