package drill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/report"
)

// convergeWithin is how long the regions have to reach every log's head.
const convergeWithin = 60 * time.Second

// converge waits until every region has applied what was acknowledged, as its
// own clients see it.
func (d *drill) converge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, convergeWithin)
	defer cancel()
	for _, h := range d.all() {
		token, _ := h.newest()
		for _, region := range d.target.Regions() {
			for {
				_, err := d.clients[region].Check(ctx, meridian.Question{
					Organization: h.organization, Subject: subject, Permission: permission, Resource: keptRegister, AtLeast: token,
				})
				if err == nil {
					break
				}
				if waited := wait(ctx, 100*time.Millisecond); waited != nil {
					return fmt.Errorf("%s does not reach the newest write of %s: %w", region, h.region, err)
				}
			}
		}
	}
	return nil
}

// verify compares every copy of the canaries' logs, in every region. A copy
// that only lacks the newest events, as a mirror does that was cut off, has time
// to get them.
func (d *drill) verify(ctx context.Context) ([]report.LogCheck, error) {
	deadline := time.Now().Add(convergeWithin)
	var checks []report.LogCheck
	for _, h := range d.all() {
		for _, region := range d.target.Regions() {
			for _, url := range d.target.Audits(region) {
				client := meridian.New(url, d.target.Token())
				check, err := verifyLog(ctx, client, h.organization)
				for err == nil && check.Differences > 0 && time.Now().Before(deadline) && wait(ctx, time.Second) == nil {
					check, err = verifyLog(ctx, client, h.organization)
				}
				if err != nil {
					return nil, fmt.Errorf("log verify in %s: %w", region, err)
				}
				check.Log = fmt.Sprintf("home %s, verified in %s", h.region, region)
				checks = append(checks, check)
			}
		}
	}
	return checks, nil
}

func verifyLog(ctx context.Context, client *meridian.Client, log string) (report.LogCheck, error) {
	var check report.LogCheck
	stream, err := client.Logs.VerifyLogs(ctx, &logv1.VerifyLogsRequest{Log: log})
	if err != nil {
		return check, err
	}
	defer stream.Close() //nolint:errcheck // read to its end
	for stream.Receive() {
		if m := stream.Msg(); m.GetDone() {
			check.Events = int(m.GetEvents())
			if m.GetDifference() != nil {
				check.Differences++
			}
		}
	}
	return check, stream.Err()
}

// change is one relationship that an event of a log moved.
type change struct {
	relationship string
	kind         history.Kind
}

// changeOf is the only change of a canary's event.
func changeOf(e *eventv1.RelationshipsWritten) change {
	c := e.GetChanges()[0]
	out := change{relationship: c.GetResource() + "#" + c.GetRelation() + "@" + c.GetSubject(), kind: history.KindTouch}
	if c.GetDeleted() {
		out.kind = history.KindDelete
	}
	return out
}

// changes reads what an organization's log says, by sequence.
func (d *drill) changes(ctx context.Context, h *home) (map[uint64]change, error) {
	stream, err := d.clients[h.region].Logs.TailLog(ctx, &logv1.TailLogRequest{Log: h.organization})
	if err != nil {
		return nil, err
	}
	defer stream.Close() //nolint:errcheck // read to its end
	written := string((&eventv1.RelationshipsWritten{}).ProtoReflect().Descriptor().FullName())
	out := map[uint64]change{}
	for stream.Receive() {
		m := stream.Msg()
		if m.GetEnvelope().GetType() != written {
			continue
		}
		var e eventv1.RelationshipsWritten
		if err := protojson.Unmarshal([]byte(m.GetJson()), &e); err != nil {
			return nil, fmt.Errorf("event %d of %s: %w", m.GetEnvelope().GetSequence(), h.organization, err)
		}
		out[m.GetEnvelope().GetSequence()] = changeOf(&e)
	}
	return out, stream.Err()
}

// lost compares what clients know with a log: acknowledged writes that it lacks,
// and events that no client asked for or that one asked for once.
func lost(ops []history.Op, h *home, log map[uint64]change) (acknowledged, missing, repeated int) {
	left := maps.Clone(log)
	unknown := map[change]int{}
	keyed := map[string]bool{}
	for _, op := range ops {
		if op.Organization != h.organization || op.Kind == history.KindCheck || op.Kind == history.KindCreate {
			continue
		}
		kind := op.Kind
		if kind == history.KindKeyedWrite {
			kind = history.KindTouch
		}
		c := change{op.Relationship, kind}
		switch {
		case op.Outcome == history.Unknown:
			unknown[c]++
		case op.Outcome != history.OK || op.Unchanged:
		case keyed[op.IdempotencyKey] && op.IdempotencyKey != "":
		default:
			acknowledged++
			keyed[op.IdempotencyKey] = true
			if log[op.Revision] != c {
				missing++
			}
			delete(left, op.Revision)
		}
	}
	for _, c := range left {
		if unknown[c] == 0 {
			repeated++
			continue
		}
		unknown[c]--
	}
	return acknowledged, missing, repeated
}

// contents is what a region's replica of an organization holds at its head, as a
// sorted list.
func (d *drill) contents(ctx context.Context, h *home, region string) ([]string, error) {
	var out []string
	request := &authzv1.ReadRelationshipsRequest{
		Organization: h.organization, PageSize: 1000,
		Freshness: &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}},
	}
	for {
		page, err := d.clients[region].Relationships.ReadRelationships(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, r := range page.GetRelationships() {
			out = append(out, r.GetResource()+"#"+r.GetRelation()+"@"+r.GetSubject())
		}
		if request.Cursor = page.GetNextCursor(); request.GetCursor() == "" {
			slices.Sort(out)
			return out, nil
		}
	}
}

// replicas compares the contents of all regions' replicas.
func (d *drill) replicas(ctx context.Context) (differences []string, err error) {
	for _, h := range d.all() {
		var first []string
		for i, region := range d.target.Regions() {
			have, err := d.contents(ctx, h, region)
			if err != nil {
				return nil, fmt.Errorf("contents in %s: %w", region, err)
			}
			if i == 0 {
				first = have
			} else if !slices.Equal(first, have) {
				differences = append(differences, fmt.Sprintf("home %s: %s and %s hold different relationships", h.region, d.target.Regions()[0], region))
			}
		}
	}
	return differences, nil
}
