package drill

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

// spread begins the names of the clients that measure propagation.
const spread = "spread-"

const (
	// pollPace is how often a region is asked whether it knows of a change.
	pollPace = 2 * time.Millisecond
	// propagationPace is the pause between two changes.
	propagationPace = 400 * time.Millisecond
	// propagationBound is how long a change may take before the next one is made.
	propagationBound = 3 * time.Second
)

// propagation grants and revokes, one change after the other, and asks in all
// regions at once until the change has an effect there.
func (d *drill) propagation(ctx context.Context, h *home) {
	every(ctx, propagationPace, func(n int) {
		document := fmt.Sprintf("document:spread-%d", n/2)
		kind, update := history.KindTouch, meridian.Touch(document, permission, subject)
		if n%2 == 1 {
			kind, update = history.KindDelete, meridian.Delete(document, permission, subject)
		}
		op := history.Op{
			Client: spread + h.region, Region: h.region, Home: h.region, Kind: kind,
			Organization: h.organization, Relationship: relationshipOf(document), Start: d.now(),
		}
		answer, err := d.write(ctx, d.clients[h.region], h, rand.Text(), update, true)
		d.settle(h, &op, answer, err)
		d.record(ctx, op)
		if op.Outcome != history.OK {
			return
		}
		var regions sync.WaitGroup
		for _, region := range d.target.Regions() {
			regions.Go(func() { d.follow(ctx, h, region, document, op) })
		}
		regions.Wait()
	})
}

// follow asks in a region until it knows of a write, and records the answer
// that shows it.
func (d *drill) follow(ctx context.Context, h *home, region, document string, write history.Op) {
	ctx, cancel := context.WithTimeout(ctx, propagationBound)
	defer cancel()
	request := &authzv1.CheckRequest{
		Organization: h.organization, Subject: subject, Permission: permission, Resource: document,
		Freshness: &commonv1.Freshness{Level: &commonv1.Freshness_MinimizeLatency{MinimizeLatency: true}},
	}
	ticker := time.NewTicker(pollPace)
	defer ticker.Stop()
	for ctx.Err() == nil {
		op := history.Op{
			Client: spread + h.region + "-" + region, Region: region, Home: h.region, Kind: history.KindCheck,
			Organization: h.organization, Relationship: relationshipOf(document), Freshness: history.MinimizeLatency, Start: d.now(),
		}
		answer, err := d.clients[region].Checks.Check(ctx, request)
		op.End = d.now()
		if err == nil && answer.GetEvaluatedAt().GetSequence() >= write.Revision {
			op.Outcome, op.Revision = history.OK, answer.GetEvaluatedAt().GetSequence()
			op.Allowed = answer.GetDecision() == authzv1.Decision_DECISION_ALLOW
			d.recorder.Add(op)
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
