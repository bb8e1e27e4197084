package authz_test

import (
	"testing"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// without lacks the groups and the readers of the model before it.
const without = `model
  schema 1.1

type user

type document
  relations
    define owner: [user]
`

// A filter with a name that the model does not have is refused by reads, exports
// and watches that begin now, unless what is stored has it.
func TestFiltersOfTheModel(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	before := tokenOf(t, org, f.head(t, org))
	f.write(t, org, touch, relationship("group:eng", "member", "user:anna"))
	f.write(t, org, touch, relationship("document:plan", "reader", "group:eng#member"))
	type names struct {
		filter *authzv1.RelationshipFilter
		want   commonv1.Reason
		field  string
	}
	try := func(t *testing.T, tc names) {
		t.Helper()
		_, read := f.relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{Organization: org, Filter: tc.filter, Freshness: fullyConsistent()})
		_, exported := f.export(t, &authzv1.ExportRelationshipsRequest{Organization: org, Filter: tc.filter, Freshness: fullyConsistent()})
		watched := f.beginning(t, &authzv1.WatchRequest{Organization: org, Filters: []*authzv1.RelationshipFilter{tc.filter}})
		for call, answer := range map[string]struct {
			err    error
			prefix string
		}{"read": {read, "filter."}, "export": {exported, "filter."}, "watch": {watched, "filters[0]."}} {
			if tc.want == 0 {
				if answer.err != nil {
					t.Errorf("%s: %v, want an answer", call, answer.err)
				}
				continue
			}
			wantReason(t, answer.err, tc.want)
			if got, want := metaOf(t, answer.err)["field"], answer.prefix+tc.field; got != want {
				t.Errorf("%s: field is %q, want %q", call, got, want)
			}
		}
		if err := f.beginning(t, &authzv1.WatchRequest{Organization: org, After: before, Filters: []*authzv1.RelationshipFilter{tc.filter}}); err != nil {
			t.Errorf("a watch that goes on: %v", err)
		}
	}
	typeUnknown, relationUnknown := commonv1.Reason_TYPE_UNKNOWN, commonv1.Reason_RELATION_UNKNOWN
	for name, tc := range map[string]names{
		"nothing stored":            {&authzv1.RelationshipFilter{Resource: "document:other"}, 0, ""},
		"type":                      {&authzv1.RelationshipFilter{Resource: "folder"}, typeUnknown, "resource"},
		"object of a type":          {&authzv1.RelationshipFilter{Resource: "folder:a"}, typeUnknown, "resource"},
		"type of subjects":          {&authzv1.RelationshipFilter{Subject: "usr:anna"}, typeUnknown, "subject"},
		"relation of subjects":      {&authzv1.RelationshipFilter{Subject: "group:eng#membr"}, relationUnknown, "subject"},
		"relation of a type":        {&authzv1.RelationshipFilter{Resource: "document", Relation: "member"}, relationUnknown, "relation"},
		"relation of no type":       {&authzv1.RelationshipFilter{Relation: "membr"}, relationUnknown, "relation"},
		"relation of another type":  {&authzv1.RelationshipFilter{Relation: "member", Subject: "user:absent"}, 0, ""},
		"permission without stored": {&authzv1.RelationshipFilter{Resource: "document", Relation: "can_read"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) { try(t, tc) })
	}
	next := f.publishedModel(t, without)
	if _, err := f.models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: next}, AllowOrphans: true, IdempotencyKey: f.key(),
	}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]names{
		"type that is stored":         {&authzv1.RelationshipFilter{Resource: "group"}, 0, ""},
		"relation that is stored":     {&authzv1.RelationshipFilter{Relation: "reader"}, 0, ""},
		"subject that is stored":      {&authzv1.RelationshipFilter{Subject: "group:eng#member"}, 0, ""},
		"object that is not stored":   {&authzv1.RelationshipFilter{Resource: "group:other"}, typeUnknown, "resource"},
		"relation that is not stored": {&authzv1.RelationshipFilter{Relation: "banned"}, relationUnknown, "relation"},
	} {
		t.Run("of an older model: "+name, func(t *testing.T) { try(t, tc) })
	}
}

// beginning begins a watch and returns its error before its first message.
func (f *fixture) beginning(t testing.TB, request *authzv1.WatchRequest) error {
	t.Helper()
	stream, err := f.relationships.Watch(t.Context(), request)
	if err != nil {
		return err
	}
	defer stream.Close()
	if stream.Receive() {
		return nil
	}
	return stream.Err()
}
