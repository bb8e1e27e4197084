package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/load/result"
)

// did is a row of a check by 8 workers.
func did(system string, rate float64, wrong uint64) row {
	r := row{system: system, measure: checks[1].name}
	r.Mode, r.Ops, r.Rate, r.Wrong = "check", uint64(rate), rate, wrong
	r.Latency = result.Quantiles{P50: 1e6 / rate, P99: 2e6 / rate}
	return r
}

// lineOf returns the cells of a system's line in the only table.
func lineOf(t *testing.T, text, system string) []string {
	t.Helper()
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, "|"); len(cells) > 9 && strings.TrimSpace(cells[1]) == system {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			return cells[2:]
		}
	}
	t.Fatalf("no line of %s in\n%s", system, text)
	return nil
}

func TestReport(t *testing.T) {
	b := &bench{o: options{preset: "small", runs: 3, seconds: 1}, root: ".", rows: []row{
		did(openFGA, 300, 0), did(openFGACached, 600, 0), did(noOp, 24_000, 0),
		// The middle one is printed, whatever the order; wrong answers add up.
		did(meridian, 12_000, 0), did(meridian, 15_000, 2), did(meridian, 9_000, 1),
	}}
	text := b.report(t.Context())
	line := lineOf(t, text, meridian)
	if line[0] != "12 000" || line[4] != "3" || line[5] != "40.0" || line[6] != "20.0" {
		t.Errorf("the line is %q", line)
	}
	if !strings.Contains(line[8], "p50 is 2.00 × the no-op's") {
		t.Errorf("the notes are %q", line[8])
	}
	if line := lineOf(t, text, noOp); line[5] != "" {
		t.Errorf("the no-op is compared: %q", line)
	}
}

func TestReportWriteToVisible(t *testing.T) {
	slow, fast := did(openFGA, 10, 0), did(meridian, 10, 0)
	slow.measure, fast.measure = visibleToken.name, visibleToken.name
	slow.Latency.P50, fast.Latency.P50 = 9000, 3000
	b := &bench{rows: []row{slow, fast}}
	if line := lineOf(t, b.report(t.Context()), meridian); line[5] != "3.00" {
		t.Errorf("three times earlier is %q", line)
	}
}

// A measure that failed is in the table and in the verdict, and its figures are
// not compared with.
func TestReportFailures(t *testing.T) {
	lost := row{system: openFGA, measure: checks[1].name, failed: "3 calls failed,\nthe last one: a|b"}
	lied := did(meridian, 100, 1)
	lied.failed = "1 answers were wrong"
	b := &bench{rows: []row{lost, lied}}
	text := b.report(t.Context())
	if line := lineOf(t, text, openFGA); line[0] != "failed" || line[8] != "3 calls failed, the last one: a/b" {
		t.Errorf("the line is %q", line)
	}
	if line := lineOf(t, text, meridian); line[4] != "1" || line[5] != "" || !strings.Contains(line[8], "FAILED") {
		t.Errorf("the line is %q", line)
	}
	err := b.verdict()
	if err == nil || !strings.Contains(err.Error(), "2 measures failed") || !strings.Contains(err.Error(), "answers were wrong") {
		t.Errorf("the verdict is %v", err)
	}
	b.rows = []row{did(meridian, 100, 0)}
	if err := b.verdict(); err != nil {
		t.Errorf("the verdict on a good run is %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[float64]string{0: "0.00", 1.234: "1.23", 45.67: "45.7", 999.5: "1 000", 1_234_567: "1 234 567"} {
		if got := number(n); got != want {
			t.Errorf("%v is %q, want %q", n, got, want)
		}
	}
	for us, want := range map[float64]string{0.549: "0.549 µs", 83.61: "83.6 µs", 2160: "2.16 ms", 10_100_000: "10.1 s"} {
		if got := duration(us); got != want {
			t.Errorf("%v µs is %q, want %q", us, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	if _, err := parse([]string{"-preset", "medium", "-out", "medium"}, new(bytes.Buffer)); err != nil {
		t.Fatal("control:", err)
	}
	for name, args := range map[string][]string{
		"no such preset":       {"-preset", "huge"},
		"no such system":       {"-systems", "meridian,other"},
		"no runs":              {"-runs", "0"},
		"a path":               {"-out", "../x"},
		"an argument too many": {"now"},
	} {
		if _, err := parse(args, new(bytes.Buffer)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// stopper ends a run when it has printed a word.
type stopper struct {
	bytes.Buffer
	word string
	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.word) {
		s.stop()
	}
	return s.Buffer.Write(p)
}

// A whole run, of the no-op alone; and one that is interrupted when it has
// measured once. Both leave nothing behind.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	args := []string{"-workset", "../../workset/testdata/tiny", "-systems", "echo", "-runs", "1", "-seconds", "1"}
	for name, c := range map[string]struct {
		word string
		code int
	}{"to the end": {"never said", 0}, "interrupted": {"check, 1 worker", 1}} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var stdout bytes.Buffer
			stderr := &stopper{word: c.word, stop: stop}
			if code := run(ctx, args, &stdout, stderr); code != c.code {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if printed := strings.Contains(stdout.String(), checks[2].name); printed != (c.code == 0) {
				t.Errorf("printed %q", stdout.String())
			}
			left, err := os.ReadDir(dir)
			for _, l := range left {
				if strings.HasPrefix(l.Name(), "meridian-peers") {
					t.Errorf("%s is left over", l.Name())
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
