package authz_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-iam/meridian/pkg/id"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// shelf is an organization with documents, of which anna may read every second.
func (f *fixture) shelf(t testing.TB, documents int) (org, token string) {
	t.Helper()
	org = f.organization(t)
	req := &authzv1.WriteRelationshipsRequest{Organization: org, IdempotencyKey: f.key()}
	for i := range documents {
		subject := "user:anna"
		if i%2 == 1 {
			subject = "user:bert"
		}
		req.Updates = append(req.Updates, &authzv1.RelationshipUpdate{
			Operation: touch, Relationship: relationship(fmt.Sprintf("document:%03d", i), "reader", subject),
		})
	}
	written, err := f.relationships.WriteRelationships(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return org, written.GetRevision()
}

func objectsOf(org, cursor string, size uint32, fresh *commonv1.Freshness) *authzv1.ListObjectsRequest {
	return &authzv1.ListObjectsRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", ResourceType: "document", PageSize: size, Cursor: cursor, Freshness: fresh,
	}
}

// Pages are of one revision, whatever is written between them, and agree with
// Check.
func TestPagesKeepTheirRevision(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.shelf(t, 50)
	var got []string
	fresh := atLeast(token)
	for cursor := ""; ; {
		page, err := f.lookups.ListObjects(t.Context(), objectsOf(org, cursor, 10, fresh))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.GetObjects()...)
		if n := len(page.GetConditional()); n > 0 {
			t.Errorf("%d are conditional", n)
		}
		last := page.GetNextCursor() == ""
		if page.GetEvaluatedAt().GetRevision() != token || page.GetRevisionMoved() || page.GetComplete() != last ||
			(page.GetIncompleteReason() == authzv1.Incomplete_INCOMPLETE_PAGE) == last || page.GetModel() == "" {
			t.Errorf("page from %q: %v", cursor, page)
		}
		if cursor = page.GetNextCursor(); last {
			break
		}
		newer := f.write(t, org, remove, relationship("document:048", "reader", "user:anna"))
		if allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:048", atLeast(newer)); err != nil || allowed {
			t.Fatal(allowed, err)
		}
	}
	var want []string
	for i := 0; i < 50; i += 2 {
		want = append(want, fmt.Sprintf("document:%03d", i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

// A page that must be fresher than the kept list is of a new one, which says that
// its revision is later; every other page is of the kept list, for 5 minutes.
func TestPagesAreAsFreshAsAsked(t *testing.T) {
	const bound = 30 * time.Second // more than any step of the test takes
	within := &commonv1.Freshness{
		Level: &commonv1.Freshness_MinimizeLatency{MinimizeLatency: true}, MaxStaleness: durationpb.New(bound),
	}
	f := newFixture(t, authz.Config{})
	for name, tc := range map[string]struct {
		fresh *commonv1.Freshness // nil: at_least the first page's revision
		// steps are the times between pages; the last page counts.
		steps []time.Duration
		moved bool
	}{
		"any":                          {&commonv1.Freshness{Level: within.GetLevel()}, slices.Repeat([]time.Duration{50 * time.Second}, 5), false},
		"the revision of the list":     {nil, slices.Repeat([]time.Duration{50 * time.Second}, 5), false},
		"any, after 5 minutes":         {&commonv1.Freshness{Level: within.GetLevel()}, slices.Repeat([]time.Duration{51 * time.Second}, 6), true},
		"the head":                     {fullyConsistent(), []time.Duration{0}, true},
		"within a bound":               {within, []time.Duration{0}, false},
		"within a bound that is above": {within, []time.Duration{bound}, true},
	} {
		t.Run(name, func(t *testing.T) {
			org, token := f.shelf(t, 50)
			first, err := f.lookups.ListObjects(t.Context(), objectsOf(org, "", 10, atLeast(token)))
			if err != nil {
				t.Fatal(err)
			}
			newer := f.write(t, org, remove, relationship("document:020", "reader", "user:anna"))
			if _, err := f.check(t.Context(), org, "user:anna", "can_read", "document:020", atLeast(newer)); err != nil {
				t.Fatal(err)
			}
			fresh := tc.fresh
			if fresh == nil {
				fresh = atLeast(token)
			}
			var second *authzv1.ListObjectsResponse
			for _, step := range tc.steps {
				f.ahead.Add(int64(step))
				if second, err = f.lookups.ListObjects(t.Context(), objectsOf(org, first.GetNextCursor(), 10, fresh)); err != nil {
					t.Fatal(err)
				}
			}
			want, begins := token, "document:020"
			if tc.moved {
				want, begins = newer, "document:022"
			}
			if second.GetRevisionMoved() != tc.moved || second.GetEvaluatedAt().GetRevision() != want || second.GetObjects()[0] != begins {
				t.Errorf("moved: %v, begins at %s, age %v; want %v and %s", second.GetRevisionMoved(), second.GetObjects()[0],
					second.GetEvaluatedAt().GetAge().AsDuration(), tc.moved, begins)
			}
		})
	}
}

// A process that has the list no more answers at a later revision, and says so.
func TestPagesMoveOnWhenTheListIsGone(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.shelf(t, 50)
	first, err := f.lookups.ListObjects(t.Context(), objectsOf(org, "", 10, atLeast(token)))
	if err != nil {
		t.Fatal(err)
	}
	f.stopService()
	f.startService(t)
	again, err := f.lookups.ListObjects(t.Context(), objectsOf(org, first.GetNextCursor(), 10, nil))
	if err != nil || again.GetRevisionMoved() || again.GetObjects()[0] != "document:020" {
		t.Fatalf("the same revision computed anew: %v, %v", again, err)
	}
	newer := f.write(t, org, remove, relationship("document:020", "reader", "user:anna"))
	moved, err := f.lookups.ListObjects(t.Context(), objectsOf(org, first.GetNextCursor(), 10, atLeast(newer)))
	if err != nil || !moved.GetRevisionMoved() || moved.GetObjects()[0] != "document:022" ||
		moved.GetEvaluatedAt().GetRevision() != newer {
		t.Errorf("after a write: %v, %v; want a page that begins at document:022, moved", moved, err)
	}
}

func TestCursorsOfLists(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.shelf(t, 50)
	other, _ := f.shelf(t, 50)
	page, err := f.lookups.ListObjects(t.Context(), objectsOf(org, "", 10, atLeast(token)))
	if err != nil {
		t.Fatal(err)
	}
	good := page.GetNextCursor()
	ask := func(change func(*authzv1.ListObjectsRequest)) *authzv1.ListObjectsRequest {
		req := objectsOf(org, good, 10, nil)
		change(req)
		return req
	}
	if _, err := f.lookups.ListObjects(t.Context(), ask(func(*authzv1.ListObjectsRequest) {})); err != nil {
		t.Fatal(err)
	}
	for name, req := range map[string]*authzv1.ListObjectsRequest{
		"tampered":             ask(func(r *authzv1.ListObjectsRequest) { r.Cursor = good[:len(good)-4] + "AAAA" }),
		"cut":                  ask(func(r *authzv1.ListObjectsRequest) { r.Cursor = good[:len(good)-4] }),
		"no cursor at all":     ask(func(r *authzv1.ListObjectsRequest) { r.Cursor = "%%%" }),
		"another subject":      ask(func(r *authzv1.ListObjectsRequest) { r.Subject = "user:bert" }),
		"another permission":   ask(func(r *authzv1.ListObjectsRequest) { r.Permission = "owner" }),
		"another type":         ask(func(r *authzv1.ListObjectsRequest) { r.ResourceType = "group" }),
		"another organization": ask(func(r *authzv1.ListObjectsRequest) { r.Organization = other }),
		"other circumstances": ask(func(r *authzv1.ListObjectsRequest) {
			r.Circumstances = &authzv1.Circumstances{Relationships: []*authzv1.Relationship{relationship("document:plan", "reader", "user:anna")}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.lookups.ListObjects(t.Context(), req)
			wantReason(t, err, commonv1.Reason_INVALID_FIELD)
			if got := fromConnect(err)["field"]; got != "cursor" {
				t.Errorf("field %q, want cursor", got)
			}
		})
	}
	under := func(subject string) *authzv1.ListObjectsRequest {
		req := objectsOf(org, "", 10, nil)
		req.Circumstances = &authzv1.Circumstances{Relationships: []*authzv1.Relationship{relationship("document:plan", "reader", subject)}}
		return req
	}
	page, err = f.lookups.ListObjects(t.Context(), under("user:anna"))
	if err != nil {
		t.Fatal(err)
	}
	changed := under("user:bert")
	changed.Cursor = page.GetNextCursor()
	_, err = f.lookups.ListObjects(t.Context(), changed)
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
	_, err = f.lookups.ListSubjects(t.Context(), &authzv1.ListSubjectsRequest{
		Organization: org, Resource: "document:000", Permission: "can_read", SubjectType: "user", Cursor: good,
	})
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
}

func TestListsRefuse(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, _ := f.shelf(t, 2)
	absent := id.New(id.Organization)
	for name, tc := range map[string]struct {
		call func() error
		want commonv1.Reason
	}{
		"objects of an absent organization": {func() error {
			_, err := f.lookups.ListObjects(t.Context(), objectsOf(absent, "", 0, nil))
			return err
		}, commonv1.Reason_NOT_FOUND},
		"1,001 objects a page": {func() error {
			_, err := f.lookups.ListObjects(t.Context(), objectsOf(org, "", 1001, nil))
			return err
		}, commonv1.Reason_INVALID_FIELD},
		"objects of an unknown type": {func() error {
			_, err := f.lookups.ListObjects(t.Context(), &authzv1.ListObjectsRequest{Organization: org, Subject: "user:anna", Permission: "can_read", ResourceType: "folder"})
			return err
		}, commonv1.Reason_TYPE_UNKNOWN},
		"subjects of an unknown permission": {func() error {
			_, err := f.lookups.ListSubjects(t.Context(), &authzv1.ListSubjectsRequest{Organization: org, Resource: "document:000", Permission: "can_fly", SubjectType: "user"})
			return err
		}, commonv1.Reason_RELATION_UNKNOWN},
		"actions on no id": {func() error {
			_, err := f.lookups.ListActions(t.Context(), &authzv1.ListActionsRequest{Organization: org, Subject: "user:anna", Resource: "document:"})
			return err
		}, commonv1.Reason_INVALID_FIELD},
		"actions of an absent organization": {func() error {
			_, err := f.lookups.ListActions(t.Context(), &authzv1.ListActionsRequest{Organization: absent, Subject: "user:anna", Resource: "document:a"})
			return err
		}, commonv1.Reason_NOT_FOUND},
		"an expansion of an unknown type": {func() error {
			_, err := f.lookups.Expand(t.Context(), &authzv1.ExpandRequest{Organization: org, Resource: "folder:a", Permission: "can_read"})
			return err
		}, commonv1.Reason_TYPE_UNKNOWN},
		"a stream of an unknown subject type": {func() error {
			stream, err := f.lookups.StreamObjects(t.Context(), &authzv1.StreamObjectsRequest{Organization: org, Subject: "robot:a", Permission: "can_read", ResourceType: "document"})
			if err != nil {
				return err
			}
			for stream.Receive() {
				t.Error("a message came")
			}
			return stream.Err()
		}, commonv1.Reason_TYPE_UNKNOWN},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, tc.call(), tc.want) })
	}
}

// A stream brings messages of at most 1,000; the last, and no other, says that it
// is complete.
func TestStreamsOfLists(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	imported, err := f.relationships.ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []*authzv1.Relationship
	for i := range 2500 {
		all = append(all, relationship(fmt.Sprintf("document:%04d", i), "reader", "user:anna"), relationship("document:all", "reader", fmt.Sprintf("user:%04d", i)))
	}
	if err := imported.Send(&authzv1.ImportRelationshipsRequest{Organization: org, Relationships: all}); err != nil {
		t.Fatal(err)
	}
	written, err := imported.CloseAndReceive()
	if err != nil {
		t.Fatal(err)
	}
	var messages []int
	complete := func(n int, last bool) {
		messages = append(messages, n)
		if last != (len(messages) == 3) {
			t.Errorf("message %d says complete: %v", len(messages), last)
		}
	}
	fresh := atLeast(written.GetRevision())
	objects, err := f.lookups.StreamObjects(t.Context(), &authzv1.StreamObjectsRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", ResourceType: "document", Freshness: fresh,
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for objects.Receive() {
		complete(len(objects.Msg().GetObjects()), objects.Msg().GetComplete())
		names = append(names, objects.Msg().GetObjects()...)
	}
	if objects.Err() != nil || !slices.Equal(messages, []int{1000, 1000, 500}) || !slices.IsSorted(names) {
		t.Errorf("%v, sorted: %v, %v", messages, slices.IsSorted(names), objects.Err())
	}
	messages = nil
	subjects, err := f.lookups.StreamSubjects(t.Context(), &authzv1.StreamSubjectsRequest{
		Organization: org, Resource: "document:all", Permission: "can_read", SubjectType: "user", Freshness: fresh,
	})
	if err != nil {
		t.Fatal(err)
	}
	for subjects.Receive() {
		complete(len(subjects.Msg().GetSubjects()), subjects.Msg().GetComplete())
	}
	if subjects.Err() != nil || !slices.Equal(messages, []int{1000, 1000, 500}) {
		t.Errorf("%v, %v", messages, subjects.Err())
	}
	none, err := f.lookups.StreamObjects(t.Context(), &authzv1.StreamObjectsRequest{
		Organization: org, Subject: "user:nobody", Permission: "can_read", ResourceType: "document",
	})
	if err != nil || !none.Receive() || !none.Msg().GetComplete() || len(none.Msg().GetObjects()) != 0 || none.Receive() {
		t.Errorf("of nobody: %v, %v; want one message that is complete", none.Msg(), err)
	}
}

// callLog passes on the lines that name a text.
type callLog struct {
	text  string
	lines chan string
}

func (c *callLog) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.text) {
		c.lines <- string(p)
	}
	return len(p), nil
}

// A client that opens a streamed list and does not read it is cut.
func TestUnreadListsAreCut(t *testing.T) {
	f := newFixture(t, authz.Config{StreamUnread: 300 * time.Millisecond})
	org := f.organization(t)
	message := &authzv1.ImportRelationshipsRequest{Organization: org}
	for i := range 2000 {
		message.Relationships = append(message.Relationships, relationship(fmt.Sprintf("document:%0240d", i), "reader", "user:anna"))
	}
	written, err := f.importAll(t, message)
	if err != nil {
		t.Fatal(err)
	}
	f.stopService()
	calls := &callLog{text: "StreamObjects", lines: make(chan string, 8)}
	f.calls = slog.New(slog.NewTextHandler(calls, nil))
	f.startService(t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 16}}
	defer transport.CloseIdleConnections()
	client := authzv1connect.NewLookupServiceClient(&http.Client{Transport: transport}, f.address,
		connect.WithInterceptors(bearer{}), connect.WithAcceptCompression("gzip", nil, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := client.StreamObjects(ctx, &authzv1.StreamObjectsRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", ResourceType: "document", Freshness: atLeast(written.GetRevision()),
	}); err != nil {
		t.Fatal(err)
	}
	if line := <-calls.lines; !strings.Contains(line, "reason=DEADLINE") || ctx.Err() != nil {
		t.Errorf("the call ended with %s, want DEADLINE before the client's", line)
	}
}

func TestExpand(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.shelf(t, 2)
	answer, err := f.lookups.Expand(t.Context(), &authzv1.ExpandRequest{
		Organization: org, Resource: "document:000", Permission: "can_read", Freshness: atLeast(token),
	})
	if err != nil || answer.GetRoot().GetKind() != authzv1.StepKind_STEP_KIND_EXCLUSION || len(answer.GetRoot().GetNodes()) != 2 ||
		answer.GetEvaluatedAt().GetRevision() != token || answer.GetModel() == "" {
		t.Fatalf("%v, %v; want an exclusion of two", answer, err)
	}
	usersets := answer.GetRoot().GetNodes()[0].GetUsersets()
	if !slices.Equal(usersets, []string{"document:000#reader"}) {
		t.Fatalf("the base is %v, want document:000#reader", usersets)
	}
	answer, err = f.lookups.Expand(t.Context(), &authzv1.ExpandRequest{Organization: org, Resource: "document:000", Permission: "reader"})
	if err != nil || !strings.Contains(answer.GetRoot().String(), "user:anna") {
		t.Errorf("%v, %v; want user:anna among its subjects", answer, err)
	}
}

// What the SDK writes it reads at the revision of the write.
func TestSDKWrites(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	client := meridian.New(f.address, "test")
	for i, update := range []*authzv1.RelationshipUpdate{
		meridian.Touch("document:plan", "reader", "user:zoe"), meridian.Delete("document:plan", "reader", "user:zoe"),
	} {
		allowed := i == 0
		revision, err := client.Write(t.Context(), org, update)
		if err != nil {
			t.Fatal(err)
		}
		decision, err := client.Check(t.Context(), meridian.Question{
			Organization: org, Subject: "user:zoe", Permission: "can_read", Resource: "document:plan", AtLeast: revision,
		})
		if err != nil || decision.Allowed != allowed {
			t.Errorf("after %v: %+v, %v", update.GetOperation(), decision, err)
		}
	}
}

// The SDK follows pages by itself and reads all answers.
func TestSDK(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.shelf(t, 50)
	client := meridian.New(f.address, "test")
	under := []*authzv1.Relationship{relationship("document:new", "reader", "user:anna")}
	n, last := 0, ""
	for found, err := range client.ListObjects(t.Context(), meridian.ObjectQuery{
		Organization: org, Subject: "user:anna", Permission: "can_read", Type: "document", AtLeast: token, Contextual: under, PageSize: 7,
	}) {
		if err != nil {
			t.Fatal(err)
		}
		n, last = n+1, found.Name
	}
	if n != 26 || last != "document:new" {
		t.Errorf("%d objects, the last %s; want 26 with document:new", n, last)
	}
	for found, err := range client.ListSubjects(t.Context(), meridian.SubjectQuery{
		Organization: org, Resource: "document:000", Permission: "can_read", Type: "user", AtLeast: token,
	}) {
		if err != nil || found.Name != "user:anna" {
			t.Errorf("%v, %v; want user:anna", found, err)
		}
	}
	for _, err := range client.ListObjects(t.Context(), meridian.ObjectQuery{Organization: org, Subject: "user:anna", Permission: "can_read", Type: "folder"}) {
		if !meridian.Is(err, commonv1.Reason_TYPE_UNKNOWN) {
			t.Errorf("an unknown type: %v", err)
		}
	}
	question := meridian.Question{Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:000", AtLeast: token}
	actions, err := client.ListActions(t.Context(), question)
	if err != nil || fmt.Sprint(actions) != "[{can_read false [] true} {reader false [] false}]" {
		t.Errorf("%v, %v", actions, err)
	}
	other, unknown := question, question
	other.Subject, unknown.Permission = "user:bert", "can_fly"
	answers, err := client.BatchCheck(t.Context(), []meridian.Question{question, other, unknown})
	if err != nil || !answers[0].Allowed || answers[1].Allowed || answers[1].Err != nil || answers[0].Revision != token ||
		!meridian.Is(answers[2].Err, commonv1.Reason_RELATION_UNKNOWN) {
		t.Errorf("%v, %v", answers, err)
	}
	other.Organization = id.New(id.Organization)
	if _, err := client.BatchCheck(t.Context(), []meridian.Question{question, other}); err == nil {
		t.Error("a batch of two organizations was sent")
	}
	f.assign(t, org, conditional)
	office := question
	office.Resource, office.AtLeast = "document:office", f.write(t, org, touch, relationship("document:x", "reader", "user:x"))
	office.Contextual = []*authzv1.Relationship{inOffice("document:office", "user:anna")}
	if d, err := client.Check(t.Context(), office); err != nil || d.Allowed || !d.Conditional || fmt.Sprint(d.Missing) != "[floor ip]" {
		t.Errorf("%+v, %v; want conditional", d, err)
	}
	office.Context = map[string]any{"ip": "10.0.0.1", "floor": 2}
	if d, err := client.Check(t.Context(), office); err != nil || !d.Allowed || d.Conditional {
		t.Errorf("%+v, %v; want allowed", d, err)
	}
}
