package failover

import (
	"context"
	"maps"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// hedged sends the call to one region and, if no answer came after the time of
// Options.Hedge, to the next one too. The first answer is taken. It returns when
// both attempts have ended.
func (u *unary) hedged(ctx context.Context, t target) (connect.AnyResponse, error) {
	after := u.regions.options.Hedge
	if after <= 0 || !u.reads {
		return u.attempt(ctx, t, u.request, nil)
	}
	near, outrun := context.WithCancelCause(ctx)
	defer outrun(nil)
	far, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var timer *time.Timer
	var second answer
	ended := make(chan struct{})
	// The time begins when the request leaves: connect is done with it then, and
	// what it keeps of a call in the context may be written again.
	leaves := sync.OnceFunc(func() {
		timer = time.AfterFunc(after, func() {
			defer close(ended)
			if second = u.second(far); second.came {
				outrun(errOutrun)
			}
		})
	})
	response, err := u.attempt(near, t, u.request, leaves)
	if timer == nil || timer.Stop() {
		return response, err
	}
	if !unanswered(err) {
		giveUp()
	}
	<-ended
	if second.came && unanswered(err) {
		return second.response, second.err
	}
	return response, err
}

// answer is what a hedge brought.
type answer struct {
	response connect.AnyResponse
	err      error
	// came: response or err is an answer.
	came bool
}

// second sends the call to the next region, if there is one and the budget has
// something left.
func (u *unary) second(ctx context.Context) answer {
	if !u.another() || !u.regions.budget.spend() {
		return answer{}
	}
	t, ok := u.take()
	if !ok {
		return answer{}
	}
	u.regions.options.Repeated()
	response, err := u.attempt(ctx, t, newTwin(u.request), nil)
	return answer{response, err, !unanswered(err) && ctx.Err() == nil}
}

// twin is a request with the message of another one and headers of its own, for
// a second attempt while the first is under way.
type twin struct {
	// What connect writes to a request it writes to this one.
	*connect.Request[struct{}]

	of connect.AnyRequest
}

func newTwin(of connect.AnyRequest) *twin {
	t := &twin{connect.NewRequest(&struct{}{}), of}
	maps.Copy(t.Header(), of.Header().Clone())
	return t
}

// Any implements connect.AnyRequest.
func (t *twin) Any() any { return t.of.Any() }

// Spec implements connect.AnyRequest.
func (t *twin) Spec() connect.Spec { return t.of.Spec() }

// Peer implements connect.AnyRequest.
func (t *twin) Peer() connect.Peer { return t.of.Peer() }
