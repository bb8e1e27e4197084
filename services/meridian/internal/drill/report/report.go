// Package report holds what a drill found and renders it: for people, for
// machines, and as a curve.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

// Report is what a drill did and found. All offsets are since Started.
type Report struct {
	// Drill is the drill's name, as "region-loss".
	Drill       string `json:"drill"`
	Description string `json:"description"`
	// Seed repeats the drill's random choices.
	Seed uint64 `json:"seed"`
	// Started is UTC.
	Started  time.Time `json:"started"`
	Duration Millis    `json:"duration_ms"`
	Versions Versions  `json:"versions"`

	Regions []string `json:"regions"`
	Delays  []Delay  `json:"delays"`

	Timeline  []Moment   `json:"timeline"`
	Functions []Function `json:"functions"`
	RPO       RPO        `json:"rpo"`
	Staleness Staleness  `json:"staleness"`
	Budget    Budget     `json:"error_budget"`
	Latencies []Latency  `json:"latencies"`

	Verification Verification `json:"verification"`
	Thresholds   []Threshold  `json:"thresholds"`

	// Verdict and Reasons are what Judge makes of the rest.
	Verdict Verdict  `json:"verdict"`
	Reasons []string `json:"reasons,omitempty"`
}

// Millis is a duration. JSON has it in milliseconds, with microseconds as the
// fraction.
type Millis time.Duration

// MarshalJSON writes a number.
func (m Millis) MarshalJSON() ([]byte, error) {
	us := time.Duration(m).Round(time.Microsecond).Microseconds()
	return strconv.AppendFloat(nil, float64(us)/1000, 'f', -1, 64), nil
}

// UnmarshalJSON reads a number.
func (m *Millis) UnmarshalJSON(text []byte) error {
	ms, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("%s is not a number of milliseconds", text)
	}
	*m = Millis(math.Round(ms*1000)) * Millis(time.Microsecond)
	return nil
}

// Versions are of what ran.
type Versions struct {
	// Meridian is a commit.
	Meridian string `json:"meridian"`
	Go       string `json:"go"`
	NATS     string `json:"nats_server"`
	// Database is its name and version, as "PostgreSQL 17.6".
	Database string `json:"database"`
}

// Delay is what a message takes from one region to another.
type Delay struct {
	From   string `json:"from"`
	To     string `json:"to"`
	OneWay Millis `json:"one_way_ms"`
}

// Moment is something that happened.
type Moment struct {
	Offset Millis     `json:"offset_ms"`
	Kind   MomentKind `json:"kind"`
	Text   string     `json:"text"`
}

// MomentKind says what a moment is.
type MomentKind string

// All kinds of moments. Each fault ends before the next begins; the last may
// have no end.
const (
	FaultBegins MomentKind = "fault_begins"
	FaultEnds   MomentKind = "fault_ends"
	Observation MomentKind = "observation"
)

// Function is how a function of the system fared, as its clients saw it.
type Function struct {
	// Name is as "writes homed in us-east, client in eu-west".
	Name string `json:"name"`
	// Group is what Summary puts together, as "writes".
	Group string `json:"group"`

	// Attempts are Succeeded, Refused, Failed and Unknown together.
	Attempts  int `json:"attempts"`
	Succeeded int `json:"succeeded"`
	Refused   int `json:"refused"`
	Failed    int `json:"failed"`
	Unknown   int `json:"unknown"`
	// Availability is the share of attempts that succeeded, in percent.
	Availability float64 `json:"availability_percent"`

	// RTO is the time from the fault's begin to the first success after the last
	// call that did not succeed; nil when all succeeded from then on.
	RTO *Millis `json:"rto_ms"`
	// Recovered is false when no success followed. RTO is then the time to the
	// last answer, and the true one is longer.
	Recovered bool `json:"recovered"`
	// LongestOutage is the longest time without a success: from the first call
	// that did not succeed to the next success, or to the last answer.
	LongestOutage Millis `json:"longest_outage_ms"`

	// P50 and P99 are of the calls that succeeded.
	P50 Millis `json:"latency_p50_ms"`
	P99 Millis `json:"latency_p99_ms"`
}

// RPO is what was acknowledged and lost.
type RPO struct {
	// Acknowledged is how many events clients have tokens of.
	Acknowledged int `json:"acknowledged_events"`
	// Missing are those that are not in the log after the heal.
	Missing int `json:"missing_events"`
}

// Staleness is how old answers were.
type Staleness struct {
	// Bound is the age from which on answers must be refused.
	Bound   Millis   `json:"bound_ms"`
	Samples []Sample `json:"samples"`
}

// Sample is the age of one answer.
type Sample struct {
	Offset Millis `json:"offset_ms"`
	// Region is where the replica is, Home the home region of the log.
	Region string `json:"region"`
	Home   string `json:"home"`
	Age    Millis `json:"age_ms"`
	// Refused says that the answer was refused for its age.
	Refused bool `json:"refused,omitempty"`
}

// Budget is how much of the failures that are allowed the drill used. Shares are
// of attempts.
type Budget struct {
	Attempts int     `json:"attempts"`
	Failures int     `json:"failures"`
	Allowed  float64 `json:"allowed_share"`
	Used     float64 `json:"used_share"`
}

// Latency is how long after its commit a change had an effect in a region.
type Latency struct {
	// What is VisibleAfter or EnforcedAfter.
	What   string `json:"what"`
	Home   string `json:"home"`
	Region string `json:"region"`
	// Count is how many changes P50 and P99 are of.
	Count int    `json:"count"`
	P50   Millis `json:"p50_ms"`
	P99   Millis `json:"p99_ms"`
	// OneWay is what a message takes from Home to Region: no change can be seen
	// sooner. 0 in the home region.
	OneWay Millis `json:"one_way_ms"`
}

// What latencies are of.
const (
	VisibleAfter  = "commit to visible"
	EnforcedAfter = "revoke to enforced"
)

// Ratio is P50 in one-way delays; 0 where there is no delay.
func (l Latency) Ratio() float64 {
	if l.OneWay <= 0 {
		return 0
	}
	return float64(l.P50) / float64(l.OneWay)
}

// Verification is what was compared after the heal.
type Verification struct {
	// Logs are compared event by event: the database, the streams, the rows.
	Logs []LogCheck `json:"logs"`
	// ChainsEqual says that the hash chains of all replicas end the same;
	// ChainDifferences names those that do not.
	ChainsEqual      bool     `json:"chains_equal"`
	ChainDifferences []string `json:"chain_differences,omitempty"`
	// ForbiddenAllows is how many checks were allowed at a revision at which the
	// access was revoked.
	ForbiddenAllows int            `json:"forbidden_allows"`
	History         history.Report `json:"history"`
}

// LogCheck is the comparison of one log.
type LogCheck struct {
	Log         string `json:"log"`
	Events      int    `json:"events"`
	Differences int    `json:"differences"`
}

// Threshold is a promise and what became of it.
type Threshold struct {
	Name string `json:"name"`
	// Value and Limit are for people, with their unit, as "3.2 s" and "≤ 10 s".
	Value string `json:"value"`
	Limit string `json:"limit"`
	OK    bool   `json:"ok"`
}

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
