package growth

import (
	"fmt"
	"strings"
)

// Planet is the simulation as tables, in Markdown: three numbers of regions,
// three of organizations and two rates, as the code is and with shards.
func Planet(c Costs) string {
	var out strings.Builder
	fmt.Fprint(&out, "# Computed, not run\n\nFrom these costs, measured on one machine; 0 means that the run could not tell:\n\n")
	for _, line := range []struct {
		what  string
		value string
	}{
		{"a process that reads an event that its callers do not ask about", micros(c.FollowMicros)},
		{"the relay, for an event", micros(c.PublishMicros)},
		{"the database, for an event committed alone, and its publishing", micros(c.CommitMicros)},
		{"NATS, for an event of its own region", micros(c.StoreMicros)},
		{"NATS, for an event of another region, copied and handed to three processes", micros(c.MirrorMicros)},
		{"a process, for a heartbeat", micros(c.BeatMicros)},
		{"an event in a stream", number(c.EventBytes) + " bytes"},
		{"NATS memory in each region, for an organization, with what it keeps of its files", number(c.BusBytes) + " bytes"},
		{"a graph in memory, of five relationships", number(c.GraphBytes) + " bytes"},
		{"what the process counts for it against its budget", number(c.CountedBytes) + " bytes"},
		{"an authz process without graphs", size(c.ProcessBytes)},
		{"the database, for an organization", number(c.OrganizationBytes) + " bytes"},
	} {
		fmt.Fprintf(&out, "- %s: %s\n", line.what, line.value)
	}
	fmt.Fprintf(&out, "\nand these assumptions: %d authz, %d identity and %d relay processes in a region; %.0f %% of the organizations asked about\n"+
		"within half an hour, each at home and in %d other region; %s of graphs in a process. Bold is more than there is: a core, the\n"+
		"budget of graphs, and for each stream one core of a relay and of NATS. The costs were taken at one or two hundred events a second;\n"+
		"what works in batches costs less for each at higher rates.\n",
		authzProcesses, identityProcesses, relayProcesses, activeShare*100, readElsewhere, size(graphBudget))
	for _, shards := range []int{0, 16} {
		title := "As the code is: one stream for each region, mirrored everywhere, read whole by every process"
		if shards > 0 {
			title = fmt.Sprintf("With %d shards of each stream, mirrored where they are read, organizations spread over the authz processes", shards)
		}
		fmt.Fprintf(&out, "\n## %s\n\n", title)
		planetTable(&out, c, shards)
	}
	mirrors(&out)
	return out.String()
}

// mirrors counts the ways to copy the streams to all regions.
func mirrors(out *strings.Builder) {
	fmt.Fprint(out, "\n## Copies of everything, by a mesh and by a hub\n\nA hub gathers the streams of all regions into one, which every region mirrors.\n\n")
	row(out, "regions", "mirrors of a mesh", "of a hub", "times that an event leaves its home: mesh", "hub", "times that it leaves the hub")
	rule(out, 6)
	for _, regions := range []int{3, 10, 30} {
		row(out, fmt.Sprint(regions), fmt.Sprint(regions*(regions-1)), fmt.Sprint(2*(regions-1)), fmt.Sprint(regions-1), "1", fmt.Sprint(regions-2))
	}
}

func planetTable(out *strings.Builder, c Costs, shards int) {
	streams := float64(max(1, shards))
	row(out, "regions", "organizations", "events a day each", "events/s", "mirrors", "stream readers",
		"an authz process reads, events/s", "cores for it", "heartbeats/s", "cores for them",
		"its graphs", "cold", "NATS of a region: cores", "memory", "from other regions", "relay of a region: cores",
		"database: cores", "polls/s", "size")
	rule(out, 19)
	for _, rate := range []float64{20, 500} {
		for _, regions := range []int{3, 10, 30} {
			for _, organizations := range []int{100_000, 1_000_000, 10_000_000} {
				l := Simulate(c, Deployment{Regions: regions, Organizations: organizations, EventsPerDay: rate, Shards: shards})
				row(out, fmt.Sprint(regions), number(float64(organizations)), number(rate), number(l.Events), fmt.Sprint(l.Mirrors), number(float64(l.Consumers)),
					number(l.Read), over(l.Reading, 1, number(l.Reading)), number(l.Beats), number(l.Beating),
					over(l.Graphs, graphBudget, size(l.Graphs)), fmt.Sprintf("%.0f %%", 100*l.Cold),
					over(l.BusCores, streams, number(l.BusCores)), size(l.BusMemory), size(l.BusNetwork)+"/s", over(l.Relaying, streams, number(l.Relaying)),
					number(l.Committing), number(l.Polls), size(l.Database))
			}
		}
	}
}

func over(value, limit float64, text string) string {
	if value > limit {
		return "**" + text + "**"
	}
	return text
}
