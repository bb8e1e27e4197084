package growth

import (
	"fmt"
	"slices"
	"strings"
)

// figure is one of a step's that may grow.
type figure struct {
	name  string
	of    func(Step) float64
	print func(float64) string
}

func figures() []figure {
	out := []figure{
		{"creation, organizations/s", func(s Step) float64 { return s.Creation.PerSecond() }, number},
		{"visible at home, p50", func(s Step) float64 { return s.home().P50 }, micros},
		{"check in memory, 1 worker, p50", func(s Step) float64 { return s.Again.P50 }, micros},
		{"checks/s", func(s Step) float64 { return s.Checks.PerSecond }, number},
		{"first check, p50", func(s Step) float64 { return s.Cold.P50 }, micros},
	}
	for _, kind := range Kinds() {
		out = append(out, figure{"memory of " + kind, func(s Step) float64 { return float64(s.Memory[kind]) }, size})
	}
	return append(out,
		figure{"memory of all", func(s Step) float64 { return float64(s.MemoryAll()) }, size},
		figure{"idle cores of all", Step.IdleAll, func(n float64) string { return fmt.Sprintf("%.4f", n) }},
		figure{"streams on disk", func(s Step) float64 { return float64(s.Disk.Streams) }, size},
		figure{"mirrors on disk", func(s Step) float64 { return float64(s.Disk.Mirrors) }, size},
		figure{"database on disk", func(s Step) float64 { return float64(s.Disk.Database) }, size},
		figure{"restart until it answers", func(s Step) float64 { return s.Restart.Answer }, func(n float64) string { return micros(n * 1e6) }},
	)
}

// growths says how each figure grows with organizations, and with regions.
func growths(out *strings.Builder, steps []Step) {
	fmt.Fprint(out, "\n## What grows\n\nLines by least squares. \"fit\" is the share of the spread that the line explains; a line through two points always fits.\n"+
		"With organizations: through the steps of the most regions. With regions: through the steps of the fewest organizations.\n\n")
	row(out, "", "at the start", "for each 1 000 organizations", "fit", "so it", "for each region", "fit", "so it")
	rule(out, 8)
	byOrganizations, byRegions := cuts(steps)
	for _, f := range figures() {
		grow := Fit(points(byOrganizations, func(s Step) (float64, float64) { return float64(s.Organizations), f.of(s) }))
		spread := Fit(points(byRegions, func(s Step) (float64, float64) { return float64(len(s.Regions)), f.of(s) }))
		start := 0.0
		if len(steps) > 0 {
			start = f.of(steps[0])
		}
		row(out, f.name, f.print(start), signed(f, grow.Each*1000), fmt.Sprintf("%.2f", grow.Fit), grow.Shape(),
			signed(f, spread.Each), fmt.Sprintf("%.2f", spread.Fit), spread.Shape())
	}
}

func signed(f figure, value float64) string {
	if value < 0 {
		return "−" + f.print(-value)
	}
	return "+" + f.print(value)
}

// cuts are the steps with the most regions, and those with the organizations
// that were wanted least.
func cuts(steps []Step) (byOrganizations, byRegions []Step) {
	if len(steps) == 0 {
		return nil, nil
	}
	most, fewest := 0, steps[0].Wanted
	for _, s := range steps {
		most, fewest = max(most, len(s.Regions)), min(fewest, s.Wanted)
	}
	byOrganizations = slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return len(s.Regions) != most })
	byRegions = slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.Wanted != fewest })
	return byOrganizations, byRegions
}
