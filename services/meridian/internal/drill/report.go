package drill

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/report"
)

const (
	// stalenessBound is the default bound of the age of answers.
	stalenessBound = 5 * time.Second
	// historyBound is how long the checking of the histories may take.
	historyBound = 60 * time.Second
)

// report says what the canaries saw and what is left of it.
func (d *drill) report(ctx context.Context, scenario Scenario, ops []history.Op, fault time.Duration) (*report.Report, error) {
	r := &report.Report{
		Drill: scenario.Name, Description: scenario.Does, Seed: d.Seed, Versions: d.Versions, Regions: d.target.Regions(), Delays: d.delays(),
	}
	r.Functions = report.Functions(ops, fault, function)
	r.Budget = report.NewBudget(r.Functions, scenario.Promises.Budget)
	r.Latencies = report.Latencies(measured(ops, fault), r.Delays)
	r.Staleness = report.Staleness{Bound: report.Millis(stalenessBound), Samples: d.samples}
	d.Step("verifying all copies in all regions")
	converged := d.now()
	if err := d.converge(ctx); err != nil {
		return nil, err
	}
	d.endWatches(ctx)
	d.note(report.Observation, fmt.Sprintf("all regions have all acknowledged writes after %s more", (d.now()-converged).Round(time.Millisecond)))
	if err := d.compare(ctx, r, ops); err != nil {
		return nil, err
	}
	d.Step("checking the histories")
	r.Verification.History = history.Check(ops, historyBound)
	r.Verification.ForbiddenAllows = len(report.ForbiddenAllows(ops))
	r.Thresholds = append(r.Thresholds, scenario.Promises.thresholds(r, d.end(report.FaultEnds)-fault)...)
	r.Timeline, r.Duration = d.timeline, report.Millis(d.now())
	r.Judge()
	return r, nil
}

// end is when something happened last.
func (d *drill) end(kind report.MomentKind) (at time.Duration) {
	for _, m := range d.timeline {
		if m.Kind == kind {
			at = time.Duration(m.Offset)
		}
	}
	return at
}

func (d *drill) delays() []report.Delay {
	var out []report.Delay
	for _, from := range d.target.Regions() {
		for _, to := range d.target.Regions() {
			if from != to {
				out = append(out, report.Delay{From: from, To: to, OneWay: report.Millis(d.target.Delay(from, to))})
			}
		}
	}
	return out
}

// measured are the operations of those who measure propagation, before the fault
// began: the others do not ask often enough.
func measured(ops []history.Op, fault time.Duration) []history.Op {
	return slices.DeleteFunc(slices.Clone(ops), func(op history.Op) bool {
		return op.End > fault || !strings.HasPrefix(op.Client, spread)
	})
}

// function says which function of the system an operation belongs to.
func function(op history.Op) (group, name string) {
	if strings.HasPrefix(op.Client, spread) || strings.HasPrefix(op.Client, "track-") || op.Reason == theEnd {
		return "", "" // it asks until the answer is as wanted, or was interrupted
	}
	switch op.Kind {
	case history.KindTouch, history.KindDelete:
		return "writes", fmt.Sprintf("writes homed in %s, client in %s", op.Home, op.Region)
	case history.KindKeyedWrite:
		return "keyed writes", "writes homed in " + op.Home + ", client in " + op.Region
	case history.KindCreate:
		return "creates", "organizations created in " + op.Region
	case history.KindCheck:
		return "checks " + string(op.Freshness), fmt.Sprintf("checks homed in %s, client in %s", op.Home, op.Region)
	}
	return "", ""
}

// compare finds what is missing, repeated or different.
func (d *drill) compare(ctx context.Context, r *report.Report, ops []history.Op) (err error) {
	began := d.now()
	if r.Verification.Logs, err = d.verify(ctx); err != nil {
		return err
	}
	d.note(report.Observation, fmt.Sprintf("all copies were compared, and had caught up, after %s more", (d.now()-began).Round(time.Millisecond)))
	if r.Verification.ChainDifferences, err = d.replicas(ctx); err != nil {
		return err
	}
	r.Verification.ChainsEqual = len(r.Verification.ChainDifferences) == 0
	repeated, unheard, disorder := 0, 0, 0
	for _, h := range d.all() {
		log, err := d.changes(ctx, h)
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", h.region, err)
		}
		acknowledged, missing, twice := lost(ops, h, log)
		r.RPO.Acknowledged, r.RPO.Missing, repeated = r.RPO.Acknowledged+acknowledged, r.RPO.Missing+missing, repeated+twice
		for _, w := range d.watches {
			if w.home == h {
				missed, wrong := w.missed(h.acknowledgedIn(log))
				unheard, disorder = unheard+len(missed), disorder+wrong
				if len(missed) > 0 {
					d.note(report.Observation, fmt.Sprintf("the watch of %s in %s was not told of %v, and last of %d", h.region, w.region, missed[:min(len(missed), 8)], w.last()))
				}
			}
		}
	}
	r.Thresholds = append(r.Thresholds,
		atMost("events that nobody asked for, or applied twice", repeated, 0),
		atMost("changes that a watch was not told of", unheard, 0),
		atMost("changes that a watch was told of twice or out of order", disorder, 0),
	)
	return nil
}

func atMost(name string, value, limit int) report.Threshold {
	return report.Threshold{Name: name, Value: fmt.Sprint(value), Limit: fmt.Sprintf("≤ %d", limit), OK: value <= limit}
}

func within(name string, value, limit time.Duration) report.Threshold {
	return report.Threshold{
		Name: name, Value: report.Millis(value).String(), Limit: "≤ " + report.Millis(limit).String(), OK: value <= limit,
	}
}

// thresholds compares a report with what was promised. fault is how long the
// fault lasted.
func (p Promises) thresholds(r *report.Report, fault time.Duration) []report.Threshold {
	worst := map[string]time.Duration{}
	recovered := true
	for _, f := range r.Functions {
		group := "checks"
		if f.Group == "writes" || f.Group == "keyed writes" || f.Group == "creates" {
			group = "writes"
		}
		if f.RTO != nil {
			worst[group] = max(worst[group], time.Duration(*f.RTO))
		}
		recovered = recovered && f.Recovered
	}
	limit := func(rto time.Duration) time.Duration {
		if rto > 0 {
			return rto
		}
		return fault + p.Settle
	}
	well := report.Threshold{Name: "functions that are well at the end", Value: "all", Limit: "all", OK: recovered}
	if !recovered {
		well.Value = "not all"
	}
	return []report.Threshold{
		within("RTO of writes", worst["writes"], limit(p.WriteRTO)),
		within("RTO of checks", worst["checks"], limit(p.CheckRTO)),
		well,
		within("age of the oldest answer", time.Duration(r.Staleness.MaxAge()), stalenessBound),
		{
			Name: "calls that failed", Value: fmt.Sprintf("%.1f %%", 100*r.Budget.Used), Limit: fmt.Sprintf("≤ %.0f %%", 100*p.Budget),
			OK: r.Budget.Used <= p.Budget,
		},
	}
}
