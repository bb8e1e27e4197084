// Package growth is what Meridian costs as regions and organizations grow: the
// figures of a run, the lines through them, and a simulation of what is too
// large to run here. All of it is pure; cmd measures.
package growth

import "slices"

// The kinds of processes of a deployment. Links is `meridian dev` itself, whose
// proxies stand for the distance between regions: no part of a real one.
const (
	Authz    = "authz"
	Identity = "identity"
	Relay    = "relay"
	NATS     = "nats"
	Database = "database"
	Links    = "links"
)

// Kinds are those that a real deployment has, in the order of tables.
func Kinds() []string { return []string{Authz, Identity, Relay, NATS, Database} }

// Run is what one call of the command measured.
type Run struct {
	// Machine says where and when, for people.
	Machine string `json:"machine"`
	Steps   []Step `json:"steps"`
}

// Step is one number of regions with one number of organizations.
type Step struct {
	Regions []string `json:"regions"`
	// Wanted and reached; Why says why fewer were reached.
	Wanted        int    `json:"wanted"`
	Organizations int    `json:"organizations"`
	Why           string `json:"why,omitempty"`

	Creation Creation `json:"creation"`
	Lags     []Lag    `json:"lags"`
	Cold     Quantile `json:"cold"`
	Again    Quantile `json:"again"`
	// Checks is the rate of checks of organizations that are in memory, by eight
	// workers, and how long each took.
	Checks Rate `json:"checks"`
	// Memory is that of all processes of a kind, in bytes, before any question.
	Memory map[string]uint64 `json:"memory"`
	Graphs Graphs            `json:"graphs"`
	Disk   Disk              `json:"disk"`
	// Idle is processor time of all processes of a kind, in cores, without load.
	Idle    map[string]float64 `json:"idle"`
	Follow  Follow             `json:"follow"`
	Restart Restart            `json:"restart"`
}

// Creation is how organizations came to be.
type Creation struct {
	Organizations int     `json:"organizations"`
	Seconds       float64 `json:"seconds"`
	// Events that this committed.
	Events uint64 `json:"events"`
	// Limited counts calls that the server refused with RATE_LIMITED; they were
	// made again.
	Limited uint64 `json:"limited"`
	// Backlog is the most appends that waited in the outboxes, and Drain how many
	// seconds after the last reply they were empty.
	Backlog float64 `json:"backlog"`
	Drain   float64 `json:"drain"`
	// Again counts transactions that were rolled back meanwhile: most of them
	// competed with another, and ran again.
	Again uint64 `json:"again"`
	// Foreign is how many cores other programs used meanwhile.
	Foreign float64 `json:"foreign"`
}

// PerSecond is organizations a second.
func (c Creation) PerSecond() float64 { return ratio(float64(c.Organizations), c.Seconds) }

// EventsPerSecond is events a second.
func (c Creation) EventsPerSecond() float64 { return ratio(float64(c.Events), c.Seconds) }

// Quantile is a distribution of durations, in microseconds.
type Quantile struct {
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	N   uint64  `json:"n"`
}

// Rate is a closed loop.
type Rate struct {
	Quantile

	PerSecond float64 `json:"per_second"`
}

// Lag is from the reply to a write in its home region until an answer of a
// region has it.
type Lag struct {
	From string `json:"from"`
	To   string `json:"to"`
	// DelayMS is one way between the two.
	DelayMS float64 `json:"delay_ms"`
	Quantile
}

// Graphs is what the questions of a step added in the first region.
type Graphs struct {
	// Loaded in this step, and the memory that its authz process had more after,
	// in bytes; Counted is what the process itself says that all its graphs take.
	Loaded  float64 `json:"loaded"`
	Grown   float64 `json:"grown"`
	Counted float64 `json:"counted"`
	All     float64 `json:"all"`
}

// Disk is in bytes.
type Disk struct {
	// Streams are those that relays write, Mirrors their copies.
	Streams  uint64 `json:"streams"`
	Mirrors  uint64 `json:"mirrors"`
	Database uint64 `json:"database"`
	// Tables are the largest of the schema log with their indexes.
	Tables map[string]Table `json:"tables"`
	Events uint64           `json:"events"`
}

// Table is in bytes.
type Table struct {
	Rows    uint64 `json:"rows"`
	All     uint64 `json:"all"`
	Indexes uint64 `json:"indexes"`
}

// Follow is what events cost: writes in the first region only, and what the
// processes of the last one, which served nobody, used for them. All in
// microseconds of processor time for each event, idle cost taken off.
type Follow struct {
	Events    uint64             `json:"events"`
	PerSecond float64            `json:"per_second"`
	Writer    map[string]float64 `json:"writer"`
	Bystander map[string]float64 `json:"bystander,omitempty"`
}

// Restart is of the first region's authz process, in seconds. Stop includes
// writing snapshots; Ready and Answer count from the start.
type Restart struct {
	Stop   float64 `json:"stop"`
	Ready  float64 `json:"ready"`
	Answer float64 `json:"answer"`
}

// MemoryAll is the memory of a deployment without its links.
func (s Step) MemoryAll() uint64 {
	var sum uint64
	for _, kind := range Kinds() {
		sum += s.Memory[kind]
	}
	return sum
}

// IdleAll is the cores that a deployment without its links uses for nothing.
func (s Step) IdleAll() float64 {
	var sum float64
	for _, kind := range Kinds() {
		sum += s.Idle[kind]
	}
	return sum
}

// home is the worst of the home regions' lags, away those of the others.
func (s Step) home() (worst Lag) {
	for _, l := range s.Lags {
		if l.From == l.To && l.P50 >= worst.P50 {
			worst = l
		}
	}
	return worst
}

func (s Step) away() []Lag {
	return slices.DeleteFunc(slices.Clone(s.Lags), func(l Lag) bool { return l.From == l.To })
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
