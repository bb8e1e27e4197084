// Package logrpc serves LogService: operators look into the event log.
package logrpc

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"
)

// Logs serves LogService.
type Logs struct {
	Store    *eventlog.Store
	DB       *sqldb.DB
	Follower *project.Follower
	Folds    []eventlog.Fold
	// Copy opens the JetStream copy, for one verification.
	Copy func() eventlog.Copy
}

var _ logv1connect.LogServiceHandler = (*Logs)(nil)

// headsPage is how many logs are looked up at a time.
const headsPage = 1000

// VerifyLogs implements LogService.
func (s *Logs) VerifyLogs(
	ctx context.Context, req *logv1.VerifyLogsRequest, stream *connect.ServerStream[logv1.VerifyLogsResponse],
) error {
	v := &eventlog.Verifier{Store: s.Store, Folds: s.Folds, Copy: s.Copy()}
	if req.GetLog() != "" {
		if !revision.ValidLog(req.GetLog()) {
			return fault.Field("log", "log_id", "is not the id of a log")
		}
		return s.verify(ctx, v, req.GetLog(), 1, 0, stream)
	}
	done := uint64(0)
	for after := ""; ; {
		heads, err := s.Store.Heads(ctx, s.DB.Pool(), after, headsPage)
		if err != nil {
			return err
		}
		for _, h := range heads {
			if err := s.verify(ctx, v, h.Log, 0, done, stream); err != nil {
				return err
			}
			done++
			after = h.Log
		}
		if len(heads) < headsPage {
			return nil
		}
	}
}

// verify compares one log and sends its answer, and progress on the way.
func (s *Logs) verify(
	ctx context.Context, v *eventlog.Verifier, log string, total, done uint64, stream *connect.ServerStream[logv1.VerifyLogsResponse],
) error {
	var sendError error
	result, err := v.Verify(ctx, log, func(events uint64) {
		if sendError == nil {
			sendError = stream.Send(&logv1.VerifyLogsResponse{Log: log, Events: events, LogsTotal: total, LogsDone: done})
		}
	})
	if err != nil {
		return err
	}
	if sendError != nil {
		return sendError
	}
	return stream.Send(&logv1.VerifyLogsResponse{
		Log: log, Events: result.Events, Head: result.Head, Done: true, Difference: result.Difference, LogsTotal: total, LogsDone: done + 1,
	})
}

const tailPage = 500

// tailPoll is how often a followed log is looked at when nothing wakes the
// reader earlier.
const tailPoll = 500 * time.Millisecond

// TailLog implements LogService.
func (s *Logs) TailLog(ctx context.Context, req *logv1.TailLogRequest, stream *connect.ServerStream[logv1.TailLogResponse]) error {
	if !revision.ValidLog(req.GetLog()) {
		return fault.Field("log", "log_id", "is not the id of a log")
	}
	if _, err := s.Store.Head(ctx, s.DB.Pool(), req.GetLog()); err != nil {
		return err
	}
	woken := make(chan struct{}, 1)
	if req.GetFollow() {
		defer s.Follower.Watch(func(r eventlog.Recorded) {
			if r.Envelope.GetLog() == req.GetLog() {
				select {
				case woken <- struct{}{}:
				default:
				}
			}
		})()
	}
	poll := time.NewTicker(tailPoll)
	defer poll.Stop()
	for next := max(req.GetFrom(), 1); ; {
		events, err := s.Store.Read(ctx, s.DB.Pool(), req.GetLog(), next, tailPage)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := stream.Send(tailMessage(e)); err != nil {
				return err
			}
			next = e.Envelope.GetSequence() + 1
		}
		if len(events) > 0 {
			continue
		}
		if !req.GetFollow() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.New(fault.Cancelled, commonv1.Reason_CANCELLED, "the caller went away").Because(ctx.Err())
		case <-woken:
		case <-poll.C:
		}
	}
}

func tailMessage(e eventlog.Recorded) *logv1.TailLogResponse {
	out := &logv1.TailLogResponse{Envelope: e.Envelope, Time: timestamppb.New(e.Envelope.GetTime().AsTime())}
	if message, err := e.Message(); err == nil {
		out.Json = strings.TrimSpace(protojson.MarshalOptions{UseProtoNames: true}.Format(message))
	}
	return out
}
