package growth_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/growth"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
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

// step is one of a run that was not.
func step(regions, organizations int) growth.Step {
	names := []string{"us-east", "eu-west", "ap-south"}[:regions]
	r, o := float64(regions), float64(organizations)
	s := growth.Step{
		Regions: names, Wanted: organizations, Organizations: organizations,
		Creation: growth.Creation{
			Organizations: organizations, Seconds: o / 100, Events: uint64(3 * organizations),
			Again: uint64(organizations / 2), Backlog: 40, Drain: 0.02, Foreign: 0.5,
		},
		Cold:   growth.Quantile{P50: 12_000, P99: 30_000, N: 400},
		Again:  growth.Quantile{P50: 250, P99: 900, N: 400},
		Checks: growth.Rate{Quantile: growth.Quantile{P50: 600, P99: 4500, N: 80_000}, PerSecond: 10_000},
		Memory: map[string]uint64{
			growth.Authz: uint64(60e6 * r), growth.Identity: uint64(55e6 * r), growth.Relay: uint64(52e6 * r),
			growth.NATS: uint64(50e6*r + 600*o*r), growth.Database: uint64(90e6 + 2000*o), growth.Links: 60e6,
		},
		Graphs: growth.Graphs{Loaded: 320, Grown: 8e6, Counted: 1.2e6, All: 400},
		Disk: growth.Disk{
			Streams: uint64(2700 * organizations), Mirrors: uint64(2700 * organizations * (regions - 1)), Database: uint64(9e6 + 9000*o),
			Events: uint64(3 * organizations), Tables: map[string]growth.Table{
				"events": {Rows: 3000, All: 2e6, Indexes: 4e5}, "logs": {Rows: 1000, All: 3e5, Indexes: 1e5}, "outbox": {All: 3e5, Indexes: 2e4},
			},
		},
		Idle: map[string]float64{
			growth.Authz: 0.004 * r * r, growth.Identity: 0.004 * r * r, growth.Relay: 0.01 * r, growth.NATS: 0.01 * r, growth.Database: 0.01,
		},
		Follow: growth.Follow{
			Events: 4000, PerSecond: 400,
			Writer: map[string]float64{growth.Authz: 1000, growth.Identity: 60, growth.Relay: 400, growth.NATS: 500, growth.Database: 1500},
		},
		Restart: growth.Restart{Stop: 0.2, Ready: 0.1, Answer: 0.15},
	}
	if regions > 1 {
		s.Follow.Bystander = map[string]float64{growth.Authz: 70, growth.Identity: 60, growth.Relay: 65, growth.NATS: 300}
	}
	for _, from := range names {
		for _, to := range names {
			l := growth.Lag{From: from, To: to, Quantile: growth.Quantile{P50: 8000, P99: 15_000, N: 30}}
			if from != to {
				l.DelayMS, l.P50, l.P99 = 40, 52_000, 70_000
			}
			if from != to && from != "us-east" && to != "us-east" {
				l.DelayMS, l.P50 = 65, 80_000
			}
			s.Lags = append(s.Lags, l)
		}
	}
	return s
}

func steps() []growth.Step {
	var out []growth.Step
	for regions := 1; regions <= 3; regions++ {
		for _, organizations := range []int{1000, 4000, 10_000} {
			out = append(out, step(regions, organizations))
		}
	}
	return out
}

func TestReport(t *testing.T) {
	all := steps()
	last := &all[len(all)-1]
	last.Wanted, last.Organizations, last.Why = 100_000, 10_000, "the time limit"
	golden(t, "report.md", growth.Report(growth.Run{Machine: "2026-01-02. 2 cores.", Steps: all}))
}

// A run that was cut short has tables, too.
func TestReportOfLittle(t *testing.T) {
	for _, few := range [][]growth.Step{nil, {{}}, steps()[:1]} {
		if text := growth.Report(growth.Run{Steps: few}); !strings.Contains(text, "## What grows") || strings.Contains(text, "NaN") {
			t.Errorf("of %d steps:\n%s", len(few), text)
		}
	}
}

func TestCosts(t *testing.T) {
	c := growth.CostsOf(steps())
	near := func(what string, got, want float64) {
		if got < want*0.99 || got > want*1.01 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("following", c.FollowMicros, 60)
	near("mirroring", c.MirrorMicros, 300)
	near("publishing", c.PublishMicros, 400)
	near("storing", c.StoreMicros, 500)
	near("a heartbeat", c.BeatMicros, 1000) // 0.004 cores for each region, by 4
	near("an event", c.EventBytes, 900)
	near("a graph", c.GraphBytes, 25_000)
	near("a graph as counted", c.CountedBytes, 3_000)
	near("a process", c.ProcessBytes, 60e6)
	near("an organization in NATS", c.BusBytes, 600)
	near("a commit", c.CommitMicros, 1500)
	near("an organization", c.OrganizationBytes, 9000)
	if nothing := growth.CostsOf(nil); nothing != (growth.Costs{}) {
		t.Errorf("no steps cost %+v", nothing)
	}
}
