package growth

import (
	"fmt"
	"strings"
)

// Report is the tables of a run and what follows from them, in Markdown.
func Report(r Run) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# Growth: regions and organizations\n\n%s\n", r.Machine)
	fmt.Fprint(&out, "Everything, the one that asks too, ran on this machine; \"foreign\" is what other programs used of it while organizations\n"+
		"were created. Rates with much of it say little; memory and processor time of a process suffer less.\n")
	mainTable(&out, r.Steps)
	memoryTable(&out, r.Steps)
	lagTable(&out, r.Steps)
	followTable(&out, r.Steps)
	tablesTable(&out, r.Steps)
	growths(&out, r.Steps)
	reached(&out, r.Steps)
	return out.String()
}

func head(s Step) []string {
	return []string{fmt.Sprint(len(s.Regions)), number(float64(s.Organizations))}
}

func mainTable(out *strings.Builder, steps []Step) {
	fmt.Fprint(out, "\n")
	row(out, "regions", "organizations", "created/s", "events/s", "rolled back for each", "backlog at most", "empty after", "foreign cores",
		"visible at home: p50, p99", "elsewhere: p50, p99", "one way", "checks/s, 8 workers", "p50, p99", "1 worker: p50, p99",
		"first check: p50, p99", "idle cores", "streams", "mirrors", "database", "restart: stop", "ready", "answers")
	rule(out, 22)
	for _, s := range steps {
		far, way := elsewhere(s)
		row(out, append(head(s), number(s.Creation.PerSecond()), number(s.Creation.EventsPerSecond()),
			number(ratio(float64(s.Creation.Again), float64(s.Creation.Organizations))), number(s.Creation.Backlog),
			seconds(s.Creation.Drain), number(s.Creation.Foreign),
			pair(s.home().Quantile), far, way, number(s.Checks.PerSecond), pair(s.Checks.Quantile), pair(s.Again), pair(s.Cold),
			fmt.Sprintf("%.3f", s.IdleAll()), size(float64(s.Disk.Streams)), size(float64(s.Disk.Mirrors)), size(float64(s.Disk.Database)),
			seconds(s.Restart.Stop), seconds(s.Restart.Ready), seconds(s.Restart.Answer))...)
	}
}

func seconds(s float64) string { return micros(s * 1e6) }

// elsewhere is the range over the pairs of different regions.
func elsewhere(s Step) (lag, way string) {
	away := s.away()
	if len(away) == 0 {
		return "", ""
	}
	low, high := away[0], away[0]
	for _, l := range away {
		if l.P50 < low.P50 {
			low = l
		}
		if l.P50 > high.P50 {
			high = l
		}
	}
	if low == high || len(away) == 2 {
		return pair(high.Quantile), fmt.Sprintf("%.0f ms", high.DelayMS)
	}
	return pair(low.Quantile) + " to " + pair(high.Quantile), fmt.Sprintf("%.0f to %.0f ms", low.DelayMS, high.DelayMS)
}

func memoryTable(out *strings.Builder, steps []Step) {
	fmt.Fprint(out, "\n## Memory and idle processor time\n\nOf all processes of a kind in all regions, before anything is asked. The database's is proportional. A graph is what\n"+
		"the first region's authz process grew by for each organization that was asked about; in brackets what it counts itself.\n\n")
	titles := append([]string{"regions", "organizations"}, Kinds()...)
	titles = append(titles, "all", "for each organization", "a graph")
	for _, kind := range Kinds() {
		titles = append(titles, "idle "+kind)
	}
	row(out, titles...)
	rule(out, len(titles))
	for _, s := range steps {
		cells := head(s)
		for _, kind := range Kinds() {
			cells = append(cells, size(float64(s.Memory[kind])))
		}
		cells = append(cells, size(float64(s.MemoryAll())), size(ratio(float64(s.MemoryAll()), float64(s.Organizations))),
			fmt.Sprintf("%s (%s)", size(ratio(s.Graphs.Grown, s.Graphs.Loaded)), size(ratio(s.Graphs.Counted, s.Graphs.All))))
		for _, kind := range Kinds() {
			cells = append(cells, fmt.Sprintf("%.4f", s.Idle[kind]))
		}
		row(out, cells...)
	}
}

func lagTable(out *strings.Builder, steps []Step) {
	fmt.Fprint(out, "\n## From the reply of a write until an answer has it\n\nAsked with minimize_latency again and again, a millisecond apart; the time of the asking is in it.\n\n")
	row(out, "regions", "organizations", "home", "asked in", "one way", "p50", "p99", "writes")
	rule(out, 8)
	for _, s := range steps {
		for _, l := range s.Lags {
			row(out, append(head(s), l.From, l.To, fmt.Sprintf("%.0f ms", l.DelayMS), micros(l.P50), micros(l.P99), fmt.Sprint(l.N))...)
		}
	}
}

func followTable(out *strings.Builder, steps []Step) {
	fmt.Fprint(out, "\n## Processor time for each event\n\nWrites of one relationship in the first region; elsewhere is the last region, which served nobody: what its processes\n"+
		"used, they used to follow. Cost without load is taken off.\n\n")
	row(out, "regions", "organizations", "writes/s", "home: authz", "identity", "relay", "nats", "database", "elsewhere: authz", "identity", "relay", "nats")
	rule(out, 12)
	for _, s := range steps {
		f := s.Follow
		row(out, append(head(s), number(f.PerSecond), micros(f.Writer[Authz]), micros(f.Writer[Identity]), micros(f.Writer[Relay]),
			micros(f.Writer[NATS]), micros(f.Writer[Database]), micros(f.Bystander[Authz]), micros(f.Bystander[Identity]),
			micros(f.Bystander[Relay]), micros(f.Bystander[NATS]))...)
	}
}

func tablesTable(out *strings.Builder, steps []Step) {
	fmt.Fprint(out, "\n## Tables of the log\n\nWhole size, and in brackets its indexes.\n\n")
	row(out, "regions", "organizations", "events", "log.events", "log.logs", "log.idempotency", "log.outbox")
	rule(out, 7)
	for _, s := range steps {
		cells := append(head(s), number(float64(s.Disk.Events)))
		for _, name := range []string{"events", "logs", "idempotency", "outbox"} {
			t := s.Disk.Tables[name]
			cells = append(cells, fmt.Sprintf("%s (%s)", size(float64(t.All)), size(float64(t.Indexes))))
		}
		row(out, cells...)
	}
}

// reached says what was not.
func reached(out *strings.Builder, steps []Step) {
	for _, s := range steps {
		if s.Why != "" {
			fmt.Fprintf(out, "\n**Not reached:** %s organizations were wanted with %d regions; %s ended it at %s. What is above is of these.\n",
				number(float64(s.Wanted)), len(s.Regions), s.Why, number(float64(s.Organizations)))
		}
	}
}
