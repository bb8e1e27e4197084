package drill

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
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
		d.recorder.Add(op)
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

// watched is what a watch in a region was told of an organization.
type watched struct {
	home, region string

	mu sync.Mutex
	// sequences of the changes, as they came.
	sequences []uint64
	// reset says that the watch could not go on without an export.
	reset bool
}

// watch follows an organization from a region.
func (d *drill) watch(ctx context.Context, h *home, region string) {
	w := &watched{home: h.region, region: region}
	d.mu.Lock()
	d.watches = append(d.watches, w)
	d.mu.Unlock()
	for ctx.Err() == nil {
		err := d.clients[region].Watch(ctx, &authzv1.WatchRequest{Organization: h.organization, After: h.start}, func(m *authzv1.WatchResponse) error {
			if changes := m.GetChanges(); changes != nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.sequences = append(w.sequences, changes.GetSequence())
			}
			return nil
		})
		if ctx.Err() == nil {
			d.broken(fmt.Errorf("watch of %s in %s ended: %w", h.region, region, err))
			return
		}
	}
}

// missed are the sequences of changes up to the watch's last that it was not
// told of, and those that came twice or out of order.
func (w *watched) missed(changes []uint64) (missing, disorder int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sequences) == 0 {
		return len(changes), 0
	}
	for i := 1; i < len(w.sequences); i++ {
		if w.sequences[i] <= w.sequences[i-1] {
			disorder++
		}
	}
	told := slices.Clone(w.sequences)
	slices.Sort(told)
	for _, sequence := range changes {
		if _, found := slices.BinarySearch(told, sequence); !found {
			missing++
		}
	}
	return missing, disorder
}
