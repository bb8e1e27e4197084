package growth

import "math"

// Point is a measurement.
type Point struct{ X, Y float64 }

// Line is y = Base + Each × x, by least squares.
type Line struct {
	Base, Each float64
	// Fit is the share of the spread that the line explains: 1 is all of it. Of
	// two points it is always 1.
	Fit float64
	// Points, and the smallest and largest y.
	Points   int
	Min, Max float64
}

// Fit returns the line through points. Without two different x there is none:
// Each is 0 and Base the average.
func Fit(points []Point) Line {
	l := Line{Points: len(points), Min: math.Inf(1), Max: math.Inf(-1)}
	if len(points) == 0 {
		return Line{}
	}
	n := float64(len(points))
	var x, y float64
	for _, p := range points {
		x += p.X / n
		y += p.Y / n
		l.Min, l.Max = math.Min(l.Min, p.Y), math.Max(l.Max, p.Y)
	}
	var xx, xy, yy float64
	for _, p := range points {
		xx += (p.X - x) * (p.X - x)
		xy += (p.X - x) * (p.Y - y)
		yy += (p.Y - y) * (p.Y - y)
	}
	if xx == 0 {
		l.Base = y
		return l
	}
	l.Each = xy / xx
	l.Base = y - l.Each*x
	l.Fit = 1
	if yy > 0 {
		l.Fit = xy * xy / (xx * yy)
	}
	return l
}

// The limits of Shape.
const (
	levelSpread = 0.2
	straightFit = 0.97
)

// Shape says in words how y grows with x. Three points cannot prove a line: the
// words are about the points.
func (l Line) Shape() string {
	switch {
	case l.Points < 2 || l.Each == 0 && l.Fit == 0:
		return "one point: nothing to say"
	case l.Max-l.Min <= levelSpread*math.Abs(l.Max):
		return "level, within 20 %"
	case l.Points == 2:
		return "grows or shrinks; two points"
	case l.Fit >= straightFit && l.Each > 0:
		return "linear"
	case l.Fit >= straightFit:
		return "falls, linear"
	case l.Each > 0:
		return "grows, not as a line"
	default:
		return "falls, not as a line"
	}
}
