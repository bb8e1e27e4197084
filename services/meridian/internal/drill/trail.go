package drill

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
)

// patient is how old an answer about a trail may be: no replica is made to look
// for what it lacks, so one that skipped an event would go on without it.
const patient = time.Minute

// trail grants access to one document after the other, each once, from a client
// in the region after the home: it goes on when the home is lost.
func (d *drill) trail(ctx context.Context, h *home) {
	regions := d.target.Regions()
	from := regions[(slices.Index(regions, h.region)+1)%len(regions)]
	every(ctx, writePace, func(n int) {
		document := fmt.Sprintf("document:trail-%d", n)
		op := history.Op{
			Client: "trail-" + h.region, Region: from, Home: h.region, Kind: history.KindTouch,
			Organization: h.organization, Relationship: relationshipOf(document), Start: d.now(),
		}
		answer, err := d.write(ctx, d.clients[from], h, rand.Text(), meridian.Touch(document, permission, subject), true)
		d.settle(h, &op, answer, err)
		d.record(ctx, op)
		if op.Outcome == history.OK {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.written = append(h.written, document)
		}
	})
}

// track asks in a region for any document of a trail.
func (d *drill) track(ctx context.Context, h *home, region string) {
	every(ctx, checkPace, func(int) {
		h.mu.Lock()
		document := "document:none"
		if n := len(h.written); n > 0 {
			document = h.written[mathrand.IntN(n)]
		}
		h.mu.Unlock()
		op := history.Op{
			Client: "track-" + h.region + "-" + region, Region: region, Home: h.region, Kind: history.KindCheck,
			Organization: h.organization, Relationship: relationshipOf(document), Freshness: history.MinimizeLatency, Start: d.now(),
		}
		bounded, cancel := context.WithTimeout(ctx, callBound)
		answer, err := d.clients[region].Checks.Check(bounded, &authzv1.CheckRequest{
			Organization: h.organization, Subject: subject, Permission: permission, Resource: document,
			Freshness: &commonv1.Freshness{
				Level: &commonv1.Freshness_MinimizeLatency{MinimizeLatency: true}, MaxStaleness: durationpb.New(patient),
			},
		})
		cancel()
		if op.End = d.now(); ctx.Err() == nil {
			d.checked(op, answer, err)
		}
	})
}
