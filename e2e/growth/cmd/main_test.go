package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/growth"
)

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-h"}, 0, "Examples:"},
		{[]string{"-regions", "0"}, 2, "-regions"},
		{[]string{"-regions", "1,4"}, 2, "numbers from 1 to 3"},
		{[]string{"-organizations", "1000,10"}, 2, "ascending"},
		{[]string{"-organizations", "many"}, 2, "-organizations"},
		{[]string{"-limit", "0s"}, 2, "-limit"},
		{[]string{"-out", "a/b"}, 2, "names, not paths"},
		{[]string{"-workers", "0"}, 2, "-workers"},
		{[]string{"more"}, 2, "argument too many"},
		{[]string{"-simulate", "-from", "no-such-run"}, 1, "no-such-run.json"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), test.args, &stdout, &stderr); code != test.code {
				t.Errorf("the exit code is %d, want %d", code, test.code)
			}
			if !strings.Contains(stderr.String(), test.says) || stdout.Len() > 0 {
				t.Errorf("said %q and printed %q", stderr.String(), stdout.String())
			}
		})
	}
}

// The run that is kept prints again, and can be computed from.
func TestKept(t *testing.T) {
	for _, args := range [][]string{{"-from", "growth"}, {"-simulate"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, stderr.String())
		}
		if !strings.Contains(stdout.String(), "| regions | organizations |") {
			t.Errorf("%v printed %q", args, stdout.String())
		}
	}
}

func TestProcessesBelongToRegions(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "regions", "us-east", "authz.yaml")
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("region: us-east\nserver:\n  listen: 127.0.0.1:1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &deployment{dir: dir}
	if got, err := d.address("us-east", authz); err != nil || got != "127.0.0.1:1234" {
		t.Errorf("the address is %q: %v", got, err)
	}
	if _, err := d.address("us-east", identity); err == nil {
		t.Error("a process without a configuration has an address")
	}
}

func TestParallel(t *testing.T) {
	done := make([]bool, 100)
	err := parallel(t.Context(), 7, len(done), func(_ context.Context, i int) error {
		done[i] = true
		return nil
	})
	if err != nil || slices.Contains(done, false) {
		t.Errorf("%v: %v", err, done)
	}
	err = parallel(t.Context(), 7, len(done), func(_ context.Context, i int) error {
		if i == 50 {
			return errNone
		}
		return nil
	})
	if err != errNone { //nolint:errorlint // that very one
		t.Errorf("the error is %v", err)
	}
}

// One and two regions, small: every figure is there.
func TestRun(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{"-regions", "1,2", "-organizations", "20", "-samples", "4", "-cold", "10", "-seconds", "300ms", "-idle", "2s", "-json"}
	if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	var r growth.Run
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Steps) != 2 {
		t.Fatalf("%d steps\n%s", len(r.Steps), stderr.String())
	}
	for _, s := range r.Steps {
		for name, value := range figures(s) {
			if value <= 0 {
				t.Errorf("%d regions: %s is %v", len(s.Regions), name, value)
			}
		}
		if want := len(s.Regions) * len(s.Regions); len(s.Lags) != want {
			t.Errorf("%d regions have lags between %d pairs, want %d", len(s.Regions), len(s.Lags), want)
		}
		if s.Organizations != 20 || s.Why != "" {
			t.Errorf("%d organizations: %s", s.Organizations, s.Why)
		}
	}
	far := r.Steps[1]
	if far.Disk.Mirrors == 0 || far.Follow.Bystander[growth.NATS] <= 0 {
		t.Errorf("mirrors take %d bytes, and cost %v", far.Disk.Mirrors, far.Follow.Bystander)
	}
	for _, l := range far.Lags {
		if l.P50 < l.DelayMS*900 {
			t.Errorf("%s sees what %s wrote after %v µs, in less than the %v ms between them", l.To, l.From, l.P50, l.DelayMS)
		}
	}
	text := growth.Report(r)
	if !strings.Contains(text, "| 1 | 20 |") || !strings.Contains(text, "| 2 | 20 |") {
		t.Errorf("the table lacks a row:\n%s", text)
	}
}

// figures are those that no step may lack.
func figures(s growth.Step) map[string]float64 {
	out := map[string]float64{
		"creation": s.Creation.PerSecond(), "events": s.Creation.EventsPerSecond(), "checks": s.Checks.PerSecond,
		"cold p50": s.Cold.P50, "warm p50": s.Again.P50, "graphs": s.Graphs.Counted, "streams": float64(s.Disk.Streams),
		"database": float64(s.Disk.Database), "idle": s.IdleAll(), "writes": s.Follow.PerSecond,
		"stop": s.Restart.Stop, "ready": s.Restart.Ready, "answer": s.Restart.Answer,
	}
	for _, l := range s.Lags {
		out["lag from "+l.From+" to "+l.To] = l.P50
	}
	for _, kind := range growth.Kinds() {
		out["memory of "+kind] = float64(s.Memory[kind])
	}
	for _, name := range []string{"events", "logs", "idempotency"} {
		out["table "+name] = float64(s.Disk.Tables[name].Rows)
	}
	return out
}
