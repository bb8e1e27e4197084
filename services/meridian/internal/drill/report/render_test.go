package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/report"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

var regions = []string{"us-east", "eu-west", "ap-south"}

// regionLoss is a drill that went well: us-east was cut off from 20 s to 50 s.
func regionLoss() report.Report {
	rto := millis(4230)
	r := report.Report{
		Drill:       "region-loss",
		Description: "us-east is cut off from the other regions and from the database's majority, and comes back after half a minute.",
		Seed:        42,
		Started:     time.Date(2026, 11, 26, 22, 0, 0, 0, time.UTC),
		Duration:    millis(80_000),
		Versions:    report.Versions{Meridian: "098ed8692e08", Go: "go1.26.0", NATS: "2.15.2", Database: "PostgreSQL 17.6"},
		Regions:     regions,
		Delays: []report.Delay{
			{From: "us-east", To: "eu-west", OneWay: millis(40)},
			{From: "eu-west", To: "us-east", OneWay: millis(40)},
			{From: "us-east", To: "ap-south", OneWay: millis(110)},
			{From: "ap-south", To: "us-east", OneWay: millis(110)},
			{From: "eu-west", To: "ap-south", OneWay: millis(75)},
			{From: "ap-south", To: "eu-west", OneWay: millis(75)},
		},
		Timeline: []report.Moment{
			{Offset: millis(50_000), Kind: report.FaultEnds, Text: "the links of us-east are back"},
			{Offset: millis(20_000), Kind: report.FaultBegins, Text: "all links of us-east are cut"},
			{Offset: millis(24_230), Kind: report.Observation, Text: "first write homed in us-east by a client elsewhere; eu-west's relay took the outbox over"},
			{Offset: millis(53_100), Kind: report.Observation, Text: "all replicas have the same head"},
		},
		Functions: []report.Function{
			{
				Name: "writes homed in us-east, client in eu-west", Group: "writes", Attempts: 800, Succeeded: 758, Refused: 30, Failed: 4, Unknown: 8,
				Availability: 94.75, RTO: &rto, Recovered: true, LongestOutage: millis(4310), P50: millis(85), P99: millis(240),
			},
			{
				Name: "writes homed in eu-west, client in eu-west", Group: "writes", Attempts: 800, Succeeded: 800,
				Availability: 100, Recovered: true, P50: report.Millis(7400 * time.Microsecond), P99: millis(22),
			},
			{
				Name: "checks minimize_latency in ap-south", Group: "checks", Attempts: 60_000, Succeeded: 59_999, Refused: 1,
				Availability: 100 * 59_999.0 / 60_000, RTO: &rto, Recovered: true, LongestOutage: millis(12),
				P50: report.Millis(410 * time.Microsecond), P99: report.Millis(1900 * time.Microsecond),
			},
		},
		RPO:       report.RPO{Acknowledged: 2314},
		Staleness: report.Staleness{Bound: millis(5000), Samples: ages(20_000, 50_000)},
		Latencies: []report.Latency{
			{What: report.VisibleAfter, Home: "us-east", Region: "us-east", Count: 311, P50: millis(6), P99: millis(31)},
			{What: report.VisibleAfter, Home: "us-east", Region: "eu-west", Count: 290, P50: millis(52), P99: millis(96), OneWay: millis(40)},
			{What: report.EnforcedAfter, Home: "us-east", Region: "ap-south", Count: 145, P50: millis(131), P99: millis(202), OneWay: millis(110)},
		},
		Verification: report.Verification{
			Logs:        []report.LogCheck{{Log: "org_a", Events: 1200}, {Log: "org_b", Events: 1114}},
			ChainsEqual: true,
			History: history.Report{Models: []history.Result{
				{Model: "relationships", Operations: 61_420, Partitions: 300, Verdict: history.Holds},
				{Model: "slugs", Operations: 120, Partitions: 40, Verdict: history.Holds},
			}},
		},
		Thresholds: []report.Threshold{
			{Name: "RTO of writes", Value: "4.2 s", Limit: "≤ 10 s", OK: true},
			{Name: "age of any answer", Value: "4.9 s", Limit: "≤ 5 s", OK: true},
		},
	}
	r.Budget = report.NewBudget(r.Functions, 0.01)
	r.Judge()
	return r
}

// ages are two samples a second in each region of logs of each home: us-east is
// cut off between two times, in milliseconds.
func ages(begin, end int) []report.Sample {
	var out []report.Sample
	for at := 0; at <= 80_000; at += 500 {
		for i, region := range regions {
			for j, home := range regions {
				age := 40 + 60*(i-j)*(i-j) + 35*i + 10*j + at*7%110
				if cut := (region == regions[0]) != (home == regions[0]); cut && at > begin && at < end+1000 {
					age += at - begin
				}
				out = append(out, report.Sample{Offset: millis(at), Region: region, Home: home, Age: millis(age), Refused: age > 5000})
			}
		}
	}
	return out
}

// broken is a drill that found everything wrong.
func broken() report.Report {
	r := regionLoss()
	r.Drill, r.Description = "relay-<paused>", "The relay of \"us-east\" is stopped & never continued."
	r.Timeline = r.Timeline[1:2]
	r.Timeline[0].Text = "relay paused"
	rto := millis(60_000)
	r.Functions[0].RTO, r.Functions[0].Recovered = &rto, false
	r.RPO.Missing = 1
	r.Staleness.Samples = nil
	op := func(kind history.Kind, start int, revision uint64) history.Op {
		return history.Op{
			Client: "grants-eu-west", Region: "eu-west", Kind: kind, Organization: "org_01jd8x3k5m7n9p1q3r5s7t9v1w",
			Relationship: "document:quarterly-figures-2026#viewer@user:anna", Start: time.Duration(start) * time.Millisecond,
			End: time.Duration(start+20) * time.Millisecond, Outcome: history.OK, Revision: revision, Freshness: history.FullyConsistent,
		}
	}
	seen := op(history.KindCheck, 23_100, 19)
	seen.Allowed = true
	lost := op(history.KindTouch, 500, 0)
	lost.Outcome = history.Unknown
	lost.Freshness = ""
	r.Verification = report.Verification{
		Logs:             []report.LogCheck{{Log: "org_a", Events: 1200, Differences: 1}, {Log: "org_b", Events: 1114}},
		ChainDifferences: []string{"org_a: ap-south ends at 1199 with 77aa, the database at 1200 with 03fe"},
		ForbiddenAllows:  2,
		History:          history.Check([]history.Op{lost, op(history.KindTouch, 1000, 12), op(history.KindDelete, 22_000, 18), op(history.KindCheck, 23_000, 19), seen}, time.Minute),
	}
	r.Thresholds = append(r.Thresholds, report.Threshold{Name: "RTO of checks with a token of a write that another region acknowledged", Value: "> 60 s", Limit: "≤ 10 s"})
	r.Judge()
	return r
}

func TestWriteText(t *testing.T) {
	for name, r := range map[string]report.Report{"region-loss.txt": regionLoss(), "broken.txt": broken()} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := r.WriteText(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.Bytes())
			for line := range strings.Lines(out.String()) {
				line = strings.TrimSuffix(line, "\n")
				if utf8.RuneCountInString(line) > 100 {
					t.Errorf("wider than 100 columns: %s", line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("blanks at the end: %q", line)
				}
			}
		})
	}
}

func TestWriteJSON(t *testing.T) {
	want := regionLoss()
	want.Staleness.Samples = want.Staleness.Samples[:2]
	var out bytes.Buffer
	if err := want.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "region-loss.json", out.Bytes())
	var got report.Report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(history.Violation{})); diff != "" {
		t.Error(diff)
	}
}

func TestMillis(t *testing.T) {
	for _, c := range []struct {
		d          time.Duration
		json, text string
	}{
		{0, "0", "0 s"},
		{1500 * time.Nanosecond, "0.002", "0.00 ms"},
		{410 * time.Microsecond, "0.41", "0.41 ms"},
		{42_345 * time.Microsecond, "42.345", "42.3 ms"},
		{250 * time.Millisecond, "250", "250 ms"},
		{4230 * time.Millisecond, "4230", "4.2 s"},
		{5 * time.Minute, "300000", "300 s"},
	} {
		text, err := json.Marshal(report.Millis(c.d))
		if err != nil || string(text) != c.json {
			t.Errorf("%v in JSON is %s, %v", c.d, text, err)
		}
		var back report.Millis
		if err := json.Unmarshal(text, &back); err != nil || time.Duration(back) != c.d.Round(time.Microsecond) {
			t.Errorf("%s is %v, %v", text, back, err)
		}
		if got := report.Millis(c.d).String(); got != c.text {
			t.Errorf("%v is %s for people", c.d, got)
		}
	}
	if err := json.Unmarshal([]byte(`"fast"`), new(report.Millis)); err == nil {
		t.Error("a text is a duration")
	}
}

func TestPlot(t *testing.T) {
	even := regionLoss()
	even.Staleness.Samples = nil
	for at := range 80 {
		even.Staleness.Samples = append(even.Staleness.Samples, report.Sample{
			Offset: millis(1000 * at), Region: "eu-west", Home: "us-east", Age: millis(1500 + int(900*math.Sin(float64(at)/6))),
		})
	}
	for name, r := range map[string]report.Report{
		"logarithmic.svg": regionLoss(), "linear.svg": even, "empty.svg": broken(), "nothing.svg": {},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := r.Plot(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.Bytes())
			wellFormed(t, out.Bytes())
		})
	}
}

// wellFormed tests that a picture is XML, has no script, points nowhere else, and
// that its figures are numbers.
func wellFormed(t *testing.T, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Local == "script" {
			t.Error("there is a script")
		}
		for _, a := range start.Attr {
			if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") || strings.Contains(a.Name.Local, "href") {
				t.Errorf("%s has %s=%q", start.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
}

// A gap is where answers were refused: the curve of a region that is cut off
// is in two pieces.
func TestPlotGaps(t *testing.T) {
	r := regionLoss()
	pieces := func() int {
		var out bytes.Buffer
		if err := r.Plot(&out); err != nil {
			t.Fatal(err)
		}
		return strings.Count(out.String(), "<polyline")
	}
	if got := pieces(); got != 9+4 { // us-east of two homes, two regions of us-east
		t.Errorf("%d pieces of curves", got)
	}
	for i := range r.Staleness.Samples {
		r.Staleness.Samples[i].Refused = false
	}
	if got := pieces(); got != 9 {
		t.Errorf("%d pieces of curves without refusals", got)
	}
}

func TestSummary(t *testing.T) {
	pass, fail := regionLoss(), broken()
	slow := millis(9000)
	pass.Functions[1].RTO = &slow
	never := report.Report{Drill: "nothing", Verdict: report.Passed, Functions: []report.Function{{Group: "watch", Recovered: true}}}
	var out bytes.Buffer
	if err := report.Summary(&out, []report.Report{pass, fail, never}); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.txt", out.Bytes())
}

// full is a writer that has no room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("no room") }

func TestWriteErrors(t *testing.T) {
	r := regionLoss()
	for name, write := range map[string]func(io.Writer) error{
		"text": r.WriteText, "json": r.WriteJSON, "plot": r.Plot,
		"summary": func(w io.Writer) error { return report.Summary(w, []report.Report{r}) },
	} {
		if err := write(full{}); err == nil {
			t.Errorf("%s: the error is lost", name)
		}
	}
}
