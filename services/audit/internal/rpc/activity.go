// Package rpc serves the procedures of the audit service.
package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/page"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1/auditv1connect"
)

const (
	// standardPage is how many there are on a page that names no size.
	standardPage = 50
	// maxReads bounds the work of one call: so many reads of 256 records.
	maxReads = 10
)

// Activity serves ActivityService from the region's stream.
type Activity struct {
	Bus    *bus.Bus
	Logger *slog.Logger
}

var _ auditv1connect.ActivityServiceHandler = (*Activity)(nil)

// ListActivity implements ActivityService. It reads from the end of the stream: what was
// refused just now is what is asked for, and new records do not move the pages.
func (s *Activity) ListActivity(ctx context.Context, req *auditv1.ListActivityRequest) (*auditv1.ListActivityResponse, error) {
	query := fmt.Sprintf("activity %d.%d %s %s %s", req.GetSince().GetSeconds(), req.GetSince().GetNanos(), req.GetClient(), req.GetOrganization(), req.GetError())
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	rest, err := s.span(ctx, req, after)
	if err != nil {
		return nil, err
	}
	out, size := &auditv1.ListActivityResponse{}, page.Size(req.GetPageSize(), standardPage)
	for reads := 0; reads < maxReads && rest.End > rest.First && len(out.GetActivities()) < size; reads++ {
		messages, before, err := s.Bus.ActivityBefore(ctx, rest)
		if err != nil {
			return nil, err
		}
		rest = before
		for _, m := range slices.Backward(messages) {
			if a, ok := s.decode(ctx, m); ok && matches(req, a) {
				out.Activities = append(out.Activities, a)
			}
			if len(out.GetActivities()) == size {
				rest.End = m.Sequence
				break
			}
		}
	}
	if rest.End > rest.First {
		out.NextCursor, out.Cut = page.Cursor(query, strconv.FormatUint(rest.End, 10)), len(out.GetActivities()) < size
	}
	return out, nil
}

// span is what of the stream a request is about, and was not on the pages before.
func (s *Activity) span(ctx context.Context, req *auditv1.ListActivityRequest, after string) (bus.Span, error) {
	var since time.Time
	if req.GetSince() != nil {
		since = req.GetSince().AsTime()
	}
	span, err := s.Bus.ActivitySpan(ctx, since)
	if err != nil || after == "" {
		return span, err
	}
	end, err := strconv.ParseUint(after, 10, 64)
	if err != nil {
		return span, fmt.Errorf("place in a cursor: %w", err) // only this service makes cursors
	}
	span.End = min(span.End, end)
	return span, nil
}

// decode reads a record. One that cannot be read is none of a recorder's: it is passed
// over, so that it does not hide those before it.
func (s *Activity) decode(ctx context.Context, m bus.Message) (*auditv1.Activity, bool) {
	a := &auditv1.Activity{}
	if err := proto.Unmarshal(m.Bytes, a); err != nil {
		s.Logger.WarnContext(ctx, "activity cannot be read", slog.Uint64("sequence", m.Sequence), slog.Any("error", err))
		return nil, false
	}
	return a, true
}

// matches says whether a record is one that is asked for. What waited for the bus was
// observed before it was stored, so the time is looked at again.
func matches(req *auditv1.ListActivityRequest, a *auditv1.Activity) bool {
	return (req.GetClient() == "" || a.GetClient() == req.GetClient()) &&
		(req.GetOrganization() == "" || a.GetOrganization() == req.GetOrganization()) &&
		(req.GetError() == "" || a.GetError() == req.GetError()) &&
		(req.GetSince() == nil || !a.GetLastTime().AsTime().Before(req.GetSince().AsTime()))
}
