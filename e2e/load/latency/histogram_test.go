package latency_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/latency"
)

// Quantiles must be within 1 % of those of the sorted durations, from
// nanoseconds to minutes, and merging must lose nothing.
func TestHistogramAgainstSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var parts [3]latency.Histogram
	var sorted []time.Duration
	var sum time.Duration
	for n := range 30_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		if n%1000 == 0 {
			d = time.Duration(random.Int64N(int64(10 * time.Minute)))
		}
		parts[n%3].Record(d)
		sorted = append(sorted, d)
		sum += d
	}
	slices.Sort(sorted)
	var all latency.Histogram
	for n := range parts {
		all.Merge(&parts[n])
	}
	for _, q := range []float64{0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		want := sorted[max(int(q*30_000)-1, 0)]
		got := all.Quantile(q)
		if got < want-1 || float64(got) > float64(want)*1.011+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if all.Count() != 30_000 || all.Max() != sorted[len(sorted)-1] || all.Mean() != sum/30_000 {
		t.Errorf("count %d, max %v, mean %v", all.Count(), all.Max(), all.Mean())
	}
}

func TestHistogramEnds(t *testing.T) {
	var h latency.Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Max() != 0 {
		t.Error("an empty histogram has durations")
	}
	h.Record(-time.Second)
	h.Record(24 * time.Hour)
	if h.Quantile(0.5) != 0+1 && h.Quantile(0.5) != 0 {
		t.Errorf("the median of a negative and a long duration is %v", h.Quantile(0.5))
	}
	if h.Max() != 24*time.Hour || h.Quantile(1) > h.Max() {
		t.Errorf("the longest is %v and quantile 1 is %v", h.Max(), h.Quantile(1))
	}
}
