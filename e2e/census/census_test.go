package census_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/census"
	"github.com/meridian-iam/meridian/e2e/load/latency"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// made is a run that was not: one call is flat, one is not, one came late.
func made(sizes int) census.Run {
	r := census.Run{Machine: "2026-01-02. 2 cores."}
	for n := range sizes {
		scale := float64(n + 1)
		s := census.Step{
			Size: census.Size{Organizations: 1000 * (n + 1), Users: 10_000 * (n + 1)},
			Fill: census.Fill{Rows: int64(181_500 * (n + 1)), Seconds: 1.25 * scale, Database: uint64(70e6 * scale)},
			Load: "0.40", Foreign: 0.05,
			Walks: []census.Walk{{Call: "ListUsers", Items: 10_000 * (n + 1), Pages: 50 * (n + 1), Seconds: 0.2 * scale}},
			Figures: []census.Figure{
				{Call: "GetUser", P50: 300 + scale, P99: 900, N: 400}, {Call: "ListUsers, a word", P50: 2000 * scale, P99: 9000, N: 400},
			},
		}
		if n > 0 {
			s.Figures = append(s.Figures, census.Figure{Call: "Late", P50: 1, P99: 2, N: 5})
		}
		r.Steps = append(r.Steps, s)
	}
	return r
}

func TestReport(t *testing.T) {
	path := filepath.Join("testdata", "report.md")
	got := census.Report(made(2))
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what came out; -update rewrites it:\n%s", path, got)
	}
}

// Runs of one size and of none have tables, too.
func TestReportOfLittle(t *testing.T) {
	for sizes := range 2 {
		text := census.Report(made(sizes))
		if !strings.Contains(text, "nothing is said about growth") || strings.Contains(text, "NaN") {
			t.Errorf("of %d sizes:\n%s", sizes, text)
		}
	}
}

func TestGrown(t *testing.T) {
	r := made(3)
	if got := r.Grown(); !slices.Equal(got, []string{"ListUsers, a word"}) {
		t.Errorf("not flat are %q", got)
	}
	if got := r.Ratio("ListUsers, a word"); got != 3 {
		t.Errorf("the ratio is %v, want 3", got)
	}
	for _, absent := range []string{"Late", "Never"} {
		if got := r.Ratio(absent); got != 0 {
			t.Errorf("the ratio of %q is %v", absent, got)
		}
	}
}

func TestFigureOf(t *testing.T) {
	var h latency.Histogram
	for n := range 100 {
		h.Record(time.Duration(n+1) * time.Microsecond)
	}
	f := census.FigureOf("GetUser", &h)
	if f.Call != "GetUser" || f.N != 100 || f.P50 < 50 || f.P50 > 51 || f.P99 < 99 || f.P99 > 100 {
		t.Errorf("the figure is %+v", f)
	}
}

func TestTail(t *testing.T) {
	for _, test := range []struct{ items, pages, rest int }{
		{0, 0, 0}, {50, 0, 0}, {51, 0, 1}, {250, 1, 0}, {449, 1, 199}, {450, 2, 0}, {1_000_072, 5000, 22},
	} {
		if pages, rest := census.Tail(test.items, 200, 50); pages != test.pages || rest != test.rest {
			t.Errorf("the last 50 of %d come after %d pages and %d more, want %d and %d", test.items, pages, rest, test.pages, test.rest)
		}
	}
}
