package growth_test

import (
	"testing"

	"github.com/meridian-iam/meridian/e2e/growth"
)

// measured are costs with which sums are easy.
var measured = growth.Costs{
	FollowMicros: 50, MirrorMicros: 100, PublishMicros: 200, StoreMicros: 300, BeatMicros: 100,
	EventBytes: 500, GraphBytes: 20_000, CountedBytes: 5_000, ProcessBytes: 60 << 20, BusBytes: 600, CommitMicros: 1000, OrganizationBytes: 10_000,
}

func TestSimulateOneStreamForEachRegion(t *testing.T) {
	d := growth.Deployment{Regions: 10, Organizations: 864_000, EventsPerDay: 100}
	l := growth.Simulate(measured, d)
	if l.Events != 1000 || l.Read != l.Events || l.Mirrors != 90 {
		t.Errorf("%v events/s, of which a process reads %v; %d mirrors", l.Events, l.Read, l.Mirrors)
	}
	if l.Reading != 0.05 || l.Beats != 40 || l.Beating != 0.004 {
		t.Errorf("reading takes %v cores, %v heartbeats/s take %v", l.Reading, l.Beats, l.Beating)
	}
	// 100 of its own, 900 of others.
	if l.BusCores != 0.03+0.09 || l.BusNetwork != 900*500 || l.BusMemory != 864_000*600 {
		t.Errorf("NATS: %v cores, %v bytes/s, %v bytes", l.BusCores, l.BusNetwork, l.BusMemory)
	}
	// Asked about here: a tenth of what is at home, and of as much from elsewhere.
	if want := 864_000 / 10 * 2 * 0.1 * 20_000; l.Graphs != want || l.Cold != 0 {
		t.Errorf("graphs take %v bytes, want %v; %v are cold", l.Graphs, want, l.Cold)
	}
	if l.Relaying != 0.02 || l.Database != 864e7 || l.Committing != 1 {
		t.Errorf("relay %v cores, database %v cores, %v bytes", l.Relaying, l.Committing, l.Database)
	}
	// 10 regions × 10 leases × 2 processes × 0.6, and 10 leaders × 4.
	if l.Polls != 160 {
		t.Errorf("%v polls/s", l.Polls)
	}
}

// Whatever the deployment: shards make no process read more, hold more or need
// more of the network, and change nothing of what is committed.
func TestSimulateShards(t *testing.T) {
	for _, regions := range []int{1, 2, 3, 10, 30} {
		for _, organizations := range []int{1, 1000, 10_000_000} {
			d := growth.Deployment{Regions: regions, Organizations: organizations, EventsPerDay: 20}
			whole := growth.Simulate(measured, d)
			d.Shards = 16
			shards := growth.Simulate(measured, d)
			if shards.Events != whole.Events || shards.Database != whole.Database || shards.Relaying != whole.Relaying {
				t.Errorf("%+v: other events, relays or database: %+v, %+v", d, whole, shards)
			}
			if shards.Read > whole.Read || shards.Graphs > whole.Graphs || shards.Cold > whole.Cold ||
				shards.BusNetwork > whole.BusNetwork || shards.BusMemory > whole.BusMemory {
				t.Errorf("%+v: shards cost more: %+v, %+v", d, whole, shards)
			}
		}
	}
}

func TestSimulateGraphsBeyondTheBudget(t *testing.T) {
	l := growth.Simulate(measured, growth.Deployment{Regions: 3, Organizations: 60_000_000, EventsPerDay: 1})
	// The budget is of what is counted: four times as much is held.
	if l.Cold < 0.57 || l.Cold > 0.58 || l.Graphs < 4*(8<<30)-1 || l.Graphs > 4*(8<<30)+1 {
		t.Errorf("graphs take %v bytes, %v are cold", l.Graphs, l.Cold)
	}
}

func TestPlanet(t *testing.T) { golden(t, "planet.md", growth.Planet(measured)) }
