// Package activity records what services observe and no log has: requests that were
// refused, and the like. A recorder never delays and never fails whoever observes.
package activity

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/bus"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
)

// Config bounds what a region keeps of its activity. It counts when the stream is made;
// later an operator changes the stream.
type Config struct {
	// MaxAge is for how long, 1h at least; absent: 720h (30 days).
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes is how much, 1 MiB at least; absent: 1 GiB. NATS sets so much aside.
	MaxBytes int64 `yaml:"max_bytes"`
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	switch {
	case c.MaxAge != 0 && c.MaxAge < time.Hour:
		return fmt.Errorf("max_age: %s is less than 1h", c.MaxAge)
	case c.MaxBytes != 0 && c.MaxBytes < 1<<20:
		return fmt.Errorf("max_bytes: %d is less than 1048576", c.MaxBytes)
	}
	return nil
}

func (c Config) limits() bus.ActivityLimits {
	l := bus.ActivityLimits{MaxAge: c.MaxAge, MaxBytes: c.MaxBytes}
	if l.MaxAge == 0 {
		l.MaxAge = 30 * 24 * time.Hour
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = 1 << 30
	}
	return l
}

// Options are what a recorder needs.
type Options struct {
	Config Config
	Bus    *bus.Bus
	// Region is where this process runs, and Service what observes.
	Region, Service string
	Clock           func() time.Time // nil means time.Now
	Logger          *slog.Logger     // nil: nothing is logged
	Metrics         prometheus.Registerer
}

// Recorder writes what is observed to the region's stream.
type Recorder struct {
	options Options
	lost    prometheus.Counter
	woken   chan struct{}

	mu      sync.Mutex
	fold    Fold
	waiting queue

	// made and failing are Run's: the stream is known to exist, and the last attempt
	// failed.
	made, failing bool
}

// New returns a recorder. What is recorded waits until Run sends it.
func New(o Options) *Recorder {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	lost := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meridian_activity_lost_total", Help: "Observations that were not written, mostly because the bus took none for too long.",
		ConstLabels: prometheus.Labels{"service": o.Service},
	})
	if o.Metrics != nil {
		o.Metrics.MustRegister(lost)
	}
	return &Recorder{options: o, lost: lost, woken: make(chan struct{}, 1)}
}

// Record records an observation. It returns at once.
func (r *Recorder) Record(o Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait(r.fold.See(o, r.options.Clock()))
}

// wait puts records into the queue, and the oldest out of one that is full.
func (r *Recorder) wait(records []Record) {
	for _, record := range records {
		r.lost.Add(float64(r.waiting.push(record)))
	}
	if len(records) > 0 {
		select {
		case r.woken <- struct{}{}:
		default:
		}
	}
}

const (
	// tickEvery is how often it is looked whether a minute is over, and how often the bus
	// is tried again.
	tickEvery = time.Second
	// lastWords bounds what is sent when the process ends.
	lastWords = 3 * time.Second
)

// Run sends what is recorded until ctx ends, and then what is left.
func (r *Recorder) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.finish(context.WithoutCancel(ctx))
			return ctx.Err()
		case <-r.woken:
			if !r.failing {
				r.send(ctx)
			}
		case <-tick.C:
			r.mu.Lock()
			r.wait(r.fold.Tick(r.options.Clock()))
			r.mu.Unlock()
			r.send(ctx)
		}
	}
}

// finish sends what waits or is counted. What the bus does not take now is lost.
func (r *Recorder) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	r.mu.Lock()
	r.wait(r.fold.End())
	r.mu.Unlock()
	r.send(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if left := r.waiting.drop(); left > 0 {
		r.lost.Add(float64(left))
		r.options.Logger.WarnContext(ctx, "activity is lost: the bus does not take it and the process ends", slog.Uint64("observations", left))
	}
}

// send sends what waits, in order, until nothing does or the bus does not take it.
func (r *Recorder) send(ctx context.Context) {
	for {
		r.mu.Lock()
		next, ok := r.waiting.take()
		r.mu.Unlock()
		if !ok {
			return
		}
		err := r.publish(ctx, next)
		if err != nil {
			r.mu.Lock()
			r.lost.Add(float64(r.waiting.putBack(next)))
			r.mu.Unlock()
		}
		if failing := err != nil; failing != r.failing {
			r.failing = failing
			if failing {
				r.options.Logger.WarnContext(ctx, "activity waits: the bus does not take it", slog.Any("error", err))
			} else {
				r.options.Logger.InfoContext(ctx, "activity is written again")
			}
		}
		if err != nil {
			return
		}
	}
}

// publish appends a record to the stream, which is made where it is not there.
//
// Errors: BUS_UNAVAILABLE, and then it may or may not be appended; others of a stream
// that cannot be made.
func (r *Recorder) publish(ctx context.Context, w waiting) error {
	data, err := proto.Marshal(r.message(w))
	if err != nil { // it would hold up all others for good
		r.lost.Add(float64(w.Count))
		r.options.Logger.ErrorContext(ctx, "activity is lost: it cannot be encoded", slog.Any("error", err))
		return nil
	}
	if !r.made {
		if err := r.options.Bus.EnsureActivity(ctx, r.options.Config.limits()); err != nil {
			return err
		}
	}
	err = r.options.Bus.PublishActivity(ctx, r.options.Service, kindName(w.Kind), w.id, data)
	r.made = err == nil // else it may be gone
	return err
}

// message is a record as the contract has it.
func (r *Recorder) message(w waiting) *auditv1.Activity {
	return &auditv1.Activity{
		Id: w.id, Time: timestamppb.New(w.First), LastTime: timestamppb.New(w.Last), Count: w.Count,
		Region: r.options.Region, Service: r.options.Service, Kind: w.Kind,
		Organization: w.Organization, Client: w.Client, Issuer: w.Issuer, Endpoint: w.Endpoint,
		Error: w.Error, Description: w.Description, Trace: w.Trace,
	}
}
