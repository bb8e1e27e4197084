package meridian

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/failover"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// firstFollowPause is before a stream is opened again; it doubles with each that says
// nothing.
const firstFollowPause = 100 * time.Millisecond

// errOpenAgain says that the rest of a stream is not wanted, but another one.
var errOpenAgain = errors.New("open another stream")

// follower reads one server stream after another.
type follower[Message any] struct {
	// silence is how long a stream may say nothing before its region is taken for lost.
	silence time.Duration
	// maxPause is how long a pause grows.
	maxPause time.Duration
	// open opens a stream from where the last one ended.
	open func(context.Context) (*connect.ServerStreamForClient[Message], error)
	// on takes each message. errOpenAgain ends the stream, and any other error all of it.
	on func(*Message) error
	// lasting says whether an error ends it all, because another stream would end the same
	// way.
	lasting func(error) bool
	// broken is told why a stream ended that is opened again; nil: nobody is.
	broken func(error)
}

// run follows until ctx ends, on fails, or a stream ends with an error that lasts.
func (f *follower[Message]) run(ctx context.Context) error {
	pause := firstFollowPause
	for {
		heard, final, err := f.once(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case final:
			return err
		case heard:
			pause = firstFollowPause
		}
		if f.broken != nil {
			f.broken(err)
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
			pause = min(2*pause, f.maxPause)
		}
	}
}

// once reads one stream to its end. final: another would end the same way.
func (f *follower[Message]) once(whole context.Context) (heard, final bool, err error) {
	ctx, leave := context.WithCancel(failover.FirstWithin(whole, f.silence))
	stream, err := f.open(ctx)
	if err != nil {
		leave()
		return false, f.lasting(err), err
	}
	defer stream.Close() //nolint:errcheck // its error was read
	defer leave()        // or Close waits for what comes
	silent := time.AfterFunc(f.silence, leave)
	defer silent.Stop()
	for silent.Stop(); stream.Receive(); silent.Reset(f.silence) {
		silent.Stop()
		heard = true
		if err := f.on(stream.Msg()); err != nil {
			return heard, !errors.Is(err, errOpenAgain), err
		}
	}
	if ctx.Err() != nil && whole.Err() == nil {
		return heard, false, fmt.Errorf("the region said nothing for %v", f.silence)
	}
	return heard, f.lasting(stream.Err()), stream.Err()
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
