package growth_test

import (
	"math"
	"testing"

	"github.com/meridian-iam/meridian/e2e/growth"
)

func TestFit(t *testing.T) {
	for _, test := range []struct {
		name       string
		points     []growth.Point
		base, each float64
		shape      string
	}{
		{"nothing", nil, 0, 0, "one point: nothing to say"},
		{"one point", []growth.Point{{1, 7}}, 7, 0, "one point: nothing to say"},
		{"one x", []growth.Point{{1, 6}, {1, 8}}, 7, 0, "one point: nothing to say"},
		{"two points", []growth.Point{{1, 10}, {3, 30}}, 0, 10, "grows or shrinks; two points"},
		{"a line over a base", []growth.Point{{1, 105}, {10, 150}, {100, 600}}, 100, 5, "linear"},
		{"a line that falls", []growth.Point{{1, 90}, {2, 80}, {5, 50}}, 100, -10, "falls, linear"},
		{"level", []growth.Point{{1, 100}, {2, 101}, {3, 99}}, 101, -0.5, "level, within 20 %"},
		{"a square whose three points pass for a line", []growth.Point{{1, 1}, {5, 25}, {20, 400}}, -49.5, 22.10, "linear"},
		{"a jump", []growth.Point{{1, 1}, {2, 100}, {3, 60}}, -5.33, 29.5, "grows, not as a line"},
		{"a fall", []growth.Point{{1, 100}, {2, 10}, {3, 60}}, 96.67, -20, "falls, not as a line"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := growth.Fit(test.points)
			if math.Abs(l.Base-test.base) > 0.01 || math.Abs(l.Each-test.each) > 0.01 {
				t.Errorf("the line is %.2f + %.2f × x, want %.2f + %.2f × x", l.Base, l.Each, test.base, test.each)
			}
			if l.Fit < 0 || l.Fit > 1 {
				t.Errorf("the fit is %v", l.Fit)
			}
			if l.Shape() != test.shape {
				t.Errorf("it %q, want %q", l.Shape(), test.shape)
			}
		})
	}
}
