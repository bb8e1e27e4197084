package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

// WriteText writes the report for people, the most important first, at most 100
// columns wide.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, section := range []func(*strings.Builder){
		r.verdict, r.broke, r.functions, r.staleness, r.latencies, r.verification, r.thresholds, r.timeline, r.setting,
	} {
		section(&b)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (r *Report) verdict(b *strings.Builder) {
	fmt.Fprintf(b, "%s: %s\n", r.Drill, strings.ToUpper(string(r.Verdict)))
	hang(b, "", r.Description)
	for _, reason := range r.Reasons {
		hang(b, "  - ", reason)
	}
}

// outage is a fault and, when it had an end, its end.
type outage struct {
	begin, end Millis
	ended      bool
	text       string
}

// outages pairs the moments of the timeline.
func (r *Report) outages() []outage {
	var out []outage
	for _, m := range r.moments() {
		switch m.Kind {
		case FaultBegins:
			out = append(out, outage{begin: m.Offset, end: r.Duration, text: m.Text})
		case FaultEnds:
			if len(out) > 0 {
				out[len(out)-1].end, out[len(out)-1].ended = m.Offset, true
			}
		case Observation:
		}
	}
	return out
}

// moments are the timeline in order.
func (r *Report) moments() []Moment {
	return slices.SortedStableFunc(slices.Values(r.Timeline), func(a, b Moment) int { return cmp.Compare(a.Offset, b.Offset) })
}

func (r *Report) broke(b *strings.Builder) {
	heading(b, "WHAT BROKE")
	faults := r.outages()
	if len(faults) == 0 {
		b.WriteString("nothing\n")
	}
	for _, f := range faults {
		when := fmt.Sprintf("from %v on: ", f.begin)
		if f.ended {
			when = fmt.Sprintf("%v to %v (%v): ", f.begin, f.end, f.end-f.begin)
		}
		hang(b, when, f.text)
	}
}

func (r *Report) functions(b *strings.Builder) {
	heading(b, "RECOVERY")
	fmt.Fprintf(b, "RPO           %s missing of %d acknowledged\n", count(r.RPO.Missing, "event"), r.RPO.Acknowledged)
	fmt.Fprintf(b, "error budget  %s of calls may fail, %s did (%d of %d)\n\n",
		percent(100*r.Budget.Allowed), percent(100*r.Budget.Used), r.Budget.Failures, r.Budget.Attempts)
	t := table{header: []string{"FUNCTION", "CALLS", "REF/FAIL/UNK", "AVAILABLE", "RTO", "OUTAGE", "P50", "P99"}}
	for _, f := range r.Functions {
		t.add(f.Name, strconv.Itoa(f.Attempts), fmt.Sprintf("%d/%d/%d", f.Refused, f.Failed, f.Unknown), percent(f.Availability),
			f.rto(), orNone(f.LongestOutage), orNone(f.P50), orNone(f.P99))
	}
	t.write(b)
}

// rto is in words: n/a when nothing failed, more than what was seen when nothing
// recovered.
func (f Function) rto() string {
	switch {
	case f.RTO == nil:
		return "n/a"
	case !f.Recovered:
		return "> " + f.RTO.String()
	default:
		return f.RTO.String()
	}
}

func orNone(m Millis) string {
	if m == 0 {
		return "–"
	}
	return m.String()
}

func (r *Report) staleness(b *strings.Builder) {
	if len(r.Staleness.Samples) == 0 {
		return
	}
	heading(b, fmt.Sprintf("STALENESS (answers older than %v must be refused)", r.Staleness.Bound))
	t := table{header: []string{"REPLICA AND HOME", "SAMPLES", "REFUSED", "P50 AGE", "P99 AGE", "LARGEST"}}
	names, series := r.Staleness.series()
	for _, name := range names {
		var ages []time.Duration
		for _, s := range series[name] {
			if !s.Refused {
				ages = append(ages, time.Duration(s.Age))
			}
		}
		p50, p99 := percentiles(ages)
		largest := Staleness{Samples: series[name]}.MaxAge()
		t.add(name, strconv.Itoa(len(series[name])), strconv.Itoa(len(series[name])-len(ages)), orNone(p50), orNone(p99), orNone(largest))
	}
	t.write(b)
}

func (r *Report) latencies(b *strings.Builder) {
	if len(r.Latencies) == 0 {
		return
	}
	heading(b, "LATENCY (ONE-WAY is the network's own delay; P50 in multiples of it)")
	t := table{header: []string{"WHAT, FROM AND TO", "COUNT", "P50", "P99", "ONE-WAY", "RATIO"}}
	for _, l := range r.Latencies {
		ratio := "–"
		if x := l.Ratio(); x > 0 {
			ratio = fmt.Sprintf("%.1f ×", x)
		}
		t.add(fmt.Sprintf("%s, %s to %s", l.What, l.Home, l.Region), strconv.Itoa(l.Count),
			l.P50.String(), l.P99.String(), orNone(l.OneWay), ratio)
	}
	t.write(b)
}

func (r *Report) verification(b *strings.Builder) {
	heading(b, "VERIFICATION")
	v := r.Verification
	events, differences := 0, 0
	for _, l := range v.Logs {
		events += l.Events
		differences += l.Differences
	}
	chains := "equal in all replicas"
	if !v.ChainsEqual {
		chains = "DIFFER"
	}
	fmt.Fprintf(b, "logs              %d compared, %s, %s\n", len(v.Logs), count(events, "event"), count(differences, "difference"))
	for _, l := range v.Logs {
		if l.Differences > 0 {
			hang(b, "                  ", fmt.Sprintf("%s: %s in %s", l.Log, count(l.Differences, "difference"), count(l.Events, "event")))
		}
	}
	fmt.Fprintf(b, "hash chains       %s\n", chains)
	for _, difference := range v.ChainDifferences {
		hang(b, "                  ", difference)
	}
	fmt.Fprintf(b, "forbidden allows  %d\n", v.ForbiddenAllows)
	if len(v.History.Models) == 0 {
		return
	}
	b.WriteString("\n")
	t := table{header: []string{"HISTORY OF", "OPERATIONS", "PARTITIONS", "VIOLATED", "UNDECIDED", "VERDICT"}}
	for _, m := range v.History.Models {
		t.add(m.Model, strconv.Itoa(m.Operations), strconv.Itoa(m.Partitions), strconv.Itoa(m.Violated), strconv.Itoa(m.Undecided), string(m.Verdict))
	}
	t.write(b)
	for _, m := range v.History.Models {
		for _, why := range m.Violations {
			contradiction(b, m.Model, why)
		}
	}
}

// shown is how many operations of a contradiction are.
const shown = 12

func contradiction(b *strings.Builder, model string, v history.Violation) {
	b.WriteString("\n")
	hang(b, "", fmt.Sprintf("%s, %s: no correct system answers so", model, v.Partition))
	for _, op := range v.Ops[:min(shown, len(v.Ops))] {
		hang(b, "  ", op.String())
	}
	if more := len(v.Ops) - shown; more > 0 {
		fmt.Fprintf(b, "  and %d more\n", more)
	}
	if n := len(v.Maybe); n > 0 {
		fmt.Fprintf(b, "  whatever became of %s of unknown outcome\n", count(n, "write"))
	}
}

func (r *Report) thresholds(b *strings.Builder) {
	if len(r.Thresholds) == 0 {
		return
	}
	heading(b, "THRESHOLDS")
	t := table{header: []string{"PROMISE", "LIMIT", "VALUE", "KEPT"}}
	for _, th := range r.Thresholds {
		kept := "yes"
		if !th.OK {
			kept = "NO"
		}
		t.add(th.Name, th.Limit, th.Value, kept)
	}
	t.write(b)
}

func (r *Report) timeline(b *strings.Builder) {
	heading(b, "TIMELINE")
	words := map[MomentKind]string{FaultBegins: "fault", FaultEnds: "heal"}
	for _, m := range r.moments() {
		hang(b, fmt.Sprintf("%8v  %-5s  ", m.Offset, words[m.Kind]), m.Text)
	}
}

// setting is where and with what the drill ran.
func (r *Report) setting(b *strings.Builder) {
	heading(b, "SETTING")
	hang(b, "run       ", fmt.Sprintf("%s, for %v, seed %d", r.Started.UTC().Format("2006-01-02 15:04:05 UTC"), r.Duration, r.Seed))
	v := r.Versions
	hang(b, "versions  ", fmt.Sprintf("meridian %s, %s, NATS server %s, %s", v.Meridian, v.Go, v.NATS, v.Database))
	hang(b, "regions   ", strings.Join(r.Regions, ", "))
	delays := make([]string, len(r.Delays))
	for i, d := range r.Delays {
		delays[i] = fmt.Sprintf("%s to %s %v", d.From, d.To, d.OneWay)
	}
	if len(delays) > 0 {
		hang(b, "one-way   ", strings.Join(delays, ", "))
	}
}
