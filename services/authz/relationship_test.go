package authz_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

func (f *fixture) head(t *testing.T, log string) uint64 {
	t.Helper()
	head, err := f.log.Head(t.Context(), f.db.Pool(), log)
	if err != nil {
		t.Fatal(err)
	}
	return head.Sequence
}

// verify replays a log and compares it with the authz rows.
func (f *fixture) verify(t *testing.T, log string) {
	t.Helper()
	v := &eventlog.Verifier{Store: f.log, Folds: []eventlog.Fold{f.service.Fold()}, Copy: f.bus.Copy()}
	result, err := v.Verify(t.Context(), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Difference != nil {
		t.Errorf("log %s: %v", log, result.Difference)
	}
}

func update(op authzv1.Operation, resource, relation, subject string) *authzv1.RelationshipUpdate {
	return &authzv1.RelationshipUpdate{Operation: op, Relationship: relationship(resource, relation, subject)}
}

// A write that is refused names field and rule, and writes nothing.
func TestWriteRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	before := f.head(t, org)
	hundredOne := make([]*authzv1.RelationshipUpdate, 101)
	for i := range hundredOne {
		hundredOne[i] = update(touch, fmt.Sprintf("document:%d", i), "reader", "user:anna")
	}
	good := update(touch, "document:good", "reader", "user:good")
	for name, tc := range map[string]struct {
		updates       []*authzv1.RelationshipUpdate
		preconditions []*authzv1.Precondition
		want          commonv1.Reason
	}{
		"nothing":               {nil, nil, commonv1.Reason_INVALID_FIELD},
		"more than 100":         {hundredOne, nil, commonv1.Reason_INVALID_FIELD},
		"unknown type":          {[]*authzv1.RelationshipUpdate{good, update(touch, "folder:a", "reader", "user:a")}, nil, commonv1.Reason_TYPE_UNKNOWN},
		"unknown relation":      {[]*authzv1.RelationshipUpdate{good, update(touch, "document:a", "writer", "user:a")}, nil, commonv1.Reason_RELATION_UNKNOWN},
		"computed relation":     {[]*authzv1.RelationshipUpdate{good, update(touch, "document:a", "can_read", "user:a")}, nil, commonv1.Reason_RELATIONSHIP_FORBIDDEN},
		"subject not allowed":   {[]*authzv1.RelationshipUpdate{good, update(touch, "document:a", "owner", "group:a#member")}, nil, commonv1.Reason_RELATIONSHIP_FORBIDDEN},
		"wildcard not allowed":  {[]*authzv1.RelationshipUpdate{good, update(touch, "document:a", "owner", "user:*")}, nil, commonv1.Reason_RELATIONSHIP_FORBIDDEN},
		"malformed resource":    {[]*authzv1.RelationshipUpdate{good, update(touch, "document", "reader", "user:a")}, nil, commonv1.Reason_INVALID_FIELD},
		"white space in id":     {[]*authzv1.RelationshipUpdate{good, update(touch, "document:a b", "reader", "user:a")}, nil, commonv1.Reason_INVALID_FIELD},
		"id of 257 bytes":       {[]*authzv1.RelationshipUpdate{good, update(touch, "document:"+strings.Repeat("x", 257), "reader", "user:a")}, nil, commonv1.Reason_INVALID_FIELD},
		"invalid operation":     {[]*authzv1.RelationshipUpdate{good, update(99, "document:a", "reader", "user:a")}, nil, commonv1.Reason_INVALID_FIELD},
		"create of what exists": {[]*authzv1.RelationshipUpdate{good, update(authzv1.Operation_OPERATION_CREATE, "document:plan", "reader", "user:anna")}, nil, commonv1.Reason_RELATIONSHIP_EXISTS},
		"named twice":           {[]*authzv1.RelationshipUpdate{good, good}, nil, commonv1.Reason_INVALID_FIELD},
		"precondition fails": {
			[]*authzv1.RelationshipUpdate{good},
			[]*authzv1.Precondition{{Filter: &authzv1.RelationshipFilter{Resource: "document:plan", Relation: "owner"}, MustMatch: true}},
			commonv1.Reason_PRECONDITION_FAILED,
		},
		"precondition on an unknown type": {
			[]*authzv1.RelationshipUpdate{good},
			[]*authzv1.Precondition{{Filter: &authzv1.RelationshipFilter{Resource: "folder:plan"}}},
			commonv1.Reason_TYPE_UNKNOWN,
		},
		"precondition on an unknown relation": {
			[]*authzv1.RelationshipUpdate{good},
			[]*authzv1.Precondition{{Filter: &authzv1.RelationshipFilter{Resource: "document:plan", Relation: "raeder"}}},
			commonv1.Reason_RELATION_UNKNOWN,
		},
		"precondition with a malformed subject": {
			[]*authzv1.RelationshipUpdate{good},
			[]*authzv1.Precondition{{Filter: &authzv1.RelationshipFilter{Resource: "document:plan", Subject: "an\x00na"}}},
			commonv1.Reason_INVALID_FIELD,
		},
		"precondition without id": {
			[]*authzv1.RelationshipUpdate{good},
			[]*authzv1.Precondition{{Filter: &authzv1.RelationshipFilter{Resource: "document"}}},
			commonv1.Reason_INVALID_FIELD,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
				Organization: org, Updates: tc.updates, Preconditions: tc.preconditions, IdempotencyKey: f.key(),
			})
			wantReason(t, err, tc.want)
		})
	}
	if after := f.head(t, org); after != before {
		t.Errorf("refused writes moved the head from %d to %d", before, after)
	}
	if allowed, err := f.check(t.Context(), org, "user:good", "can_read", "document:good", fullyConsistent()); err != nil || allowed {
		t.Errorf("a part of a refused write took effect: %v, %v", allowed, err)
	}
	f.verify(t, org)
}

func TestWriteIsIdempotent(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	request := &authzv1.WriteRelationshipsRequest{
		Organization: org, IdempotencyKey: "once",
		Updates: []*authzv1.RelationshipUpdate{update(authzv1.Operation_OPERATION_CREATE, "document:plan", "reader", "user:anna")},
	}
	var (
		wait   sync.WaitGroup
		tokens sync.Map
	)
	for range 16 {
		wait.Go(func() {
			answer, err := f.relationships.WriteRelationships(t.Context(), request)
			if err != nil || answer.GetEffects()[0] != authzv1.Effect_EFFECT_CREATED {
				t.Errorf("answer %v, %v; want created", answer, err)
				return
			}
			tokens.Store(answer.GetRevision(), true)
		})
	}
	wait.Wait()
	distinct := 0
	tokens.Range(func(any, any) bool { distinct++; return true })
	if head := f.head(t, org); distinct != 1 || head != 3 {
		t.Errorf("%d outcomes and head %d, want one and 3", distinct, head)
	}
	request.Updates[0].Relationship.Subject = "user:bert"
	_, err := f.relationships.WriteRelationships(t.Context(), request)
	wantReason(t, err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED)
}

// Writers of one organization lose nothing and record nothing twice.
func TestConcurrentWriters(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	const writers, each = 8, 25
	var (
		wait   sync.WaitGroup
		failed atomic.Int32
	)
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				_, err := f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
					Organization: org, IdempotencyKey: f.key(),
					Updates: []*authzv1.RelationshipUpdate{update(authzv1.Operation_OPERATION_CREATE, fmt.Sprintf("document:%d-%d", w, i), "reader", "user:anna")},
				})
				if err != nil {
					failed.Add(1)
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	wait.Wait()
	if head := f.head(t, org); failed.Load() != 0 || head != 2+writers*each {
		t.Errorf("head %d after %d writes, %d failed", head, writers*each, failed.Load())
	}
	f.verify(t, org)
}

// importAll streams messages and returns the answer.
func (f *fixture) importAll(t testing.TB, messages ...*authzv1.ImportRelationshipsRequest) (*authzv1.ImportRelationshipsResponse, error) {
	t.Helper()
	stream, err := f.relationships.ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := stream.Send(m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return stream.CloseAndReceive()
}

func TestImport(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	var messages []*authzv1.ImportRelationshipsRequest
	for m := range 3 {
		message := &authzv1.ImportRelationshipsRequest{Organization: org}
		for i := range 2500 {
			message.Relationships = append(message.Relationships, relationship(fmt.Sprintf("document:%d", m*2500+i), "reader", "user:anna"))
		}
		messages = append(messages, message)
	}
	answer, err := f.importAll(t, messages...)
	if err != nil || answer.GetCreated() != 7500 || answer.GetUnchanged() != 0 {
		t.Fatalf("import: %v, %v", answer, err)
	}
	again, err := f.importAll(t, messages...)
	if err != nil || again.GetCreated() != 0 || again.GetUnchanged() != 7500 || again.GetRevision() != answer.GetRevision() {
		t.Errorf("repeated import: %v, %v; want nothing created, revision %s", again, err, answer.GetRevision())
	}
	if allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:7499", atLeast(answer.GetRevision())); err != nil || !allowed {
		t.Errorf("check after the import: %v, %v", allowed, err)
	}
	read := 0
	for cursor := ""; ; {
		page, err := f.relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{
			Organization: org, Filter: &authzv1.RelationshipFilter{Subject: "user:anna"}, PageSize: 1000, Cursor: cursor,
		})
		if err != nil {
			t.Fatal(err)
		}
		read += len(page.GetRelationships())
		if cursor = page.GetNextCursor(); cursor == "" {
			break
		}
	}
	if read != 7500 {
		t.Errorf("read %d relationships, want 7500", read)
	}
	f.verify(t, org)
}

func TestImportRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, other := f.organization(t), f.organization(t)
	one := []*authzv1.Relationship{relationship("document:a", "reader", "user:a")}
	for name, tc := range map[string]struct {
		messages []*authzv1.ImportRelationshipsRequest
		want     commonv1.Reason
	}{
		"no organization": {[]*authzv1.ImportRelationshipsRequest{{Relationships: one}}, commonv1.Reason_INVALID_FIELD},
		"two organizations": {
			[]*authzv1.ImportRelationshipsRequest{{Organization: org, Relationships: one}, {Organization: other, Relationships: one}},
			commonv1.Reason_INVALID_FIELD,
		},
		"forbidden by the model": {
			[]*authzv1.ImportRelationshipsRequest{{Organization: org, Relationships: []*authzv1.Relationship{relationship("document:a", "owner", "user:*")}}},
			commonv1.Reason_RELATIONSHIP_FORBIDDEN,
		},
		"absent organization": {
			[]*authzv1.ImportRelationshipsRequest{{Organization: id.New(id.Organization), Relationships: one}},
			commonv1.Reason_NOT_FOUND,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.importAll(t, tc.messages...)
			wantReason(t, err, tc.want)
		})
	}
	_, err := f.importAll(t, &authzv1.ImportRelationshipsRequest{Organization: org, Relationships: one},
		&authzv1.ImportRelationshipsRequest{Relationships: []*authzv1.Relationship{relationship("document:a", "owner", "user:*")}})
	wantReason(t, err, commonv1.Reason_RELATIONSHIP_FORBIDDEN)
	if meta := metaOf(t, err); meta["message"] != "1" || meta["revision"] == "" {
		t.Errorf("how far the import came: %v; want message 1 and a revision", meta)
	}
	if head := f.head(t, other); head != 2 {
		t.Errorf("the second organization's head is %d, want 2: nothing imported", head)
	}
}

func TestReadRelationships(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	token := ""
	for _, r := range []*authzv1.Relationship{
		relationship("document:b", "reader", "group:x#member"),
		relationship("document:a", "reader", "user:anna"),
		relationship("document:a", "owner", "user:bert"),
		relationship("document:a", "reader", "user:*"),
		relationship("group:x", "member", "user:anna"),
	} {
		token = f.write(t, org, touch, r)
	}
	for name, tc := range map[string]struct {
		filter *authzv1.RelationshipFilter
		want   []string
	}{
		"all":          {nil, []string{"document:a owner user:bert", "document:a reader user:*", "document:a reader user:anna", "document:b reader group:x#member", "group:x member user:anna"}},
		"resource":     {&authzv1.RelationshipFilter{Resource: "document:a"}, []string{"document:a owner user:bert", "document:a reader user:*", "document:a reader user:anna"}},
		"type":         {&authzv1.RelationshipFilter{Resource: "group"}, []string{"group:x member user:anna"}},
		"subject":      {&authzv1.RelationshipFilter{Subject: "user:anna"}, []string{"document:a reader user:anna", "group:x member user:anna"}},
		"subject set":  {&authzv1.RelationshipFilter{Subject: "group:x#member"}, []string{"document:b reader group:x#member"}},
		"all three":    {&authzv1.RelationshipFilter{Resource: "document:a", Relation: "reader", Subject: "user:*"}, []string{"document:a reader user:*"}},
		"nothing":      {&authzv1.RelationshipFilter{Resource: "document:zzz"}, nil},
		"relation":     {&authzv1.RelationshipFilter{Relation: "owner"}, []string{"document:a owner user:bert"}},
		"subject type": {&authzv1.RelationshipFilter{Subject: "group"}, []string{"document:b reader group:x#member"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for cursor := ""; ; {
				page, err := f.relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{
					Organization: org, Filter: tc.filter, PageSize: 2, Cursor: cursor, Freshness: atLeast(token),
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range page.GetRelationships() {
					got = append(got, r.GetResource()+" "+r.GetRelation()+" "+r.GetSubject())
				}
				if cursor = page.GetNextCursor(); cursor == "" {
					break
				}
			}
			if strings.Join(got, "; ") != strings.Join(tc.want, "; ") {
				t.Errorf("read %q, want %q", got, tc.want)
			}
		})
	}
	page, err := f.relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{Organization: org, PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{
		Organization: org, Cursor: page.GetNextCursor(), Filter: &authzv1.RelationshipFilter{Resource: "document"},
	})
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
}

func TestPublishModelRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	for name, tc := range map[string]struct {
		source       string
		line, column string
	}{
		"syntax":             {"model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define reader: [user\n", "6", ""},
		"undefined type":     {"model\n  schema 1.1\ntype doc\n  relations\n    define reader: [usr]\n", "5", "21"},
		"undefined relation": {"model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define reader: writer\n", "6", ""},
		"empty":              {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
				Name: "bad", Files: []*authzv1.ModelFile{{Path: "bad.fga", Content: tc.source}}, IdempotencyKey: f.key(),
			})
			wantReason(t, err, commonv1.Reason_MODEL_INVALID)
			meta := metaOf(t, err)
			if tc.line != "" && (meta["line"] != tc.line || meta["file"] != "bad.fga") || tc.column != "" && meta["column"] != tc.column {
				t.Errorf("problem at %s:%s:%s, want bad.fga:%s:%s", meta["file"], meta["line"], meta["column"], tc.line, tc.column)
			}
		})
	}
}

func TestPublishModelAgain(t *testing.T) {
	f := newFixture(t, authz.Config{})
	publish := func(source string) *authzv1.PublishModelResponse {
		t.Helper()
		answer, err := f.models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
			Name: "test", Files: []*authzv1.ModelFile{{Path: "model.fga", Content: source}}, IdempotencyKey: f.key(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	first, commented := publish(model), publish("# a comment changes nothing\n"+model)
	if first.GetModel().GetId() != commented.GetModel().GetId() || first.GetRevision() != commented.GetRevision() {
		t.Errorf("the same model twice: %s and %s", first.GetModel().GetId(), commented.GetModel().GetId())
	}
	listed, err := f.models.ListModels(t.Context(), &authzv1.ListModelsRequest{})
	if err != nil || len(listed.GetModels()) != 1 {
		t.Errorf("%d models, %v; want one", len(listed.GetModels()), err)
	}
	read, err := f.models.ReadModel(t.Context(), &authzv1.ReadModelRequest{Model: first.GetModel().GetId()})
	if err != nil || read.GetModel().GetFiles()[0].GetContent() != model {
		t.Errorf("read model: %v, %v", read, err)
	}
	f.verify(t, id.Platform)
}

func metaOf(t *testing.T, err error) map[string]string {
	t.Helper()
	var failed *connect.Error
	if !errors.As(err, &failed) {
		t.Fatalf("%v is no connect error", err)
	}
	return fromConnect(failed)
}
