package report

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// axis maps values from low to high onto pixels, linearly or by logarithm.
type axis struct {
	low, high float64
	from, to  float64
	log       bool
}

// at is the pixel of a value; those beyond the ends are put there.
func (a axis) at(v float64) float64 {
	v = min(max(v, a.low), a.high)
	share := (v - a.low) / (a.high - a.low)
	if a.log {
		share = math.Log(v/a.low) / math.Log(a.high/a.low)
	}
	return a.from + share*(a.to-a.from)
}

// ticks are round values: about as many as wanted, or powers of ten.
func (a axis) ticks(wanted int) []float64 {
	var out []float64
	if a.log {
		for v := a.low; v <= a.high*1.001; v *= 10 {
			out = append(out, v)
		}
		return out
	}
	step := round((a.high - a.low) / float64(wanted))
	for i := 0; a.low+float64(i)*step <= a.high+step/1000; i++ {
		out = append(out, a.low+float64(i)*step)
	}
	return out
}

// round is the least of 1, 2 and 5 times a power of ten that is not below v.
func round(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, digit := range []float64{1, 2, 5} {
		if digit*power >= v {
			return digit * power
		}
	}
	return 10 * power
}

// label is a tick's value without digits that say nothing.
func label(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// spread is how many times larger than the median the largest age is when a
// linear axis would show most ages as zero.
const spread = 20

// ageAxis fits the ages that were answered and the bound, in seconds.
func (s Staleness) ageAxis(from, to float64) axis {
	var ages []float64
	for _, sample := range s.Samples {
		if !sample.Refused && sample.Age > 0 {
			ages = append(ages, seconds(sample.Age))
		}
	}
	slices.Sort(ages)
	a := axis{from: from, to: to}
	largest := seconds(s.Bound)
	if len(ages) > 0 {
		largest = max(largest, ages[len(ages)-1])
		if median := ages[len(ages)/2]; ages[len(ages)-1] > spread*median {
			a.log = true
			a.low = math.Pow(10, math.Floor(math.Log10(ages[0])))
		}
	}
	switch {
	case a.log:
		a.high = math.Pow(10, math.Ceil(math.Log10(largest)))
	case largest > 0:
		a.high = largest * 1.1
	default:
		a.high = 1
	}
	return a
}

func seconds(m Millis) float64 { return time.Duration(m).Seconds() }
