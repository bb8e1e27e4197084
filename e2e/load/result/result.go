// Package result is what one run of the driver prints, and reads it again.
package result

import (
	"time"

	"github.com/meridian-iam/meridian/e2e/load/latency"
	"github.com/meridian-iam/meridian/e2e/load/usage"
)

// Result is what a run prints, as one line of JSON. Latencies are in microseconds.
type Result struct {
	Target  string `json:"target"`
	Label   string `json:"label,omitempty"` // whatever -label says
	Mode    string `json:"mode"`
	WorkSet string `json:"workset"`
	Read    string `json:"read"` // fast, strong or token
	Workers int    `json:"workers"`
	Hot     int    `json:"hot,omitempty"`
	At      string `json:"at"` // UTC

	Seconds   float64 `json:"seconds"`
	Ops       uint64  `json:"ops"`  // checks (of batches too), lists, relationships or probes
	Rate      float64 `json:"rate"` // of these in a second
	Wrong     uint64  `json:"wrong"`
	LastWrong string  `json:"last_wrong,omitempty"`
	Errors    uint64  `json:"errors"`
	LastError string  `json:"last_error,omitempty"`

	// Load: of a message. Check, batch and list: of a call. Visible: from the
	// start of a write to the end of the first check that sees it.
	Latency Quantiles `json:"latency_us"`

	Cores usage.Cores `json:"cores"`
	// CPU is the processor time of server and database for one of Ops, in
	// microseconds; of this process when the engine is in it.
	CPU float64 `json:"cpu_us"`
	// Resident memory of the server, and the proportional one of the database
	// and its children, at the end.
	ServerBytes   uint64 `json:"server_bytes,omitempty"`
	DatabaseBytes uint64 `json:"database_bytes,omitempty"`

	Organizations int     `json:"organizations,omitempty"` // load
	Created       uint64  `json:"created,omitempty"`       // load
	Objects       float64 `json:"objects,omitempty"`       // list: of a list, on average

	// Embedded: resident bytes, and allocations of a check.
	Bytes       float64  `json:"bytes_per_relationship,omitempty"`
	Allocations *float64 `json:"allocations,omitempty"`

	// Visible: of the write alone, and from the start of a delete to the end of
	// the first check that sees it.
	Write  *Quantiles `json:"write_us,omitempty"`
	Revoke *Quantiles `json:"revoke_us,omitempty"`
}

// Quantiles are of the latencies of a run.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// QuantilesOf returns those of a histogram.
func QuantilesOf(h *latency.Histogram) Quantiles {
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return Quantiles{
		P50: us(h.Quantile(0.5)), P90: us(h.Quantile(0.9)), P99: us(h.Quantile(0.99)), P999: us(h.Quantile(0.999)),
		Max: us(h.Max()), Mean: us(h.Mean()),
	}
}

// Took sets what follows from how long the run was and what was used in it.
func (r *Result) Took(d time.Duration, c usage.Cores) {
	r.Seconds, r.Cores = d.Seconds(), c
	if r.Seconds > 0 {
		r.Rate = float64(r.Ops) / r.Seconds
	}
	if r.Rate > 0 {
		r.CPU = (c.Server + c.Database) / r.Rate * 1e6
	}
}
