package authz_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// watching reads one watch. Its methods fail the test when nothing comes.
type watching struct {
	stream *connect.ServerStreamForClient[authzv1.WatchResponse]
	stop   context.CancelFunc
	// last is the newest checkpoint or revision.
	last string
}

func (f *fixture) watch(t testing.TB, org, after string, filters ...*authzv1.RelationshipFilter) *watching {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	stream, err := f.relationships.Watch(ctx, &authzv1.WatchRequest{Organization: org, After: after, Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	return &watching{stream: stream, stop: cancel}
}

// next returns the next message.
func (w *watching) next(t testing.TB) *authzv1.WatchResponse {
	t.Helper()
	if !w.stream.Receive() {
		t.Fatalf("the watch ended: %v", w.stream.Err())
	}
	m := w.stream.Msg()
	if m.GetCheckpoint() != "" {
		w.last = m.GetCheckpoint()
	}
	if m.GetChanges() != nil {
		w.last = m.GetChanges().GetRevision()
	}
	return m
}

// changes returns the next n changes, each as kind relationship.
func (w *watching) changes(t testing.TB, n int) (out []string) {
	t.Helper()
	for len(out) < n {
		for _, c := range w.next(t).GetChanges().GetChanges() {
			out = append(out, change(c))
		}
	}
	return out
}

func change(c *authzv1.WatchChange) string {
	r := c.GetRelationship()
	kind := strings.ToLower(strings.TrimPrefix(c.GetKind().String(), "WATCH_KIND_"))
	return fmt.Sprintf("%s %s#%s@%s", kind, r.GetResource(), r.GetRelation(), r.GetSubject())
}

// until reads on until the watch has come to a revision, and returns the
// changes.
func (w *watching) until(t testing.TB, org, token string) (out []string) {
	t.Helper()
	for sequenceOf(t, org, w.last) < sequenceOf(t, org, token) {
		for _, c := range w.next(t).GetChanges().GetChanges() {
			out = append(out, change(c))
		}
	}
	return out
}

func sequenceOf(t testing.TB, org, token string) uint64 {
	t.Helper()
	if token == "" {
		return 0
	}
	revisions, err := revision.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	sequence, ok := revision.Find(revisions, org)
	if !ok {
		t.Fatalf("token %q does not name %s", token, org)
	}
	return sequence
}

func tokenOf(t testing.TB, org string, sequence uint64) string {
	t.Helper()
	token, err := revision.Token(revision.Revision{Log: org, Sequence: sequence})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Every change comes once and in order, from any revision on, with its terms.
func TestWatch(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	beginning := tokenOf(t, org, f.head(t, org))
	expires := f.clock().Add(time.Hour).Truncate(time.Second)
	temporary := relationship("document:plan", "reader", "user:bea")
	temporary.ExpiresAt = timestamppb.New(expires)
	f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	f.write(t, org, touch, temporary)
	third := f.write(t, org, remove, relationship("document:plan", "reader", "user:anna"))
	want := []string{
		"written document:plan#reader@user:anna", "written document:plan#reader@user:bea", "deleted document:plan#reader@user:anna",
	}
	fromStart, fromNow := f.watch(t, org, beginning), f.watch(t, org, "")
	if got := fromStart.changes(t, 3); !slices.Equal(got, want) {
		t.Errorf("changes from the start are %q, want %q", got, want)
	}
	if fromStart.last != third {
		t.Errorf("the last revision is %s, want %s", fromStart.last, third)
	}
	if m := fromNow.next(t); m.GetCheckpoint() != third {
		t.Errorf("a watch from now on begins with %v, want the checkpoint %s", m, third)
	}
	fourth := f.write(t, org, touch, relationship("document:plan", "banned", "user:anna"))
	for name, w := range map[string]*watching{"from the start": fromStart, "from now": fromNow, "from a revision": f.watch(t, org, third)} {
		if got := w.changes(t, 1); got[0] != "written document:plan#banned@user:anna" || w.last != fourth {
			t.Errorf("%s: the next change is %q at %s", name, got, w.last)
		}
	}
	again := f.watch(t, org, beginning)
	again.next(t) // checkpoint
	again.next(t)
	m := again.next(t).GetChanges()
	if got := m.GetChanges()[0].GetRelationship().GetExpiresAt().AsTime(); !got.Equal(expires) || m.GetTime().AsTime().IsZero() {
		t.Errorf("the change %v expires at %v, want %v", m, got, expires)
	}
}

// A watcher gets only what matches, and is told within a second how far it is,
// also when nothing does.
func TestWatchFilters(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	beginning := tokenOf(t, org, f.head(t, org))
	for _, r := range []*authzv1.Relationship{
		relationship("document:plan", "reader", "user:anna"), relationship("group:eng", "member", "user:anna"),
		relationship("document:plan", "reader", "group:eng#member"), relationship("document:other", "owner", "user:bea"),
	} {
		f.write(t, org, touch, r)
	}
	last := tokenOf(t, org, f.head(t, org))
	for name, tc := range map[string]struct {
		filters []*authzv1.RelationshipFilter
		want    []string
	}{
		"by type":          {[]*authzv1.RelationshipFilter{{Resource: "group"}}, []string{"group:eng#member@user:anna"}},
		"by resource":      {[]*authzv1.RelationshipFilter{{Resource: "document:plan"}}, []string{"document:plan#reader@user:anna", "document:plan#reader@group:eng#member"}},
		"by relation":      {[]*authzv1.RelationshipFilter{{Relation: "owner"}}, []string{"document:other#owner@user:bea"}},
		"by subject":       {[]*authzv1.RelationshipFilter{{Subject: "user:anna"}}, []string{"document:plan#reader@user:anna", "group:eng#member@user:anna"}},
		"by subject set":   {[]*authzv1.RelationshipFilter{{Subject: "group:eng#member"}}, []string{"document:plan#reader@group:eng#member"}},
		"by subject type":  {[]*authzv1.RelationshipFilter{{Resource: "document", Subject: "group"}}, []string{"document:plan#reader@group:eng#member"}},
		"any of several":   {[]*authzv1.RelationshipFilter{{Resource: "group"}, {Relation: "owner"}}, []string{"group:eng#member@user:anna", "document:other#owner@user:bea"}},
		"nothing matches":  {[]*authzv1.RelationshipFilter{{Resource: "folder"}}, nil},
		"no prefix of ids": {[]*authzv1.RelationshipFilter{{Resource: "document:pla"}, {Resource: "doc"}, {Subject: "use"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := f.watch(t, org, beginning, tc.filters...)
			got := w.until(t, org, last)
			var want []string
			for _, r := range tc.want {
				want = append(want, "written "+r)
			}
			if !slices.Equal(got, want) {
				t.Errorf("changes %q, want %q", got, want)
			}
			if want != nil {
				return
			}
			for range 2 {
				began := time.Now()
				if m := w.next(t); m.GetCheckpoint() != last {
					t.Errorf("%v, want the checkpoint %s", m, last)
				} else if waited := time.Since(began); waited > 5*time.Second {
					t.Errorf("the checkpoint came after %v", waited)
				}
			}
		})
	}
}

func TestWatchRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, other := f.organization(t), f.organization(t)
	for name, tc := range map[string]struct {
		request     *authzv1.WatchRequest
		want        commonv1.Reason
		field, rule string
	}{
		"no organization":       {&authzv1.WatchRequest{}, commonv1.Reason_INVALID_FIELD, "organization", "string.pattern"},
		"absent organization":   {&authzv1.WatchRequest{Organization: id.New(id.Organization)}, commonv1.Reason_NOT_FOUND, "", ""},
		"no token":              {&authzv1.WatchRequest{Organization: org, After: "later"}, commonv1.Reason_REVISION_MALFORMED, "after", "revision_token"},
		"long token":            {&authzv1.WatchRequest{Organization: org, After: strings.Repeat("a", 129)}, commonv1.Reason_INVALID_FIELD, "after", "string.max_len"},
		"another's token":       {&authzv1.WatchRequest{Organization: org, After: tokenOf(t, other, 1)}, commonv1.Reason_REVISION_UNKNOWN, "after", ""},
		"the platform's token":  {&authzv1.WatchRequest{Organization: org, After: tokenOf(t, id.Platform, 1)}, commonv1.Reason_REVISION_UNKNOWN, "after", ""},
		"a revision to come":    {&authzv1.WatchRequest{Organization: org, After: tokenOf(t, org, 1000)}, commonv1.Reason_REVISION_UNKNOWN, "after", ""},
		"the largest revision":  {&authzv1.WatchRequest{Organization: org, After: tokenOf(t, org, 1<<64-1)}, commonv1.Reason_REVISION_UNKNOWN, "after", ""},
		"resource of a filter":  {&authzv1.WatchRequest{Organization: org, Filters: []*authzv1.RelationshipFilter{{}, {Resource: "document:"}}}, commonv1.Reason_INVALID_FIELD, "filters[1].resource", "empty"},
		"relation of a filter":  {&authzv1.WatchRequest{Organization: org, Filters: []*authzv1.RelationshipFilter{{Relation: "Re ader"}}}, commonv1.Reason_INVALID_FIELD, "filters[0].relation", "relation_name"},
		"subject of a filter":   {&authzv1.WatchRequest{Organization: org, Filters: []*authzv1.RelationshipFilter{{Subject: "user:a b"}}}, commonv1.Reason_INVALID_FIELD, "filters[0].subject", "character"},
		"wildcard as resource":  {&authzv1.WatchRequest{Organization: org, Filters: []*authzv1.RelationshipFilter{{Resource: "document:*"}}}, commonv1.Reason_INVALID_FIELD, "filters[0].resource", "wildcard"},
		"more than 20 filters":  {&authzv1.WatchRequest{Organization: org, Filters: make([]*authzv1.RelationshipFilter, 21)}, commonv1.Reason_INVALID_FIELD, "filters", "repeated.max_items"},
		"resource is a userset": {&authzv1.WatchRequest{Organization: org, Filters: []*authzv1.RelationshipFilter{{Resource: "group:a#member"}}}, commonv1.Reason_INVALID_FIELD, "filters[0].resource", "character"},
	} {
		t.Run(name, func(t *testing.T) {
			for i, filter := range tc.request.GetFilters() {
				if filter == nil {
					tc.request.Filters[i] = &authzv1.RelationshipFilter{}
				}
			}
			stream, err := f.relationships.Watch(t.Context(), tc.request)
			if err == nil {
				for stream.Receive() {
					t.Errorf("got %v", stream.Msg())
				}
				err = stream.Err()
				_ = stream.Close()
			}
			wantReason(t, err, tc.want)
			if meta := fromConnect(err); meta["field"] != tc.field || meta["rule"] != tc.rule {
				t.Errorf("field %q and rule %q, want %q and %q", meta["field"], meta["rule"], tc.field, tc.rule)
			}
		})
	}
}

// A place that is too old is answered with the oldest one that is not.
func TestWatchReset(t *testing.T) {
	f := newFixture(t, authz.Config{WatchRetention: time.Hour})
	org := f.organization(t)
	beginning := tokenOf(t, org, f.head(t, org))
	for i := range 5 {
		f.write(t, org, touch, relationship(fmt.Sprintf("document:%d", i), "reader", "user:anna"))
	}
	// The fifth is the only one within the hour when its time plus an hour is now.
	events, err := f.log.Read(t.Context(), f.db.Pool(), org, f.head(t, org), 1)
	if err != nil {
		t.Fatal(err)
	}
	f.stopService()
	at := events[0].Time().Add(time.Hour)
	f.startServiceAt(t, func() time.Time { return at })
	w := f.watch(t, org, beginning)
	oldest := w.next(t).GetReset_().GetOldest()
	if want := tokenOf(t, org, f.head(t, org)-1); oldest != want {
		t.Errorf("the oldest is %q, want %q", oldest, want)
	}
	if w.stream.Receive() || w.stream.Err() != nil {
		t.Errorf("after the reset came %v, %v", w.stream.Msg(), w.stream.Err())
	}
	if got := f.watch(t, org, oldest).changes(t, 1); got[0] != "written document:4#reader@user:anna" {
		t.Errorf("from the oldest on came %q", got)
	}
	head := f.watch(t, org, tokenOf(t, org, f.head(t, org)))
	if m := head.next(t); m.GetCheckpoint() == "" {
		t.Errorf("a watch from the head began with %v", m)
	}
}

// What is written while the bus is away reaches watchers from the database.
func TestWatchWithoutRelay(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	w := f.watch(t, org, "")
	w.next(t)
	f.stopRelay()
	f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	if got := w.changes(t, 1); got[0] != "written document:plan#reader@user:anna" {
		t.Errorf("got %q", got)
	}
}

// Many events that match nothing are passed over, and a reader that has read
// nothing for long misses nothing and hears nothing twice.
func TestWatchSlowReader(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	w := f.watch(t, org, "")
	w.next(t)
	want := make([]string, 0, 3000)
	stream, err := f.relationships.ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		message := &authzv1.ImportRelationshipsRequest{Organization: org}
		for range 10 {
			r := relationship(fmt.Sprintf("document:%d-%s", len(want), strings.Repeat("x", 200)), "reader", "user:"+strings.Repeat("y", 200))
			message.Relationships = append(message.Relationships, r)
			want = append(want, "written "+r.GetResource()+"#reader@"+r.GetSubject())
		}
		if err := stream.Send(message); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndReceive(); err != nil {
		t.Fatal(err)
	}
	got := w.changes(t, len(want))
	slices.Sort(want)
	sorted := slices.Sorted(slices.Values(got))
	if !slices.Equal(sorted, want) {
		t.Errorf("%d changes differ from the %d written", len(got), len(want))
	}
}

// A watch ends when the server stops, with a reason to come again.
func TestWatchEndsWithTheServer(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	w := f.watch(t, org, "")
	w.next(t)
	f.stopService()
	for w.stream.Receive() {
		w.last = w.stream.Msg().GetCheckpoint()
	}
	if f := faultconnect.FromConnect(w.stream.Err()); f.Reason != commonv1.Reason_STOPPING {
		t.Errorf("the watch ended with %v", w.stream.Err())
	}
}

// A watcher that goes away leaves nothing behind.
func TestWatchEndsWithTheCaller(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	w := f.watch(t, org, "")
	w.next(t)
	w.stop()
	for w.stream.Receive() {
	}
	if err := w.stream.Err(); !errors.Is(err, context.Canceled) && connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("the watch ended with %v", err)
	}
	f.stopService() // fails the test when a handler hangs
}
