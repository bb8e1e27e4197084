package rpc

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/serve"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
)

const (
	// maxRevocations is how many one message has at most.
	maxRevocations = 1000
	// revocationsEvery is how often a watcher is told how far it is, whatever happens.
	revocationsEvery = 250 * time.Millisecond
	// revocationsPause is how long what happens is gathered after a message.
	revocationsPause = 20 * time.Millisecond
	// revocationsUnread is how long a message waits for the watcher to read.
	revocationsUnread = 5 * time.Second
)

// Revocations serves RevocationService. A watcher holds nothing here but its place in the
// deny map: one that is slow holds up only itself.
type Revocations struct {
	// Deny knows what ended.
	Deny *accesstoken.Deny
	// Complete says up to when that is everything; known is false until it is so for the
	// first time.
	Complete func() (until time.Time, known bool)
	// MaxAge is how long ago that may be.
	MaxAge time.Duration
	Clock  func() time.Time
}

var _ sessionsv1connect.RevocationServiceHandler = (*Revocations)(nil)

// WatchRevocations implements RevocationService.
func (s *Revocations) WatchRevocations(
	ctx context.Context, req *sessionsv1.WatchRevocationsRequest, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse],
) error {
	serve.CutUnread(ctx, revocationsUnread)
	var after time.Time
	if req.GetAfter() != nil {
		after = req.GetAfter().AsTime()
	}
	reader := s.Deny.Reader(after)
	for {
		changed := s.Deny.Changed()
		message, more, err := s.next(reader)
		if err != nil {
			return err
		}
		if err := stream.Send(message); err != nil {
			return err
		}
		if more {
			continue
		}
		if err := rest(ctx, revocationsPause, nil); err != nil {
			return err
		}
		if err := rest(ctx, revocationsEvery-revocationsPause, changed); err != nil {
			return err
		}
	}
}

// next is the next message for a watcher, and whether more follows at once.
//
// Errors: SERVICE_UNAVAILABLE.
func (s *Revocations) next(reader *accesstoken.Reader) (message *sessionsv1.WatchRevocationsResponse, more bool, err error) {
	// First how far what is known goes, and then what is known.
	complete, known := s.Complete()
	if !known || s.Clock().Sub(complete).Abs() > s.MaxAge { // or this clock is behind
		return nil, false, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
			"it is not known in this region right now what was revoked").Retry(time.Second)
	}
	entries, more := reader.Next(maxRevocations)
	message = &sessionsv1.WatchRevocationsResponse{SentAt: timestamppb.New(s.Clock())}
	for _, e := range entries {
		message.Revocations = append(message.Revocations, revocationMessage(e))
	}
	if all := s.Deny.AllUntil(); !all.IsZero() {
		message.AllRevokedAt = timestamppb.New(all)
	}
	if !more {
		message.CompleteUntil = timestamppb.New(complete)
	}
	return message, more, nil
}

// revocationKinds are the kinds of entries as the contract has them.
var revocationKinds = map[accesstoken.Kind]sessionsv1.RevocationKind{
	accesstoken.Token:        sessionsv1.RevocationKind_REVOCATION_KIND_TOKEN,
	accesstoken.Session:      sessionsv1.RevocationKind_REVOCATION_KIND_SESSION,
	accesstoken.Grant:        sessionsv1.RevocationKind_REVOCATION_KIND_GRANT,
	accesstoken.Subject:      sessionsv1.RevocationKind_REVOCATION_KIND_SUBJECT,
	accesstoken.Client:       sessionsv1.RevocationKind_REVOCATION_KIND_CLIENT,
	accesstoken.Organization: sessionsv1.RevocationKind_REVOCATION_KIND_ORGANIZATION,
	accesstoken.Member:       sessionsv1.RevocationKind_REVOCATION_KIND_MEMBER,
	accesstoken.Key:          sessionsv1.RevocationKind_REVOCATION_KIND_KEY,
	accesstoken.ClientFor:    sessionsv1.RevocationKind_REVOCATION_KIND_CLIENT_IN_ORGANIZATION,
}

func revocationMessage(e accesstoken.Entry) *sessionsv1.Revocation {
	out := &sessionsv1.Revocation{Kind: revocationKinds[e.Kind], Id: e.ID, Organization: e.Organization}
	if !e.NotBefore.IsZero() {
		out.RevokedAt = timestamppb.New(e.NotBefore)
	}
	return out
}

// rest waits for a while, or until early is closed.
func rest(ctx context.Context, d time.Duration, early <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
		return serve.Ended(ctx)
	}
	return nil
}
