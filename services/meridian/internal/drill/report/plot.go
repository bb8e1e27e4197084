package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// The picture, in pixels: the plot's edges, and the legend's columns.
const (
	pictureWidth = 960
	plotLeft     = 72
	plotRight    = 936
	plotTop      = 64
	plotBottom   = 400
	legendTop    = 470
	legendWidth  = 216
	legendHeight = 22
	letter       = 7 // about
)

// Each replica has a colour, each home region a pattern of dashes.
const (
	colours = 6
	dashes  = 4
)

const style = `
svg { color-scheme: light dark; }
text { font: 13px system-ui, sans-serif; fill: #1b1f24; }
.title { font-size: 17px; font-weight: 600; }
.back { fill: #ffffff; }
.grid { stroke: #d5d9de; }
.axis { stroke: #5b636d; }
.fault { fill: #d6336c; fill-opacity: 0.13; }
.bound { stroke: #c2255c; stroke-width: 1.5; stroke-dasharray: 2 3; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.dot { stroke: none; }
.d1 { stroke-dasharray: 7 4; }
.d2 { stroke-dasharray: 1 4; }
.d3 { stroke-dasharray: 9 3 1 3; }
.c0 { color: #0b62c4; } .c1 { color: #b3470e; } .c2 { color: #0a7d4b; }
.c3 { color: #8a2fa8; } .c4 { color: #a8124f; } .c5 { color: #5a5f00; }
.line { stroke: currentColor; } .dot { fill: currentColor; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e9ed; }
  .back { fill: #15181c; }
  .grid { stroke: #343a42; }
  .axis { stroke: #98a1ac; }
  .fault { fill: #ff6b9d; fill-opacity: 0.18; }
  .bound { stroke: #ff8ab5; }
  .c0 { color: #6cb2ff; } .c1 { color: #ffa45c; } .c2 { color: #5fd6a0; }
  .c3 { color: #d69bf2; } .c4 { color: #ff8ab5; } .c5 { color: #d3d75c; }
}
`

// Plot writes the staleness curve as one SVG that needs nothing else: the age of
// answers in each region for each home region over time, with the faults and the
// bound. Where answers were refused for their age, a line has a gap.
func (r *Report) Plot(w io.Writer) error {
	p := newPicture(r)
	p.frame()
	p.faults()
	p.axes()
	p.bound()
	p.curves()
	p.legend()
	p.printf("</svg>\n")
	if _, err := io.WriteString(w, p.out.String()); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// picture is an SVG in the making.
type picture struct {
	report *Report
	out    strings.Builder
	x, y   axis
	names  []string
	series map[string][]Sample
}

func newPicture(r *Report) *picture {
	p := &picture{report: r}
	p.names, p.series = r.Staleness.series()
	last := seconds(r.Duration)
	for _, s := range r.Staleness.Samples {
		last = max(last, seconds(s.Offset))
	}
	if last <= 0 {
		last = 1
	}
	p.x = axis{high: last, from: plotLeft, to: plotRight}
	p.y = r.Staleness.ageAxis(plotBottom, plotTop)
	return p
}

func (p *picture) printf(format string, args ...any) { fmt.Fprintf(&p.out, format, args...) }

// text writes a text; anchor is start, middle or end.
func (p *picture) text(x, y float64, anchor, attributes, content string) {
	p.printf(`<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, attributes, escaped(content))
}

func escaped(text string) string {
	var b strings.Builder
	// A strings.Builder fails no write.
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

func (p *picture) rule(class string, x1, y1, x2, y2 float64) {
	p.printf(`<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", class, x1, y1, x2, y2)
}

func (p *picture) frame() {
	const perRow = (plotRight - plotLeft) / legendWidth
	rows := (len(p.names)+len(p.notes())+perRow-1)/perRow + 1
	height := legendTop + rows*legendHeight
	title := "How old answers were: " + p.report.Drill
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title">`+"\n",
		pictureWidth, height, pictureWidth, height)
	p.printf("<title id=\"title\">%s</title>\n<style>%s</style>\n", escaped(title), style)
	p.printf(`<rect class="back" width="%d" height="%d"/>`+"\n", pictureWidth, height)
	p.text(plotLeft, 32, "start", ` class="title"`, title)
}

// faults shades the time of each fault.
func (p *picture) faults() {
	for _, f := range p.report.outages() {
		left, right := p.x.at(seconds(f.begin)), p.x.at(seconds(f.end))
		p.printf(`<rect class="fault" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`+"\n",
			left, plotTop, right-left, plotBottom-plotTop, escaped(f.text))
		words := f.text
		if float64(len(words)*letter) > right-left {
			words = "fault"
		}
		p.text(left+4, plotTop-8, "start", "", words)
	}
}

func (p *picture) axes() {
	for _, v := range p.x.ticks(10) {
		x := p.x.at(v)
		p.rule("axis", x, plotBottom, x, plotBottom+5)
		p.text(x, plotBottom+20, "middle", "", label(v))
	}
	for _, v := range p.y.ticks(6) {
		y := p.y.at(v)
		p.rule("grid", plotLeft, y, plotRight, y)
		p.text(plotLeft-8, y+4, "end", "", label(v))
	}
	p.rule("axis", plotLeft, plotBottom, plotRight, plotBottom)
	p.rule("axis", plotLeft, plotTop, plotLeft, plotBottom)
	const middle = (plotTop + plotBottom) / 2
	p.text((plotLeft+plotRight)/2, plotBottom+42, "middle", "", "seconds since the drill began")
	words := "age in seconds"
	if p.y.log {
		words += ", logarithmic"
	}
	p.text(20, middle, "middle", fmt.Sprintf(` transform="rotate(-90 20 %d)"`, middle), words)
}

func (p *picture) bound() {
	if bound := p.report.Staleness.Bound; bound > 0 {
		y := p.y.at(seconds(bound))
		p.rule("bound", plotLeft, y, plotRight, y)
		p.text(plotRight-4, y-6, "end", "", "bound "+bound.String())
	}
}

func (p *picture) curves() {
	for _, name := range p.names {
		class := p.class(name)
		for _, run := range p.runs(p.series[name]) {
			if len(run) == 1 {
				p.printf(`<circle class="dot %s" cx="%.1f" cy="%.1f" r="1.8"/>`+"\n", class, run[0].x, run[0].y)
				continue
			}
			points := make([]string, len(run))
			for i, at := range run {
				points[i] = fmt.Sprintf("%.1f,%.1f", at.x, at.y)
			}
			p.printf(`<polyline class="line %s" points="%s"/>`+"\n", class, strings.Join(points, " "))
		}
	}
}

// class is the colour of a series' replica and the dashes of its home.
func (p *picture) class(name string) string {
	s := p.series[name][0]
	region := slices.Index(p.report.Regions, s.Region)
	home := slices.Index(p.report.Regions, s.Home)
	return fmt.Sprintf("c%d d%d", max(region, 0)%colours, max(home, 0)%dashes)
}

type point struct{ x, y float64 }

// runs are the points between refused answers; of those in one pixel's width
// the oldest.
func (p *picture) runs(samples []Sample) [][]point {
	var runs [][]point
	joined := false
	for _, s := range samples {
		if s.Refused {
			joined = false
			continue
		}
		at := point{p.x.at(seconds(s.Offset)), p.y.at(seconds(s.Age))}
		if !joined {
			runs = append(runs, nil)
			joined = true
		}
		run := &runs[len(runs)-1]
		if n := len(*run); n > 0 && int((*run)[n-1].x) == int(at.x) {
			(*run)[n-1].y = min((*run)[n-1].y, at.y) // up is older
			continue
		}
		*run = append(*run, at)
	}
	return runs
}

// notes are what the legend says beside the curves.
func (p *picture) notes() []string {
	var notes []string
	if len(p.report.outages()) > 0 {
		notes = append(notes, "fault to heal")
	}
	if slices.ContainsFunc(p.report.Staleness.Samples, func(s Sample) bool { return s.Refused }) {
		notes = append(notes, "gap: answers refused")
	}
	return notes
}

func (p *picture) legend() {
	n := 0
	next := func() (x, y float64) {
		const perRow = (plotRight - plotLeft) / legendWidth
		x, y = plotLeft+float64(n%perRow)*legendWidth, legendTop+float64(n/perRow)*legendHeight
		n++
		return x, y
	}
	for _, name := range p.names {
		x, y := next()
		p.rule("line "+p.class(name), x, y-4, x+32, y-4)
		p.text(x+40, y, "start", "", name)
	}
	for _, note := range p.notes() {
		x, y := next()
		if note == "fault to heal" {
			p.printf(`<rect class="fault" x="%.1f" y="%.1f" width="32" height="12"/>`+"\n", x, y-10)
		}
		p.text(x+40, y, "start", "", note)
	}
}

// series are the samples of each replica and home region, by offset, and their
// names in order.
func (s Staleness) series() (names []string, series map[string][]Sample) {
	series = make(map[string][]Sample)
	for _, sample := range s.Samples {
		name := sample.Region + ", home " + sample.Home
		series[name] = append(series[name], sample)
	}
	for _, samples := range series {
		slices.SortStableFunc(samples, func(a, b Sample) int { return cmp.Compare(a.Offset, b.Offset) })
	}
	return slices.Sorted(maps.Keys(series)), series
}
