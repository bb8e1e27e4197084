package meridian

import (
	"context"
	"time"

	"connectrpc.com/connect"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
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

// defaultSilence is how long a watch may say nothing before its region is taken
// for lost: the server says something every second.
const defaultSilence = 10 * time.Second

// maxWatchPause is how long the pause before a watch is opened again grows.
const maxWatchPause = 5 * time.Second

// Watch follows the changes of an organization's relationships: it calls on for
// every message, changes and checkpoints, in order. When the stream breaks or
// falls silent it opens another one from the last revision, in the nearest region
// that answers. It does not return by itself. To begin with the state as it is,
// export first and watch after the export's revision.
//
// Errors: ctx.Err(); the error of on; *ResetError; those of the call that do not
// go away by themselves, as TOKEN_REJECTED and REVISION_UNKNOWN.
func (c *Client) Watch(ctx context.Context, req *authzv1.WatchRequest, on func(*authzv1.WatchResponse) error) error {
	after := req.GetAfter() // the last revision that was received
	f := follower[authzv1.WatchResponse]{
		silence: c.silence, maxPause: maxWatchPause, lasting: lasting,
		open: func(ctx context.Context) (*connect.ServerStreamForClient[authzv1.WatchResponse], error) {
			return c.Relationships.Watch(ctx, &authzv1.WatchRequest{
				Organization: req.GetOrganization(), After: after, Filters: req.GetFilters(),
			})
		},
		on: func(message *authzv1.WatchResponse) error {
			if reset := message.GetReset_(); reset != nil {
				return &ResetError{Oldest: reset.GetOldest()}
			}
			if err := on(message); err != nil {
				return err
			}
			switch kind := message.GetKind().(type) {
			case *authzv1.WatchResponse_Changes:
				after = kind.Changes.GetRevision()
			case *authzv1.WatchResponse_Checkpoint:
				after = kind.Checkpoint
			}
			return nil
		},
	}
	return f.run(ctx)
}
