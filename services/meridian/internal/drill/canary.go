package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/revision"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

// How often the canaries call, and how long they wait for an answer.
const (
	writePace  = 150 * time.Millisecond
	checkPace  = 250 * time.Millisecond
	createPace = 2 * time.Second
	callBound  = 2 * time.Second
	// outcomeBound is how long a writer repeats a write to learn its outcome.
	outcomeBound = 30 * time.Second
)

const (
	permission = "viewer"
	subject    = "user:canary"
)

// home is the canary organization of a region.
type home struct {
	region, organization string
	// start is the revision from which on the canaries write.
	start string

	mu sync.Mutex
	// token is of the newest acknowledged write, sequence its revision.
	token    string
	sequence uint64
	// written are the documents of a trail.
	written []string
}

// acknowledged notes a write.
func (h *home) acknowledged(token string, sequence uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sequence > h.sequence {
		h.token, h.sequence = token, sequence
	}
}

func (h *home) newest() (token string, sequence uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.token, h.sequence
}

// The registers of an organization: who writes them.
const (
	// keptRegister is written by a client that repeats a write under its key until
	// it knows the outcome.
	keptRegister = "document:kept"
	// onceRegister is written by a client that never repeats.
	onceRegister = "document:once"
)

func relationshipOf(resource string) string { return resource + "#" + permission + "@" + subject }

// run lets all canaries call until ctx ends; much says that some write as fast as
// they can.
func (d *drill) run(ctx context.Context, much bool) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(canary func(context.Context)) {
		group.Go(func() error {
			canary(ctx)
			return nil
		})
	}
	for _, h := range d.homes {
		start(func(ctx context.Context) { d.writes(ctx, h, keptRegister) })
		start(func(ctx context.Context) { d.writes(ctx, h, onceRegister) })
		start(func(ctx context.Context) { d.keyedWrites(ctx, h) })
		for worker := range eager {
			if much {
				start(func(ctx context.Context) { d.writeMuch(ctx, h, worker) })
			}
		}
		start(func(ctx context.Context) { d.propagation(ctx, h) })
		for _, region := range d.target.Regions() {
			for _, level := range []history.Freshness{history.MinimizeLatency, history.AtLeast, history.FullyConsistent} {
				for _, register := range []string{keptRegister, onceRegister} {
					start(func(ctx context.Context) { d.checks(ctx, h, region, register, level) })
				}
			}
		}
	}
	for _, h := range d.quiet {
		start(func(ctx context.Context) { d.trail(ctx, h) })
		for _, region := range d.target.Regions() {
			start(func(ctx context.Context) { d.track(ctx, h, region) })
		}
	}
	for _, region := range d.target.Regions() {
		start(func(ctx context.Context) { d.creates(ctx, region) })
	}
	return group.Wait()
}

// every calls fn at a pace until ctx ends. A call that takes longer delays the
// next one.
func every(ctx context.Context, pace time.Duration, fn func(n int)) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			fn(n)
		}
	}
}

// writes moves a register to and fro, from a client in the home region.
func (d *drill) writes(ctx context.Context, h *home, register string) {
	client := d.clients[h.region]
	every(ctx, writePace, func(n int) {
		op := history.Op{
			Client: "writes-" + register + "-" + h.region, Region: h.region, Home: h.region, Kind: history.KindTouch,
			Organization: h.organization, Relationship: relationshipOf(register), Start: d.now(),
		}
		update := meridian.Touch(register, permission, subject)
		if n%2 == 1 {
			op.Kind, update = history.KindDelete, meridian.Delete(register, permission, subject)
		}
		answer, err := d.write(ctx, client, h, rand.Text(), update, register == keptRegister)
		d.settle(h, &op, answer, err)
		d.record(ctx, op)
	})
}

// eager is how many write as fast as they can, in each organization.
const eager = 6

// writeMuch makes one relationship after the other, and repeats each write under
// its key until the outcome is known.
func (d *drill) writeMuch(ctx context.Context, h *home, worker int) {
	for n := 0; ctx.Err() == nil; n++ {
		document := fmt.Sprintf("document:much-%d-%d", worker, n)
		op := history.Op{
			Client: fmt.Sprintf("much-%s-%d", h.region, worker), Region: h.region, Home: h.region, Kind: history.KindTouch,
			Organization: h.organization, Relationship: relationshipOf(document), Start: d.now(),
		}
		answer, err := d.write(ctx, d.clients[h.region], h, rand.Text(), meridian.Touch(document, permission, subject), true)
		d.settle(h, &op, answer, err)
		d.record(ctx, op)
		if op.Outcome == history.OK {
			d.written.Add(1)
		} else if wait(ctx, 50*time.Millisecond) != nil {
			return
		}
	}
}

// theEnd is the reason of calls that the drill itself ended.
const theEnd = "the drill ended"

// record records an operation. What the end of the drill interrupted is no
// failure of the system.
func (d *drill) record(ctx context.Context, op history.Op) {
	if ctx.Err() != nil && op.Outcome != history.OK {
		op.Reason = theEnd
	}
	d.recorder.Add(op)
}

// write writes once, or until it is done or certainly is not. What may have been
// done at first is not undone by a later refusal.
func (d *drill) write(
	ctx context.Context, client *meridian.Client, h *home, key string, update *authzv1.RelationshipUpdate, keep bool,
) (*authzv1.WriteRelationshipsResponse, error) {
	deadline := time.Now().Add(outcomeBound)
	var unknown error
	for {
		bounded, cancel := context.WithTimeout(ctx, callBound)
		answer, err := client.Relationships.WriteRelationships(bounded, &authzv1.WriteRelationshipsRequest{
			Organization: h.organization, Updates: []*authzv1.RelationshipUpdate{update}, IdempotencyKey: key,
		})
		cancel()
		if err != nil && unknown == nil && outcomeOf(err) == history.Unknown {
			unknown = err
		}
		if !keep || err == nil || unknown == nil {
			return answer, err
		}
		if time.Now().After(deadline) || wait(ctx, 20*time.Millisecond) != nil {
			return nil, unknown
		}
	}
}

// settle notes what a write's answer says.
func (d *drill) settle(h *home, op *history.Op, answer *authzv1.WriteRelationshipsResponse, err error) {
	op.End = d.now()
	if err != nil {
		op.Outcome, op.Reason = outcomeOf(err), reasonOf(err)
		return
	}
	sequence, err := sequenceOf(answer.GetRevision(), h.organization)
	if err != nil {
		d.broken(err)
		return
	}
	op.Outcome, op.Revision = history.OK, sequence
	effect := answer.GetEffects()[0]
	op.Unchanged = effect == authzv1.Effect_EFFECT_UNCHANGED || effect == authzv1.Effect_EFFECT_ABSENT
	h.acknowledged(answer.GetRevision(), sequence)
}

func sequenceOf(token, organization string) (uint64, error) {
	rev, err := revision.Parse(token)
	if err != nil {
		return 0, fmt.Errorf("revision of a write: %w", err)
	}
	for _, r := range rev {
		if r.Log == organization {
			return r.Sequence, nil
		}
	}
	return 0, fmt.Errorf("the revision of a write does not name %s", organization)
}

// keyedWrites makes one write from all regions at once under one key.
func (d *drill) keyedWrites(ctx context.Context, h *home) {
	every(ctx, createPace, func(n int) {
		key, document := rand.Text(), fmt.Sprintf("document:keyed-%d", n)
		var group errgroup.Group
		for _, region := range d.target.Regions() {
			group.Go(func() error {
				op := history.Op{
					Client: "keyed-" + region, Region: region, Home: h.region, Kind: history.KindKeyedWrite, Organization: h.organization,
					Relationship: relationshipOf(document), IdempotencyKey: key, Start: d.now(),
				}
				answer, err := d.write(ctx, d.clients[region], h, key, meridian.Touch(document, permission, subject), false)
				d.settle(h, &op, answer, err)
				d.record(ctx, op)
				return nil
			})
		}
		_ = group.Wait() // the functions return no error
	})
}

// creates makes organizations with a slug that the other regions want too.
func (d *drill) creates(ctx context.Context, region string) {
	every(ctx, createPace, func(n int) {
		slug := fmt.Sprintf("drill-%s-%d", d.name, n)
		op := history.Op{
			Client: "creates-" + region, Region: region, Kind: history.KindCreate, Slug: slug, Outcome: history.OK, Start: d.now(),
		}
		bounded, cancel := context.WithTimeout(ctx, callBound)
		defer cancel()
		_, err := d.clients[region].Organizations.CreateOrganization(bounded, &identityv1.CreateOrganizationRequest{
			Slug: slug, Name: "Drill", HomeRegion: region, IdempotencyKey: rand.Text(),
		})
		op.End = d.now()
		switch {
		case meridian.Is(err, commonv1.Reason_ALREADY_EXISTS):
			op.Outcome = history.Exists
		case err != nil:
			op.Outcome, op.Reason = outcomeOf(err), reasonOf(err)
		}
		d.record(ctx, op)
	})
}

// checks asks for a register at a level of freshness, from a client in a region.
func (d *drill) checks(ctx context.Context, h *home, region, register string, level history.Freshness) {
	client := d.clients[region]
	every(ctx, checkPace, func(int) {
		op := history.Op{
			Client: fmt.Sprintf("checks-%s-%s-%s-%s", level, register, h.region, region), Region: region, Home: h.region,
			Kind: history.KindCheck, Organization: h.organization, Relationship: relationshipOf(register), Freshness: level,
		}
		request := &authzv1.CheckRequest{
			Organization: h.organization, Subject: subject, Permission: permission, Resource: register, Freshness: &commonv1.Freshness{},
		}
		switch level {
		case history.MinimizeLatency:
			request.Freshness.Level = &commonv1.Freshness_MinimizeLatency{MinimizeLatency: true}
		case history.FullyConsistent:
			request.Freshness.Level = &commonv1.Freshness_FullyConsistent{FullyConsistent: true}
		case history.AtLeast:
			token, sequence := h.newest()
			if token == "" {
				return
			}
			op.AtLeast, request.Freshness.Level = sequence, &commonv1.Freshness_AtLeast{AtLeast: token}
		}
		op.Start = d.now()
		bounded, cancel := context.WithTimeout(ctx, callBound)
		answer, err := client.Checks.Check(bounded, request)
		cancel()
		if op.End = d.now(); ctx.Err() != nil {
			return
		}
		d.checked(op, answer, err)
	})
}

// checked records a check, and how old its answer was.
func (d *drill) checked(op history.Op, answer *authzv1.CheckResponse, err error) {
	age := answer.GetEvaluatedAt().GetAge().AsDuration()
	switch {
	case err == nil:
		op.Outcome, op.Revision = history.OK, answer.GetEvaluatedAt().GetSequence()
		op.Allowed = answer.GetDecision() == authzv1.Decision_DECISION_ALLOW
	case outcomeOf(err) == history.Refused:
		op.Outcome, op.Reason = history.Refused, reasonOf(err)
	default:
		op.Outcome, op.Reason = history.Failed, reasonOf(err)
	}
	d.recorder.Add(op)
	if op.Freshness == history.MinimizeLatency && !strings.HasPrefix(op.Client, "track-") {
		d.aged(op, age)
	}
}

// outcomeOf says what a failed call may have done. Only what Meridian itself
// answered, other than that it does not know, is certain.
func outcomeOf(err error) history.Outcome {
	failed, ok := meridian.AsError(err)
	if !ok || failed.Reason == commonv1.Reason_REASON_UNSPECIFIED {
		return history.Unknown
	}
	switch failed.Reason {
	case commonv1.Reason_OUTCOME_UNKNOWN, commonv1.Reason_DEADLINE, commonv1.Reason_CANCELLED, commonv1.Reason_DEFECT:
		return history.Unknown
	default:
		return history.Refused
	}
}

func reasonOf(err error) string {
	if failed, ok := meridian.AsError(err); ok && failed.Reason != commonv1.Reason_REASON_UNSPECIFIED {
		return failed.Reason.String()
	}
	if failed, ok := errors.AsType[*connect.Error](err); ok {
		return failed.Code().String()
	}
	return err.Error()
}
