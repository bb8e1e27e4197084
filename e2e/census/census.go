// Package census is what calls about organizations and people cost as there are
// more of them: the made-up people, the figures of a run, and its tables. All of it
// is pure; cmd fills a deployment and measures.
package census

import "github.com/meridian-iam/meridian/e2e/load/latency"

// Size is how many organizations and users there are.
type Size struct {
	Organizations int `json:"organizations"`
	Users         int `json:"users"`
}

// Run is what one call of the command measured.
type Run struct {
	// Machine says where and when, for people.
	Machine string `json:"machine"`
	Steps   []Step `json:"steps"`
}

// Step is one size.
type Step struct {
	Size

	Fill Fill `json:"fill"`
	// Walks are lists that were read from end to end.
	Walks   []Walk   `json:"walks"`
	Figures []Figure `json:"figures"`
	// Foreign is how many cores other programs used while it was measured, and Load
	// the machine's load average of a minute before that.
	Foreign float64 `json:"foreign"`
	Load    string  `json:"load"`
}

// Fill is how the rows of a step came to be.
type Fill struct {
	// Rows that this step added, in how many seconds.
	Rows    int64   `json:"rows"`
	Seconds float64 `json:"seconds"`
	// Database is its size afterwards, in bytes.
	Database uint64 `json:"database"`
}

// Walk is a list that was read page by page; it had Items.
type Walk struct {
	Call    string  `json:"call"`
	Items   int     `json:"items"`
	Pages   int     `json:"pages"`
	Seconds float64 `json:"seconds"`
}

// Figure is how long a call took, in microseconds.
type Figure struct {
	Call string  `json:"call"`
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	N    uint64  `json:"n"`
}

// FigureOf is what a histogram says of a call.
func FigureOf(call string, h *latency.Histogram) Figure {
	return Figure{
		Call: call, N: h.Count(),
		P50: float64(h.Quantile(0.5).Nanoseconds()) / 1000, P99: float64(h.Quantile(0.99).Nanoseconds()) / 1000,
	}
}

// Flat is how many times longer the median call may take at the largest size than
// at the smallest and still be called flat.
const Flat = 1.5

// Ratio is a call's median at the last step by that at the first; 0 when one of
// them was not measured.
func (r Run) Ratio(call string) float64 {
	if len(r.Steps) == 0 {
		return 0
	}
	first, last := r.Steps[0].figure(call), r.Steps[len(r.Steps)-1].figure(call)
	if first.P50 == 0 {
		return 0
	}
	return last.P50 / first.P50
}

// Grown are the calls that are not flat, in the order of the last step.
func (r Run) Grown() (calls []string) {
	for _, call := range r.calls() {
		if r.Ratio(call) > Flat {
			calls = append(calls, call)
		}
	}
	return calls
}

func (r Run) calls() (calls []string) {
	if len(r.Steps) == 0 {
		return nil
	}
	for _, f := range r.Steps[len(r.Steps)-1].Figures {
		calls = append(calls, f.Call)
	}
	return calls
}

func (s Step) figure(call string) Figure {
	for _, f := range s.Figures {
		if f.Call == call {
			return f
		}
	}
	return Figure{}
}

// Tail is how to get to the last items of a list by pages: so many whole pages, and
// then one of the size rest, 0 for none.
func Tail(items, page, last int) (pages, rest int) {
	before := max(items-last, 0)
	return before / page, before % page
}
