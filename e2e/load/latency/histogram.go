// Package latency counts durations and answers quantiles of them.
package latency

import (
	"math"
	"time"
)

// growth is how much wider each bucket is than the one before: a quantile is at
// most 1 % above the truth.
const growth = 1.01

// buckets reach to about 20 minutes.
const buckets = 2800

// Histogram counts durations; the zero value is empty. It is not safe for
// concurrent use: each worker has its own, and Merge adds them up.
type Histogram struct {
	counts [buckets]uint64
	count  uint64
	sum    time.Duration
	max    time.Duration
}

var perBucket = math.Log(growth)

// Record counts one duration; a negative one counts as 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(d)]++
	h.count++
	h.sum += d
	h.max = max(h.max, d)
}

// bucket n holds what is above growth^(n-1) nanoseconds and at most growth^n.
func bucket(d time.Duration) int {
	if d <= 1 {
		return 0
	}
	return min(int(math.Ceil(math.Log(float64(d))/perBucket)), buckets-1)
}

// Merge adds the durations of another histogram.
func (h *Histogram) Merge(other *Histogram) {
	for n, c := range &other.counts {
		h.counts[n] += c
	}
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// Count is how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Max is the longest duration, exactly; 0 when there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the average, exactly; 0 when there is none.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return h.sum / time.Duration(h.count)
}

// Quantile is the duration that the share q (0 to 1) of the durations does not
// exceed; 0 when there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	need := max(uint64(math.Ceil(q*float64(h.count))), 1)
	var seen uint64
	for n, c := range &h.counts {
		if seen += c; seen >= need {
			return min(time.Duration(math.Pow(growth, float64(n))), h.max)
		}
	}
	return h.max
}
