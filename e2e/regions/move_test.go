package regions_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/e2e/harness"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// traffic writes and reads in two regions until it is stopped. Its clients go to
// the next region when one does not answer, as every client should; any error
// that they return is one too many.
type traffic struct {
	d            deployment
	organization string

	stop    chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	written map[string]string // revisions, by user
	reads   int
	oldest  time.Duration
	errs    []error
}

func (d deployment) traffic(t *testing.T, organization string) *traffic {
	t.Helper()
	w := &traffic{d: d, organization: organization, stop: make(chan struct{}), written: map[string]string{}}
	for _, region := range []string{west, south} {
		w.running.Go(func() { w.write(t, region) })
		w.running.Go(func() { w.read(t, region) })
	}
	return w
}

func (w *traffic) over() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

func (w *traffic) write(t *testing.T, region string) {
	client := w.d.near(region)
	for i := 0; !w.over(); i++ {
		user := fmt.Sprintf("user:%s-%d", region, i)
		answer, err := client.Relationships.WriteRelationships(calls(t), &authzv1.WriteRelationshipsRequest{
			Organization: w.organization, IdempotencyKey: user,
			Updates: []*authzv1.RelationshipUpdate{{
				Operation:    authzv1.Operation_OPERATION_CREATE,
				Relationship: &authzv1.Relationship{Resource: "document:plan", Relation: "viewer", Subject: user},
			}},
		})
		var allowed bool
		if err == nil {
			decision, asked := client.Check(calls(t), question(w.organization, user, answer.GetRevision()))
			allowed, err = decision.Allowed, asked
		}
		if err == nil && !allowed {
			err = errNotYet
		}
		w.note(user, answer.GetRevision(), 0, err)
	}
}

func (w *traffic) read(t *testing.T, region string) {
	client := w.d.near(region)
	for !w.over() {
		decision, err := client.Check(calls(t), question(w.organization, "user:nobody", ""))
		w.note("", "", decision.Age, err)
	}
}

func (w *traffic) note(user, revision string, age time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.errs = append(w.errs, fmt.Errorf("%q: %w", user, err))
	case user != "":
		w.written[user] = revision
	default:
		w.reads++
		w.oldest = max(w.oldest, age)
	}
}

// more waits for more writes and reads.
func (w *traffic) more(t *testing.T, n int) {
	t.Helper()
	count := func() (int, int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.written) + len(w.errs), w.reads
	}
	writes, reads := count()
	harness.Eventually(t, "writes and reads go on", func() error {
		if nowWrites, nowReads := count(); nowWrites < writes+n || nowReads < reads+n {
			return errNotYet
		}
		return nil
	})
}

func (w *traffic) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	w.running.Wait()
	for _, err := range w.errs {
		t.Errorf("while it moved: %v", err)
	}
	if w.oldest > maxAge {
		t.Errorf("an answer was %v old", w.oldest)
	}
	t.Logf("%d writes, %d reads, the oldest answer %v", len(w.written), w.reads, w.oldest)
}

// An organization moves around the world while two other regions write and read.
func (d deployment) testMoveHome(t *testing.T) {
	organization := d.organization(t, east, east, "nomad")
	w := d.traffic(t, organization)
	w.more(t, 10)
	for _, to := range []string{west, south, east} {
		moved, err := d.near(east).Organizations.MoveHome(calls(t), &identityv1.MoveHomeRequest{
			Organization: organization, HomeRegion: to, IdempotencyKey: "to-" + to,
		})
		if err != nil || moved.GetOrganization().GetHomeRegion() != to {
			t.Errorf("move to %s: %v, %v", to, moved, err)
		}
		w.more(t, 10)
	}
	w.end(t)
	stays := d.stays(t, organization, w.written)
	for _, region := range names() {
		d.published(t, organization, region, stays[region])
		d.verify(t, region, organization)
	}
}

// stays reads an organization's log to its end: no gap, each write once, and
// which events went out through which region: an event goes the way of its
// predecessor's home, since the move itself is the old home's last.
func (d deployment) stays(t *testing.T, organization string, written map[string]string) map[string][]uint64 {
	t.Helper()
	stream, err := d.in(south).Logs.TailLog(calls(t), &logv1.TailLogRequest{Log: organization})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	stays, counts, before := map[string][]uint64{}, map[string]int{}, ""
	for next := uint64(1); stream.Receive(); next++ {
		envelope := stream.Msg().GetEnvelope()
		if envelope.GetSequence() != next {
			t.Fatalf("event %d follows %d", envelope.GetSequence(), next-1)
		}
		if before == "" {
			before = envelope.GetRegion()
		}
		stays[before] = append(stays[before], next)
		before = envelope.GetRegion()
		var event eventv1.RelationshipsWritten
		if !strings.HasSuffix(envelope.GetType(), ".RelationshipsWritten") {
			continue
		}
		if err := proto.Unmarshal(envelope.GetData(), &event); err != nil {
			t.Fatal(err)
		}
		for _, change := range event.GetChanges() {
			counts[change.GetSubject()]++
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	for user := range written {
		if counts[user] != 1 {
			t.Errorf("%s was acknowledged and is in the log %d times", user, counts[user])
		}
	}
	return stays
}

// published waits until a region's stream holds the events that went out while
// the organization was at home there, and looks for others in it.
func (d deployment) published(t *testing.T, organization, region string, want []uint64) {
	t.Helper()
	if len(want) < 10 {
		t.Errorf("%d events went out through %s", len(want), region)
	}
	harness.Eventually(t, "the stream of "+region+" has its events", func() error {
		var have []uint64
		for _, m := range d.stream(t, region, streamName(region), organization) {
			_, digits, _ := strings.Cut(m.Header.Get("Nats-Msg-Id"), ":")
			sequence, err := strconv.ParseUint(digits, 10, 64)
			if err != nil {
				t.Fatalf("message id %q", m.Header.Get("Nats-Msg-Id"))
			}
			have = append(have, sequence)
		}
		slices.Sort(have)
		if have = slices.Compact(have); !slices.Equal(have, want) {
			return fmt.Errorf("it has %v, want %v", have, want)
		}
		return nil
	})
}
