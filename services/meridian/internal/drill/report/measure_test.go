package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/report"
)

const fault = 10 * time.Second

// call is from start to end, in seconds.
func call(start, end float64, outcome history.Outcome) history.Op {
	return history.Op{Client: "canary", Region: "eu-west", Kind: history.KindCheck, Start: seconds(start), End: seconds(end), Outcome: outcome}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func millis(ms int) report.Millis { return report.Millis(time.Duration(ms) * time.Millisecond) }

func TestFunctions(t *testing.T) {
	ptr := func(ms int) *report.Millis { m := millis(ms); return &m }
	ok, refused, failed, unknown := history.OK, history.Refused, history.Failed, history.Unknown
	for name, c := range map[string]struct {
		ops       []history.Op
		rto       *report.Millis
		recovered bool
		outage    report.Millis
		counts    [5]int // attempts, succeeded, refused, failed, unknown
	}{
		"never_failed": {
			ops:       []history.Op{call(9, 9.5, ok), call(11, 11.5, history.Exists)},
			recovered: true, counts: [5]int{2, 2, 0, 0, 0},
		},
		"failed_before_the_fault_only": {
			ops:       []history.Op{call(1, 2, failed), call(3, 4, ok), call(11, 12, ok)},
			recovered: true, outage: millis(3000), counts: [5]int{3, 2, 0, 1, 0},
		},
		"one_outage": {
			ops: []history.Op{call(9, 9.5, ok), call(10, 11, unknown), call(12, 13, refused), call(14, 14.2, ok), call(15, 16, ok)},
			rto: ptr(4200), recovered: true, outage: millis(4200), counts: [5]int{5, 3, 1, 0, 1},
		},
		"under_way_when_the_fault_began": {
			ops: []history.Op{call(9, 10.5, unknown), call(10.6, 11, ok)},
			rto: ptr(1000), recovered: true, outage: millis(2000), counts: [5]int{2, 1, 0, 0, 1},
		},
		"well_for_a_moment": {
			ops: []history.Op{call(10, 11, failed), call(12, 13, ok), call(14, 15, failed), call(16, 17, ok)},
			rto: ptr(7000), recovered: true, outage: millis(3000), counts: [5]int{4, 2, 0, 2, 0},
		},
		"not_recovered": {
			ops: []history.Op{call(9, 9.5, ok), call(10, 11, failed), call(12, 13, failed)},
			rto: ptr(3000), recovered: false, outage: millis(3000), counts: [5]int{3, 1, 0, 2, 0},
		},
		"one_waits_while_another_is_answered": {
			ops: []history.Op{call(10, 15, unknown), call(11, 12, ok), call(13, 14, ok), call(16, 17, ok)},
			rto: ptr(7000), recovered: true, outage: millis(3000), counts: [5]int{4, 3, 0, 0, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := report.Functions(c.ops, fault, func(history.Op) (group, name string) { return "checks", "checks in eu-west" })
			if len(got) != 1 {
				t.Fatalf("%d functions", len(got))
			}
			f := got[0]
			if diff := cmp.Diff(c.rto, f.RTO); diff != "" || f.Recovered != c.recovered {
				t.Errorf("recovered %v, RTO %s", f.Recovered, diff)
			}
			if f.LongestOutage != c.outage {
				t.Errorf("the longest outage is %v", time.Duration(f.LongestOutage))
			}
			if counts := [5]int{f.Attempts, f.Succeeded, f.Refused, f.Failed, f.Unknown}; counts != c.counts {
				t.Errorf("counts are %v", counts)
			}
		})
	}
}

func TestFunctionsBySort(t *testing.T) {
	var ops []history.Op
	for i := range 200 {
		ops = append(ops, call(float64(i), float64(i)+float64(i+1)/1000, history.OK))
	}
	ops = append(ops, history.Op{Kind: history.KindTouch, Region: "eu-west"}, history.Op{Kind: history.KindCreate, Outcome: history.Failed})
	got := report.Functions(ops, fault, func(op history.Op) (group, name string) {
		if op.Kind == history.KindTouch {
			return "", ""
		}
		return string(op.Kind), string(op.Kind) + "s"
	})
	want := []report.Function{
		{Name: "checks", Group: "check", Attempts: 200, Succeeded: 200, Availability: 100, Recovered: true, P50: millis(100), P99: millis(198)},
		{Name: "creates", Group: "create", Attempts: 1, Failed: 1, Recovered: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	budget := report.NewBudget(got, 0.01)
	if diff := cmp.Diff(report.Budget{Attempts: 201, Failures: 1, Allowed: 0.01, Used: 1.0 / 201}, budget); diff != "" {
		t.Error(diff)
	}
}

// relationshipOp is an operation of one relationship of an organization that is
// homed in us-east.
func relationshipOp(kind history.Kind, region string, start, end float64, outcome history.Outcome, revision uint64) history.Op {
	op := call(start, end, outcome)
	op.Kind, op.Region, op.Home, op.Revision = kind, region, "us-east", revision
	op.Organization, op.Relationship = "org_acme", "document:1#viewer@user:anna"
	if kind == history.KindCheck {
		op.Freshness = history.MinimizeLatency
	}
	return op
}

func allowed(op history.Op) history.Op {
	op.Allowed = true
	return op
}

func TestForbiddenAllows(t *testing.T) {
	granted := relationshipOp(history.KindTouch, "us-east", 0, 1, history.OK, 5)
	revoked := relationshipOp(history.KindDelete, "us-east", 2, 3, history.OK, 7)
	check := func(revision uint64) history.Op {
		return allowed(relationshipOp(history.KindCheck, "eu-west", 4, 5, history.OK, revision))
	}
	for name, c := range map[string]struct {
		ops  []history.Op
		want int
	}{
		"before_the_revocation":  {[]history.Op{granted, revoked, check(6)}, 0},
		"at_it":                  {[]history.Op{revoked, granted, check(7)}, 1},
		"after_it":               {[]history.Op{granted, revoked, check(8), check(9)}, 2},
		"granted_again":          {[]history.Op{granted, revoked, relationshipOp(history.KindTouch, "us-east", 3, 4, history.OK, 8), check(8)}, 0},
		"granted_again_perhaps":  {[]history.Op{granted, revoked, relationshipOp(history.KindTouch, "us-east", 3, 4, history.Unknown, 0), check(8)}, 0},
		"granted_again_later":    {[]history.Op{granted, revoked, relationshipOp(history.KindTouch, "us-east", 6, 7, history.Unknown, 0), check(8)}, 1},
		"denied":                 {[]history.Op{granted, revoked, relationshipOp(history.KindCheck, "eu-west", 4, 5, history.OK, 8)}, 0},
		"refused":                {[]history.Op{granted, revoked, relationshipOp(history.KindCheck, "eu-west", 4, 5, history.Refused, 0)}, 0},
		"a_relationship_unknown": {[]history.Op{check(8)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := report.ForbiddenAllows(c.ops); len(got) != c.want {
				t.Errorf("%d: %v", len(got), got)
			}
		})
	}
}

func TestLatencies(t *testing.T) {
	check := func(region string, end float64, revision uint64) history.Op {
		return relationshipOp(history.KindCheck, region, end-0.001, end, history.OK, revision)
	}
	got := report.Latencies([]history.Op{
		relationshipOp(history.KindTouch, "us-east", 0, 1, history.OK, 5),
		relationshipOp(history.KindDelete, "us-east", 2, 3, history.OK, 7),
		relationshipOp(history.KindTouch, "us-east", 4, 5, history.OK, 8),
		relationshipOp(history.KindDelete, "eu-west", 6, 7, history.OK, 9), // not by a client at home
		check("eu-west", 1.05, 4), allowed(check("eu-west", 1.1, 5)), check("eu-west", 3.2, 7), allowed(check("eu-west", 5.3, 8)), check("eu-west", 8, 9),
		allowed(check("us-east", 0.9, 5)), allowed(check("us-east", 1.01, 5)), check("us-east", 3.05, 7),
		allowed(check("ap-south", 5.5, 8)), // has not seen the revocation before it was taken back
	}, []report.Delay{{From: "us-east", To: "eu-west", OneWay: millis(40)}})
	want := []report.Latency{
		{What: report.VisibleAfter, Home: "us-east", Region: "ap-south", Count: 3, P50: millis(2500), P99: millis(4500)},
		{What: report.VisibleAfter, Home: "us-east", Region: "eu-west", Count: 3, P50: millis(200), P99: millis(300), OneWay: millis(40)},
		{What: report.VisibleAfter, Home: "us-east", Region: "us-east", Count: 2, P50: 0, P99: millis(50)},
		{What: report.EnforcedAfter, Home: "us-east", Region: "eu-west", Count: 1, P50: millis(200), P99: millis(200), OneWay: millis(40)},
		{What: report.EnforcedAfter, Home: "us-east", Region: "us-east", Count: 1, P50: millis(50), P99: millis(50)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if ratio := got[1].Ratio(); ratio != 5 {
		t.Errorf("the ratio is %v", ratio)
	}
}

func TestJudge(t *testing.T) {
	models := func(verdict history.Verdict) history.Report {
		return history.Report{Models: []history.Result{{Model: "slugs", Partitions: 4, Violated: 1, Undecided: 1, Verdict: verdict}}}
	}
	for name, c := range map[string]struct {
		change func(*report.Report)
		want   report.Verdict
		reason string
	}{
		"nothing_wrong":    {func(*report.Report) {}, report.Passed, ""},
		"missing_events":   {func(r *report.Report) { r.RPO.Missing = 2 }, report.Failed, "2 events acknowledged and missing"},
		"forbidden_allows": {func(r *report.Report) { r.Verification.ForbiddenAllows = 1 }, report.Failed, "1 check allowed after the access was revoked"},
		"differences": {
			func(r *report.Report) { r.Verification.Logs = []report.LogCheck{{Log: "org_acme", Differences: 3}} },
			report.Failed, "3 differences in log org_acme",
		},
		"chains":    {func(r *report.Report) { r.Verification.ChainsEqual = false }, report.Failed, "hash chains differ"},
		"history":   {func(r *report.Report) { r.Verification.History = models(history.Violated) }, report.Failed, "the history of slugs is violated in 1 of 4 partitions"},
		"undecided": {func(r *report.Report) { r.Verification.History = models(history.Undecided) }, report.Inconclusive, "the history of slugs is undecided in 1 of 4 partitions"},
		"threshold": {
			func(r *report.Report) {
				r.Thresholds = []report.Threshold{{Name: "RTO of writes", Value: "12 s", Limit: "≤ 10 s"}, {Name: "RPO", OK: true}}
			},
			report.Failed, "RTO of writes is 12 s, must be ≤ 10 s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := report.Report{Verification: report.Verification{ChainsEqual: true, History: models(history.Holds)}}
			c.change(&r)
			r.Judge()
			var want []string
			if c.reason != "" {
				want = []string{c.reason}
			}
			if diff := cmp.Diff(want, r.Reasons); diff != "" || r.Verdict != c.want {
				t.Errorf("%s: %s", r.Verdict, diff)
			}
		})
	}
}
