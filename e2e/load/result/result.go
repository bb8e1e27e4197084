package main

import (
	"time"

	"github.com/meridian-iam/meridian/e2e/load/latency"
)

// result is what a run prints. Latencies are in microseconds.
type result struct {
	Mode    string `json:"mode"`
	WorkSet string `json:"workset"`
	Read    string `json:"read"` // fast or strong
	Workers int    `json:"workers"`
	At      string `json:"at"` // UTC

	Seconds   float64 `json:"seconds"`
	Ops       uint64  `json:"ops"`  // checks, relationships or probes
	Rate      float64 `json:"rate"` // of these in a second
	Wrong     uint64  `json:"wrong"`
	LastWrong string  `json:"last_wrong,omitempty"`
	Errors    uint64  `json:"errors"`
	LastError string  `json:"last_error,omitempty"`

	// Load: of a message. Check: of a call. Visible: from the start of a write
	// to the end of the first check that sees it.
	Latency quantiles `json:"latency_us"`

	Organizations int    `json:"organizations,omitempty"` // load
	Created       uint64 `json:"created,omitempty"`       // load
	Unchanged     uint64 `json:"unchanged,omitempty"`     // load

	// Visible: of the write alone, and from the start of a delete to the end of
	// the first check that sees it.
	Write  *quantiles `json:"write_us,omitempty"`
	Revoke *quantiles `json:"revoke_us,omitempty"`
}

type quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

func quantilesOf(h *latency.Histogram) quantiles {
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return quantiles{
		P50: us(h.Quantile(0.5)), P90: us(h.Quantile(0.9)), P99: us(h.Quantile(0.99)), P999: us(h.Quantile(0.999)),
		Max: us(h.Max()), Mean: us(h.Mean()),
	}
}

// took sets what follows from how long the run was.
func (r *result) took(d time.Duration) {
	r.Seconds = d.Seconds()
	if r.Seconds > 0 {
		r.Rate = float64(r.Ops) / r.Seconds
	}
}
