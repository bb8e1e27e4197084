package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-iam/meridian/e2e/growth"
	"github.com/meridian-iam/meridian/e2e/load/latency"
	"github.com/meridian-iam/meridian/e2e/load/usage"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
)

func quantile(h *latency.Histogram) growth.Quantile {
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return growth.Quantile{P50: us(h.Quantile(0.5)), P99: us(h.Quantile(0.99)), N: h.Count()}
}

// ask asks once; the answer must be yes.
func ask(ctx context.Context, client *meridian.Client, o organization, h *latency.Histogram) error {
	began := time.Now()
	d, err := client.Check(ctx, question(o, "user:anna"))
	switch {
	case err != nil:
		return fmt.Errorf("check: %w", err)
	case !d.Allowed:
		return fmt.Errorf("check of %s: denied, and should not be", o.id)
	}
	h.Record(time.Since(began))
	return nil
}

var errNone = errors.New("this step made no organization of the first region")

// cold asks about organizations that nobody asked about before, one at a time,
// and then again.
func (d *deployment) cold(ctx context.Context, about []organization) (first, again growth.Quantile, g growth.Graphs, err error) {
	if len(about) == 0 {
		return first, again, g, errNone
	}
	region := d.regions[0]
	pid := 0
	for _, p := range d.processes() {
		if p.kind == authz && p.region == region {
			pid = p.pid
		}
	}
	var cold, warm latency.Histogram
	all := func(about []organization, h *latency.Histogram) error {
		for _, o := range about {
			if err := ask(ctx, d.authz[region][0], o, h); err != nil {
				return err
			}
		}
		return nil
	}
	// The first few also make what a process makes once.
	few := len(about) / 5
	if err := all(about[:few], &cold); err != nil {
		return first, again, g, err
	}
	memory := usage.Resident(pid)
	attached, err := d.metric(ctx, region, authz, "meridian_projection_attached")
	if err == nil {
		err = all(about[few:], &cold)
	}
	if err == nil {
		err = all(about, &warm)
	}
	if err != nil {
		return first, again, g, err
	}
	g.Grown = float64(usage.Resident(pid)) - float64(memory)
	after, err := d.metric(ctx, region, authz, "meridian_projection_attached")
	if err != nil {
		return first, again, g, err
	}
	g.Loaded = after - attached
	err = d.counted(ctx, region, &g, len(about))
	return quantile(&cold), quantile(&warm), g, err
}

// counted waits for what the process says of its graphs: it counts them every
// five seconds.
func (d *deployment) counted(ctx context.Context, region string, g *growth.Graphs, loaded int) error {
	return until(ctx, countBound, "the graphs are counted", func(ctx context.Context) (err error) {
		if g.All, err = d.metric(ctx, region, authz, "meridian_authz_graphs"); err != nil {
			return err
		}
		if g.All < float64(loaded) {
			return fmt.Errorf("%.0f of at least %d", g.All, loaded)
		}
		g.Counted, err = d.metric(ctx, region, authz, "meridian_authz_graph_bytes")
		return err
	})
}

// countBound is several times as long as the graphs stay uncounted.
const countBound = 30 * time.Second

const checkers = 8

// checks asks about organizations whose graphs are in memory, as fast as eight
// workers can.
func (d *deployment) checks(ctx context.Context, about []organization, during time.Duration) (growth.Rate, error) {
	var mu sync.Mutex
	var all latency.Histogram
	began := time.Now()
	err := parallel(ctx, checkers, checkers, func(ctx context.Context, worker int) error {
		var mine latency.Histogram
		client := d.authz[d.regions[0]][worker%tokens]
		for n := worker; time.Since(began) < during; n++ {
			if err := ask(ctx, client, about[n%len(about)], &mine); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all.Merge(&mine)
		return nil
	})
	r := growth.Rate{Quantile: quantile(&all)}
	r.PerSecond = float64(all.Count()) / time.Since(began).Seconds()
	return r, err
}

// lags measures how long after a write's reply each region answers with it.
func (d *deployment) lags(ctx context.Context, g *grower, samples int) ([]growth.Lag, error) {
	delays, err := d.delays(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[[2]string]*latency.Histogram{}
	for _, from := range d.regions {
		for _, to := range d.regions {
			seen[[2]string{from, to}] = &latency.Histogram{}
		}
	}
	for i := range samples {
		home := d.regions[i%len(d.regions)]
		of := g.homed(home)
		if len(of) == 0 {
			continue
		}
		if err := d.sample(ctx, of[i%len(of)], delays, seen); err != nil {
			return nil, err
		}
	}
	var out []growth.Lag
	for _, from := range d.regions {
		for _, to := range d.regions {
			q := quantile(seen[[2]string{from, to}])
			out = append(out, growth.Lag{From: from, To: to, DelayMS: float64(delays[[2]string{from, to}].Milliseconds()), Quantile: q})
		}
	}
	return out, nil
}

var probed atomic.Uint64 // each sample is about a user of its own

// sample is one write. Its organization's graph is in memory everywhere first:
// loading it is not lag.
func (d *deployment) sample(
	ctx context.Context, o organization, delays map[[2]string]time.Duration, seen map[[2]string]*latency.Histogram,
) error {
	subject := fmt.Sprintf("user:lag-%d", probed.Add(1))
	for _, region := range d.regions {
		if before, err := d.authz[region][0].Check(ctx, question(o, subject)); err != nil || before.Allowed {
			return fmt.Errorf("before the write: allowed %v: %w", before.Allowed, err)
		}
	}
	if _, err := d.authz[o.home][0].Write(ctx, o.id, meridian.Touch("document:one", "viewer", subject)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	began := time.Now()
	return parallel(ctx, len(d.regions), len(d.regions), func(ctx context.Context, i int) error {
		region := d.regions[i]
		pair := [2]string{o.home, region}
		// Nothing arrives before the delay, but for its jitter.
		if err := pause(ctx, delays[pair]*8/10); err != nil {
			return err
		}
		for {
			d, err := d.authz[region][0].Check(ctx, question(o, subject))
			if err != nil {
				return fmt.Errorf("after the write: %w", err)
			}
			if d.Allowed {
				seen[pair].Record(time.Since(began))
				return nil
			}
			if err := pause(ctx, time.Millisecond); err != nil {
				return err
			}
		}
	})
}

// follow writes in the first region and measures what the events cost there, and
// in the last, which serves nobody meanwhile.
func (d *deployment) follow(ctx context.Context, of []organization, during time.Duration, idle map[string]float64) (f growth.Follow, err error) {
	if len(of) == 0 {
		return f, errNone
	}
	first, last := d.regions[0], d.regions[len(d.regions)-1]
	var events atomic.Uint64
	before, began := d.spent(), time.Now()
	err = parallel(ctx, checkers, checkers, func(ctx context.Context, worker int) error {
		client := d.authz[first][worker%tokens]
		for n := worker; time.Since(began) < during; n++ {
			subject := fmt.Sprintf("user:follow-%d", probed.Add(1))
			if _, err := client.Write(ctx, of[n%len(of)].id, meridian.Touch("document:two", "viewer", subject)); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			events.Add(1)
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	f.Events, f.PerSecond = events.Load(), float64(events.Load())/time.Since(began).Seconds()
	if _, err := d.drained(ctx); err != nil {
		return f, err
	}
	if err := pause(ctx, time.Second); err != nil { // the last region, too
		return f, err
	}
	after, took := d.spent(), time.Since(began).Seconds()
	f.Writer, f.Bystander = map[string]float64{}, map[string]float64{}
	for p, spent := range after {
		share := 1.0
		if p.region != "" {
			share = float64(len(d.regions)) // idle is the sum of all regions
		}
		each := ((spent - before[p]).Seconds() - idle[p.kind]/share*took) * 1e6 / float64(f.Events)
		switch {
		case p.region == first || p.region == "":
			f.Writer[p.kind] = max(0, each)
		case p.region == last:
			f.Bystander[p.kind] = max(0, each)
		}
	}
	return f, nil
}
