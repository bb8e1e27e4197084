package meridian

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/failover"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// ResetError says that a watch cannot go on from where it is: changes that old
// are not sent any more. Export the relationships, then watch from the export's
// revision.
type ResetError struct {
	// Oldest is the oldest revision that can be watched from.
	Oldest string
}

// Error is for logs.
func (*ResetError) Error() string {
	return "the watch is too far behind: export the relationships, then watch from the export's revision"
}

// The pauses before a watch is opened again.
const (
	firstWatchPause = 100 * time.Millisecond
	lastWatchPause  = 5 * time.Second
)

// defaultSilence is how long a watch may say nothing before its region is taken
// for lost: the server says something every second.
const defaultSilence = 10 * time.Second

// Watch follows the changes of an organization's relationships: it calls on for
// every message, changes and checkpoints, in order. When the stream breaks or
// falls silent it opens another one from the last revision, in the nearest region
// that answers. It does not return by itself. To begin with the state as it is,
// export first and watch after the export's revision.
//
// Errors: ctx.Err(); the error of on; *ResetError; those of the call that do not
// go away by themselves, as TOKEN_REJECTED and REVISION_UNKNOWN.
func (c *Client) Watch(ctx context.Context, req *authzv1.WatchRequest, on func(*authzv1.WatchResponse) error) error {
	w := watcher{client: c, organization: req.GetOrganization(), filters: req.GetFilters(), after: req.GetAfter(), on: on}
	pause := firstWatchPause
	for {
		before := w.heard
		final, err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case final:
			return err
		case w.heard > before:
			pause = firstWatchPause
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
			pause = min(2*pause, lastWatchPause)
		}
	}
}

// watcher is a watch over any number of streams.
type watcher struct {
	client       *Client
	organization string
	filters      []*authzv1.RelationshipFilter
	on           func(*authzv1.WatchResponse) error
	// after is the last revision received.
	after string
	// heard counts messages.
	heard int
}

// once reads one stream to its end. final: another would end the same way.
func (w *watcher) once(ctx context.Context) (final bool, err error) {
	ctx, leave := context.WithCancel(failover.FirstWithin(ctx, w.client.silence))
	stream, err := w.client.Relationships.Watch(ctx, &authzv1.WatchRequest{
		Organization: w.organization, After: w.after, Filters: w.filters,
	})
	if err != nil {
		leave()
		return lasting(err), err
	}
	defer stream.Close() //nolint:errcheck // its error was read
	defer leave()        // or Close waits for what comes
	silent := time.AfterFunc(w.client.silence, leave)
	defer silent.Stop()
	for silent.Stop(); stream.Receive(); silent.Reset(w.client.silence) {
		silent.Stop()
		w.heard++
		message := stream.Msg()
		if reset := message.GetReset_(); reset != nil {
			return true, &ResetError{Oldest: reset.GetOldest()}
		}
		if err := w.on(message); err != nil {
			return true, err
		}
		switch kind := message.GetKind().(type) {
		case *authzv1.WatchResponse_Changes:
			w.after = kind.Changes.GetRevision()
		case *authzv1.WatchResponse_Checkpoint:
			w.after = kind.Checkpoint
		}
	}
	return lasting(stream.Err()), stream.Err()
}

// lasting says whether the same call would fail again.
func lasting(err error) bool {
	var failed *connect.Error
	if !errors.As(err, &failed) || Is(err, commonv1.Reason_EVENT_CORRUPT) {
		return err != nil
	}
	switch failed.Code() {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeCanceled, connect.CodeResourceExhausted,
		connect.CodeAborted, connect.CodeUnknown, connect.CodeInternal:
		return false
	default:
		return true
	}
}
