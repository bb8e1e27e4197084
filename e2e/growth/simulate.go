package growth

// Deployment is what is simulated. The zero value has nothing.
type Deployment struct {
	Regions, Organizations int
	// EventsPerDay of one organization.
	EventsPerDay float64
	// Shards of each region's stream: 0 is the code as it is, one stream for each
	// region, mirrored everywhere and read whole by every process. With shards, a
	// region mirrors only the organizations that are asked about there, and an
	// authz process follows only its share of the region's.
	Shards int
}

// What the simulation assumes of every deployment.
const (
	// Processes of a region.
	authzProcesses    = 6
	identityProcesses = 3
	relayProcesses    = 2
	// readElsewhere is in how many other regions an organization is asked about,
	// and activeShare how many are asked about at all within half an hour: the
	// time for which a graph stays.
	readElsewhere = 1
	activeShare   = 0.1
	// graphBudget is services/authz's max_bytes, by default.
	graphBudget = 8 << 30

	beatsPerSecond = 4
	// pollsPerSecond: a lease of 5 s is asked for three times as often.
	pollsPerSecond = 3.0 / 5
	secondsPerDay  = 24 * 60 * 60
)

// Load is what a deployment asks of its parts.
type Load struct {
	// Events committed in all regions, and those that an authz process reads, both
	// in a second; Reading is the cores that it needs for that.
	Events, Read, Reading float64
	// Beats that an authz process hears in a second, and the cores for that.
	Beats, Beating float64
	// Mirrors in all regions, and Consumers: readers of streams.
	Mirrors, Consumers int
	// Bus is of the NATS cluster of one region: cores, memory in bytes, and what
	// comes in from other regions, in bytes a second.
	BusCores, BusMemory, BusNetwork float64
	// Relaying is the cores that the relays of a region need: one relay publishes a
	// stream.
	Relaying float64
	// Polls of leases and of outboxes that are empty, in a second, of one database.
	Polls float64
	// Graphs is what an authz process holds, in bytes, and Cold the share of the
	// asked organizations for which its budget has no room.
	Graphs, Cold float64
	// Database is its size for the organizations alone, in bytes, and Committing
	// the cores that it needs for the events.
	Database, Committing float64
}

// Simulate computes what a deployment needs at measured costs. It is arithmetic
// and no measurement: nothing of it ran.
func Simulate(c Costs, d Deployment) Load {
	regions, organizations := float64(d.Regions), float64(d.Organizations)
	l := Load{Events: organizations * d.EventsPerDay / secondsPerDay, Database: organizations * c.OrganizationBytes}
	here := l.Events / regions // of one home region
	streams := 1
	inRegion := l.Events // what a region's bus holds and copies
	asked := organizations / regions * (1 + readElsewhere) * activeShare
	if d.Shards == 0 {
		l.Read = l.Events
		l.Beats = beatsPerSecond * regions
		l.Mirrors = d.Regions * (d.Regions - 1)
		l.Consumers = d.Regions * d.Regions * (authzProcesses + identityProcesses + relayProcesses)
		l.Polls = regions * regions * relayProcesses * pollsPerSecond
	} else {
		streams = d.Shards
		inRegion = min(l.Events, here*(1+readElsewhere))
		l.Read = inRegion / authzProcesses
		followed := float64(streams) * (1 + readElsewhere) / authzProcesses
		l.Beats = beatsPerSecond * followed
		l.Mirrors = d.Regions * streams * readElsewhere
		l.Consumers = d.Regions * streams * (1 + readElsewhere) // each shard has one authz process of a region
		// Its own shards, and those of one neighbour for which it stands by.
		l.Polls = regions * float64(streams) * 2 * relayProcesses * pollsPerSecond
		asked /= authzProcesses
	}
	l.Polls += regions * float64(streams) * beatsPerSecond // the leaders' look at their outbox
	l.Reading = l.Read * c.FollowMicros / 1e6
	l.Beating = l.Beats * c.BeatMicros / 1e6
	away := inRegion - here
	l.BusCores = (here*c.StoreMicros + away*c.MirrorMicros) / 1e6
	l.BusMemory = c.BusBytes * organizations
	if d.Shards != 0 {
		l.BusMemory *= ratio(inRegion, l.Events)
	}
	l.BusNetwork = away * c.EventBytes
	l.Relaying = here * c.PublishMicros / 1e6
	l.Committing = l.Events * c.CommitMicros / 1e6
	if counted := asked * c.CountedBytes; counted > graphBudget {
		l.Cold = 1 - graphBudget/counted
	}
	l.Graphs = asked * (1 - l.Cold) * c.GraphBytes
	return l
}
