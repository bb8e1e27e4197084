package authz_test

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// export reads a whole export and returns its messages.
func (f *fixture) export(t testing.TB, req *authzv1.ExportRelationshipsRequest) ([]*authzv1.ExportRelationshipsResponse, error) {
	t.Helper()
	stream, err := f.relationships.ExportRelationships(t.Context(), req)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var out []*authzv1.ExportRelationshipsResponse
	for stream.Receive() {
		out = append(out, stream.Msg())
	}
	return out, stream.Err()
}

// texts are the relationships of an export, sorted.
func texts(messages []*authzv1.ExportRelationshipsResponse) (out []string) {
	for _, m := range messages {
		for _, r := range m.GetRelationships() {
			out = append(out, r.GetResource()+"#"+r.GetRelation()+"@"+r.GetSubject())
		}
	}
	slices.Sort(out)
	return out
}

// An export has every relationship once, in bounded messages at one revision,
// and says that it is whole.
func TestExport(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	stream, err := f.relationships.ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	message := &authzv1.ImportRelationshipsRequest{Organization: org}
	for i := range 2500 {
		r := relationship(fmt.Sprintf("document:%d", i%50), "reader", fmt.Sprintf("user:%d", i))
		message.Relationships = append(message.Relationships, r)
		want = append(want, r.GetResource()+"#reader@"+r.GetSubject())
	}
	if err := stream.Send(message); err != nil {
		t.Fatal(err)
	}
	imported, err := stream.CloseAndReceive()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	messages, err := f.export(t, &authzv1.ExportRelationshipsRequest{Organization: org, Freshness: atLeast(imported.GetRevision())})
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(messages); !slices.Equal(got, want) {
		t.Errorf("%d relationships exported, want the %d imported", len(got), len(want))
	}
	for i, m := range messages {
		if len(m.GetRelationships()) > 1000 || proto.Size(m) > 2<<20 {
			t.Errorf("message %d has %d relationships and %d bytes", i, len(m.GetRelationships()), proto.Size(m))
		}
		if m.GetEvaluatedAt().GetRevision() != imported.GetRevision() || m.GetComplete() != (i == len(messages)-1) {
			t.Errorf("message %d of %d is at %q, complete: %v", i, len(messages), m.GetEvaluatedAt().GetRevision(), m.GetComplete())
		}
	}
}

func TestExportFilters(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	var token string
	for _, r := range []*authzv1.Relationship{
		relationship("document:plan", "reader", "user:anna"), relationship("document:plan", "owner", "user:bea"),
		relationship("group:eng", "member", "user:anna"), relationship("document:other", "reader", "group:eng#member"),
	} {
		token = f.write(t, org, touch, r)
	}
	for name, tc := range map[string]struct {
		filter *authzv1.RelationshipFilter
		want   []string
	}{
		"all":          {nil, []string{"document:other#reader@group:eng#member", "document:plan#owner@user:bea", "document:plan#reader@user:anna", "group:eng#member@user:anna"}},
		"a resource":   {&authzv1.RelationshipFilter{Resource: "document:plan"}, []string{"document:plan#owner@user:bea", "document:plan#reader@user:anna"}},
		"a type":       {&authzv1.RelationshipFilter{Resource: "group"}, []string{"group:eng#member@user:anna"}},
		"a subject":    {&authzv1.RelationshipFilter{Subject: "user:anna"}, []string{"document:plan#reader@user:anna", "group:eng#member@user:anna"}},
		"two at once":  {&authzv1.RelationshipFilter{Resource: "document", Subject: "user:anna"}, []string{"document:plan#reader@user:anna"}},
		"what is none": {&authzv1.RelationshipFilter{Resource: "document:absent"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			messages, err := f.export(t, &authzv1.ExportRelationshipsRequest{Organization: org, Filter: tc.filter, Freshness: atLeast(token)})
			if err != nil {
				t.Fatal(err)
			}
			if got := texts(messages); !slices.Equal(got, tc.want) || !messages[len(messages)-1].GetComplete() {
				t.Errorf("exported %q, want %q; complete: %v", got, tc.want, messages[len(messages)-1].GetComplete())
			}
		})
	}
	for name, tc := range map[string]struct {
		request     *authzv1.ExportRelationshipsRequest
		want        commonv1.Reason
		field, rule string
	}{
		"no organization":     {&authzv1.ExportRelationshipsRequest{}, commonv1.Reason_INVALID_FIELD, "organization", "string.pattern"},
		"absent organization": {&authzv1.ExportRelationshipsRequest{Organization: id.New(id.Organization)}, commonv1.Reason_NOT_FOUND, "", ""},
		"resource":            {&authzv1.ExportRelationshipsRequest{Organization: org, Filter: &authzv1.RelationshipFilter{Resource: "document: "}}, commonv1.Reason_INVALID_FIELD, "filter.resource", "character"},
		"relation":            {&authzv1.ExportRelationshipsRequest{Organization: org, Filter: &authzv1.RelationshipFilter{Relation: "Reader!"}}, commonv1.Reason_INVALID_FIELD, "filter.relation", "relation_name"},
		"subject":             {&authzv1.ExportRelationshipsRequest{Organization: org, Filter: &authzv1.RelationshipFilter{Subject: "user:a#"}}, commonv1.Reason_INVALID_FIELD, "filter.subject", "relation_name"},
		"revision":            {&authzv1.ExportRelationshipsRequest{Organization: org, Freshness: atLeast("later")}, commonv1.Reason_REVISION_MALFORMED, "freshness.at_least", "revision_token"},
		"revision to come":    {&authzv1.ExportRelationshipsRequest{Organization: org, Freshness: atLeast(tokenOf(t, org, 999))}, commonv1.Reason_REVISION_UNKNOWN, "freshness.at_least", ""},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			messages, err := f.export(t, tc.request)
			wantReason(t, err, tc.want)
			if meta := fromConnect(err); messages != nil || meta["field"] != tc.field || meta["rule"] != tc.rule {
				t.Errorf("field %q and rule %q, want %q and %q", meta["field"], meta["rule"], tc.field, tc.rule)
			}
		})
	}
}
