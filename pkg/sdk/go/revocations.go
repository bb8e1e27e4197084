package meridian

import (
	"context"
	"log/slog"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
)

const (
	// revocationSilence is how long a region may say nothing of revocations before another
	// is asked: it says something four times a second.
	revocationSilence = 1500 * time.Millisecond
	// maxRevocationPause is how long the pause before they are asked grows: meanwhile no
	// token is taken.
	maxRevocationPause = time.Second
)

// revocations is what is known here of what ended.
type revocations struct {
	service sessionsv1connect.RevocationServiceClient
	deny    *accesstoken.Deny
	maxAge  time.Duration
	log     *slog.Logger

	clock deploymentClock
	// complete is up to when everything is in deny; nil: nothing is known. follow sets it.
	complete atomic.Pointer[time.Time]
	// gap is when they were heard of again after so long that it is not known of which keys
	// it was said that they are stolen; nil: there was none. By this machine's clock.
	gap atomic.Pointer[time.Time]
	// refetch asks for the keys to be fetched.
	refetch func()
}

// age is how long ago that was.
func (r *revocations) age() (age time.Duration, known bool) {
	complete := r.complete.Load()
	if complete == nil {
		return 0, false
	}
	return max(0, r.clock.now().Sub(*complete)), true
}

// follow learns what ends until ctx ends.
func (r *revocations) follow(ctx context.Context) error {
	var asked asking
	f := follower[sessionsv1.WatchRevocationsResponse]{
		silence: revocationSilence, maxPause: maxRevocationPause,
		open: func(ctx context.Context) (*connect.ServerStreamForClient[sessionsv1.WatchRevocationsResponse], error) {
			request := &sessionsv1.WatchRevocationsRequest{}
			if complete := r.complete.Load(); complete != nil {
				request.After = timestamppb.New(*complete)
			}
			return r.service.WatchRevocations(asked.from(ctx), request)
		},
		on: func(message *sessionsv1.WatchRevocationsResponse) error {
			if at, first := asked.answered(); first {
				r.resumed()
				r.clock.set(message.GetSentAt().AsTime(), at)
			}
			if !r.believes(message) {
				return errOpenAgain
			}
			r.learn(message)
			return nil
		},
		// A region that is not of this version yet is not the last one.
		lasting: func(err error) bool { return lasting(err) && connect.CodeOf(err) != connect.CodeUnimplemented },
		broken: func(err error) {
			r.log.WarnContext(ctx, "revocations cannot be followed", slog.Any("error", err))
		},
	}
	return f.run(ctx)
}

// believes says whether a message was sent a moment ago. Where it was not, the stream is
// slow or this machine's clock was set: nothing is learned, because the deny map would
// forget by a clock that is ahead. One that was behind, because a region's was when it
// was read, is set right: the message was sent before it came.
func (r *revocations) believes(message *sessionsv1.WatchRevocationsResponse) bool {
	sent := message.GetSentAt().AsTime()
	if until := message.GetCompleteUntil(); until != nil && until.AsTime().After(sent) {
		sent = until.AsTime()
	}
	late := r.clock.now().Sub(sent)
	if late < 0 {
		r.clock.set(sent, time.Now())
	}
	return late <= r.maxAge
}

// resumed notes that what was said of keys while nobody listened may not be said again.
func (r *revocations) resumed() {
	if age, known := r.age(); known && age > accesstoken.Keep {
		now := time.Now()
		r.gap.Store(&now)
		r.refetch()
	}
}

func (r *revocations) learn(message *sessionsv1.WatchRevocationsResponse) {
	if all := message.GetAllRevokedAt(); all != nil {
		r.deny.DenyUntil(all.AsTime())
	}
	entries := make([]accesstoken.Entry, 0, len(message.GetRevocations()))
	for _, of := range message.GetRevocations() {
		at := r.clock.now() // of a key, which is revoked for good
		if of.GetRevokedAt() != nil {
			at = of.GetRevokedAt().AsTime()
		}
		kind, known := kinds[of.GetKind()]
		if !known { // of a newer deployment: it may be about any token
			r.deny.DenyUntil(at)
			continue
		}
		entries = append(entries, accesstoken.Entry{Kind: kind, ID: of.GetId(), Organization: of.GetOrganization(), NotBefore: at})
	}
	if len(entries) > 0 {
		r.deny.Add(entries...)
	}
	if message.GetCompleteUntil() == nil {
		return
	}
	until := message.GetCompleteUntil().AsTime()
	if known := r.complete.Load(); known == nil || until.After(*known) { // else this region is behind the last one
		r.complete.Store(&until)
	}
}

// kinds are those of the contract as the deny map has them.
var kinds = map[sessionsv1.RevocationKind]accesstoken.Kind{
	sessionsv1.RevocationKind_REVOCATION_KIND_TOKEN:                  accesstoken.Token,
	sessionsv1.RevocationKind_REVOCATION_KIND_SESSION:                accesstoken.Session,
	sessionsv1.RevocationKind_REVOCATION_KIND_GRANT:                  accesstoken.Grant,
	sessionsv1.RevocationKind_REVOCATION_KIND_SUBJECT:                accesstoken.Subject,
	sessionsv1.RevocationKind_REVOCATION_KIND_CLIENT:                 accesstoken.Client,
	sessionsv1.RevocationKind_REVOCATION_KIND_ORGANIZATION:           accesstoken.Organization,
	sessionsv1.RevocationKind_REVOCATION_KIND_MEMBER:                 accesstoken.Member,
	sessionsv1.RevocationKind_REVOCATION_KIND_KEY:                    accesstoken.Key,
	sessionsv1.RevocationKind_REVOCATION_KIND_CLIENT_IN_ORGANIZATION: accesstoken.ClientFor,
}

// asking notes when a stream was asked for, the last time that a region was.
type asking struct {
	mu    sync.Mutex
	at    time.Time
	heard bool
}

// from returns a context for the call that asks.
func (a *asking) from(ctx context.Context) context.Context {
	note := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.heard {
			a.at = time.Now()
		}
	}
	a.mu.Lock()
	a.heard = false
	a.mu.Unlock()
	note()
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { note() }})
}

// answered is when that was, and whether this is its first message.
func (a *asking) answered() (at time.Time, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first, a.heard = !a.heard, true
	return a.at, first
}

// deploymentClock is the clock by which the deployment makes tokens and ends things, as
// far as it is known: it may be ahead by the time that a question took, and is never
// behind. This machine's own may be wrong.
type deploymentClock struct{ read atomic.Pointer[reading] }

// reading says that the deployment's clock was at most theirs when this machine's was ours.
type reading struct{ theirs, ours time.Time }

func (c *deploymentClock) set(theirs, ours time.Time) { c.read.Store(&reading{theirs, ours}) }

// now is this machine's clock until it is known. What has passed since is the longer of
// what two clocks say: one stands while a machine is suspended, and one can be set.
func (c *deploymentClock) now() time.Time {
	now, r := time.Now(), c.read.Load()
	if r == nil {
		return now
	}
	return r.theirs.Add(max(now.Sub(r.ours), now.Round(0).Sub(r.ours.Round(0))))
}
