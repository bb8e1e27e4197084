// Package drill breaks a deployment of several regions while clients use it,
// heals it, and finds out what was lost: of acknowledged writes, of order, and
// of time.
package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-iam/meridian/pkg/id"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/report"
)

// Options of a drill.
type Options struct {
	// Region that is broken; empty means the first.
	Region string
	// Before, During and After are how long the canaries run before the fault,
	// while it lasts, and after it was healed. During begins when breaking is
	// done, After when healing is.
	Before, During, After time.Duration
	// Writes is how many must be acknowledged before chaos ends.
	Writes int
	// Seed is what chaos drew from.
	Seed uint64
	// Versions are of what runs.
	Versions report.Versions
	// Step is told what happens, for people.
	Step func(text string)
}

// drill is one run.
type drill struct {
	Options

	name    string
	target  Target
	clients map[string]*meridian.Client
	// homes are the organizations of the canaries, one in each region; quiet are
	// others, which nobody asks about with a token.
	homes    []*home
	quiet    []*home
	recorder *history.Recorder
	began    time.Time
	cancel   context.CancelCauseFunc

	// written counts the writes of those who write much.
	written atomic.Int64

	watches     []*watched
	watching    sync.WaitGroup
	stopWatches context.CancelFunc

	mu       sync.Mutex
	timeline []report.Moment
	samples  []report.Sample
}

// Run does a drill and returns its report, also of one that failed. The history
// is what the canaries saw.
//
// Errors: the drill could not be done.
func Run(ctx context.Context, target Target, scenario Scenario, o Options) (*report.Report, []history.Op, error) {
	if o.Region == "" {
		o.Region = target.Regions()[0]
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &drill{
		Options: o, name: scenario.Name + "-" + id.New(id.Organization)[24:], target: target,
		clients: map[string]*meridian.Client{}, recorder: &history.Recorder{}, cancel: cancel,
	}
	for _, region := range target.Regions() {
		d.clients[region] = meridian.Open(meridian.Config{URLs: target.URLs(region), Token: target.Token()})
	}
	if err := d.prepare(ctx); err != nil {
		return nil, nil, fmt.Errorf("prepare the drill: %w", err)
	}
	started := time.Now()
	d.began = started
	d.watchAll(ctx)
	fault, err := d.breakAndHeal(ctx, scenario.Name)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return nil, nil, err
	}
	ops := d.recorder.Ops()
	r, err := d.report(ctx, scenario, ops, fault)
	if err != nil {
		return nil, nil, err
	}
	r.Started = started.UTC()
	return r, ops, nil
}

// broken ends a drill that cannot go on.
func (d *drill) broken(err error) { d.cancel(err) }

// now is the time since the drill's start.
func (d *drill) now() time.Duration { return time.Since(d.began) }

func (d *drill) note(kind report.MomentKind, text string) {
	d.Step(text)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timeline = append(d.timeline, report.Moment{Offset: report.Millis(d.now()), Kind: kind, Text: text})
}

// aged notes how old an answer was.
func (d *drill) aged(op history.Op, age time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.samples = append(d.samples, report.Sample{
		Offset: report.Millis(op.End), Region: op.Region, Home: op.Home, Age: report.Millis(age), Refused: op.Outcome != history.OK,
	})
}

// model is what the canaries' questions are about.
const model = `model
  schema 1.1
type user
type document
  relations
    define viewer: [user]
`

// prepare makes an organization in each region, with a model.
func (d *drill) prepare(ctx context.Context) error {
	client := d.clients[d.target.Regions()[0]]
	published, err := client.Models.PublishModel(ctx, &authzv1.PublishModelRequest{
		Name: "drill", Files: []*authzv1.ModelFile{{Path: "drill.fga", Content: model}}, IdempotencyKey: "drill-model-" + d.name,
	})
	if err != nil {
		return fmt.Errorf("publish the model: %w", err)
	}
	for _, region := range d.target.Regions() {
		h, err := d.found(ctx, client, region, "", published.GetModel().GetId())
		if err != nil {
			return err
		}
		q, err := d.found(ctx, client, region, "-quiet", published.GetModel().GetId())
		if err != nil {
			return err
		}
		d.homes, d.quiet = append(d.homes, h), append(d.quiet, q)
	}
	return d.warm(ctx)
}

// found makes an organization in a region.
func (d *drill) found(ctx context.Context, client *meridian.Client, region, suffix, model string) (*home, error) {
	name := d.name + suffix
	created, err := client.Organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
		Slug: "drill-" + name + "-in-" + region, Name: "Drill", HomeRegion: region, IdempotencyKey: "drill-" + name + region,
	})
	if err != nil {
		return nil, fmt.Errorf("create an organization in %s: %w", region, err)
	}
	organization := created.GetOrganization().GetId()
	assigned, err := client.Models.AssignModel(ctx, &authzv1.AssignModelRequest{
		Organization: organization, Choice: &authzv1.AssignModelRequest_Model{Model: model}, IdempotencyKey: "drill-assign-" + name + region,
	})
	if err != nil {
		return nil, fmt.Errorf("assign the model: %w", err)
	}
	return &home{region: region, organization: organization, start: assigned.GetRevision()}, nil
}

// all are all organizations.
func (d *drill) all() []*home { return slices.Concat(d.homes, d.quiet) }

// warm makes every region load the organizations' graphs.
func (d *drill) warm(ctx context.Context) error {
	for _, h := range d.all() {
		for _, region := range d.target.Regions() {
			_, err := d.clients[region].Check(ctx, meridian.Question{
				Organization: h.organization, Subject: subject, Permission: permission, Resource: keptRegister, AtLeast: h.start,
			})
			if err != nil {
				return fmt.Errorf("check in %s: %w", region, err)
			}
		}
	}
	return nil
}

// breakAndHeal runs the canaries through the fault and returns when it began.
func (d *drill) breakAndHeal(ctx context.Context, scenario string) (fault time.Duration, err error) {
	calling, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.run(calling, scenario == Chaos) }()
	defer func() {
		stop()
		err = errors.Join(err, <-done)
	}()
	d.Step(fmt.Sprintf("canaries call for %s before the fault", d.Before))
	if err := wait(ctx, d.Before); err != nil {
		return 0, err
	}
	fault = d.now()
	d.note(report.FaultBegins, scenario+" in "+d.Region)
	say := func(text string) { d.note(report.Observation, text) }
	if err := d.target.Break(ctx, scenario, d.Region, say); err != nil {
		return 0, errors.Join(err, d.target.Heal(context.WithoutCancel(ctx), scenario, d.Region))
	}
	waited := d.endure(ctx, scenario)
	d.note(report.Observation, "healing")
	if err := errors.Join(waited, d.target.Heal(context.WithoutCancel(ctx), scenario, d.Region)); err != nil {
		return 0, err
	}
	d.note(report.FaultEnds, "healed; the canaries go on for "+d.After.String())
	if err := wait(ctx, d.After); err != nil {
		return 0, err
	}
	return fault, nil
}

// endure lets the canaries go on while the fault lasts.
func (d *drill) endure(ctx context.Context, scenario string) error {
	if scenario != Chaos {
		d.note(report.Observation, "broken; the canaries go on for "+d.During.String())
		return wait(ctx, d.During)
	}
	d.note(report.Observation, fmt.Sprintf("the canaries go on until %d writes are acknowledged", d.Writes))
	for d.written.Load() < int64(d.Writes) {
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
