package authz_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// conditional is the test's model with a condition.
var conditional = strings.Replace(model, "define reader: [user,", "define reader: [user with from_office,user,", 1) + `
condition from_office(ip: string, floor: int) {
  ip == "10.0.0.1" && floor > 1
}
`

func (f *fixture) conditionalOrganization(t testing.TB) string {
	t.Helper()
	org := f.organization(t)
	token := f.assign(t, org, conditional)
	if _, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token)); err != nil {
		t.Fatal(err)
	}
	return org
}

func values(t testing.TB, of map[string]any) *structpb.Struct {
	t.Helper()
	out, err := structpb.NewStruct(of)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// inOffice holds under the condition.
func inOffice(resource, subject string) *authzv1.Relationship {
	return &authzv1.Relationship{Resource: resource, Relation: "reader", Subject: subject, Condition: &authzv1.Condition{Name: "from_office"}}
}

const (
	allow         = authzv1.Decision_DECISION_ALLOW
	deny          = authzv1.Decision_DECISION_DENY
	conditionally = authzv1.Decision_DECISION_CONDITIONAL
)

func TestCircumstances(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditionalOrganization(t)
	under := func(context map[string]any, relationships ...*authzv1.Relationship) *authzv1.Circumstances {
		return &authzv1.Circumstances{Context: values(t, context), Relationships: relationships}
	}
	plan := inOffice("document:plan", "user:anna")
	expired := relationship("document:plan", "reader", "user:anna")
	expired.ExpiresAt = &timestamppb.Timestamp{Seconds: 1}
	for name, tc := range map[string]struct {
		under   *authzv1.Circumstances
		want    authzv1.Decision
		missing []string
	}{
		"nothing":                   {nil, deny, nil},
		"a contextual relationship": {under(nil, relationship("document:plan", "reader", "user:anna")), allow, nil},
		"through a contextual group": {
			under(nil, relationship("group:a", "member", "user:anna"), relationship("document:plan", "reader", "group:a#member")), allow, nil,
		},
		"one that has expired":     {under(nil, expired), deny, nil},
		"without parameters":       {under(nil, plan), conditionally, []string{"floor", "ip"}},
		"with one of two":          {under(map[string]any{"ip": "10.0.0.1"}, plan), conditionally, []string{"floor"}},
		"with a false one":         {under(map[string]any{"ip": "10.0.0.2", "floor": 3}, plan), deny, nil},
		"with both":                {under(map[string]any{"ip": "10.0.0.1", "floor": 3}, plan), allow, nil},
		"with more than there are": {under(map[string]any{"ip": "10.0.0.1", "floor": 3, "x": []any{1}}, plan), allow, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := f.checks.Check(t.Context(), &authzv1.CheckRequest{
				Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", Circumstances: tc.under,
			})
			if err != nil || got.GetDecision() != tc.want || !slices.Equal(got.GetMissingContext(), tc.missing) {
				t.Errorf("check: %v, %v; want %v %v", got, err, tc.want, tc.missing)
			}
			why, err := f.checks.Explain(t.Context(), &authzv1.ExplainRequest{
				Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", Circumstances: tc.under,
			})
			if err != nil || why.GetDecision() != tc.want || !slices.Equal(why.GetMissingContext(), tc.missing) || why.GetRoot().GetDecision() != tc.want {
				t.Errorf("explain: %v, %v; want %v %v", why, err, tc.want, tc.missing)
			}
		})
	}
}

// badCircumstances are refused, each with a reason and the field.
func badCircumstances(t testing.TB) map[string]struct {
	under  *authzv1.Circumstances
	reason commonv1.Reason
	field  string
} {
	with := func(r ...*authzv1.Relationship) *authzv1.Circumstances {
		return &authzv1.Circumstances{Relationships: r}
	}
	plan := relationship("document:plan", "reader", "user:anna")
	return map[string]struct {
		under  *authzv1.Circumstances
		reason commonv1.Reason
		field  string
	}{
		"5 KiB of context": {
			&authzv1.Circumstances{Context: values(t, map[string]any{"ip": strings.Repeat("x", 5000)})},
			commonv1.Reason_INVALID_FIELD, "circumstances.context",
		},
		"101 relationships": {
			with(slices.Repeat([]*authzv1.Relationship{plan}, 101)...), commonv1.Reason_INVALID_FIELD, "circumstances.relationships",
		},
		"one with two terms": {with(plan, later(plan)), commonv1.Reason_INVALID_FIELD, "circumstances.relationships[1].relationship"},
		"no such type": {
			with(plan, relationship("folder:plan", "reader", "user:anna")), commonv1.Reason_TYPE_UNKNOWN, "circumstances.relationships[1].resource",
		},
		"no such relation": {
			with(relationship("document:plan", "writer", "user:anna")), commonv1.Reason_RELATION_UNKNOWN, "circumstances.relationships[0].relation",
		},
		"a computed one": {
			with(relationship("document:plan", "can_read", "user:anna")), commonv1.Reason_RELATIONSHIP_FORBIDDEN, "circumstances.relationships[0].relation",
		},
		"no such condition": {
			with(&authzv1.Relationship{Resource: "document:plan", Relation: "reader", Subject: "user:anna", Condition: &authzv1.Condition{Name: "at_night"}}),
			commonv1.Reason_CONDITION_UNKNOWN, "circumstances.relationships[0].condition.name",
		},
		"a parameter of another type": {
			&authzv1.Circumstances{
				Context: values(t, map[string]any{"ip": 7, "floor": 3}), Relationships: []*authzv1.Relationship{inOffice("document:plan", "user:anna")},
			},
			commonv1.Reason_CONTEXT_INVALID, "circumstances.context",
		},
	}
}

func TestCircumstancesAreChecked(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditionalOrganization(t)
	for name, tc := range badCircumstances(t) {
		t.Run(name, func(t *testing.T) {
			_, err := f.checks.Check(t.Context(), &authzv1.CheckRequest{
				Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", Circumstances: tc.under,
			})
			wantReason(t, err, tc.reason)
			if got := fromConnect(err)["field"]; got != tc.field {
				t.Errorf("field %q, want %q", got, tc.field)
			}
			_, err = f.lookups.ListObjects(t.Context(), &authzv1.ListObjectsRequest{
				Organization: org, Subject: "user:anna", Permission: "can_read", ResourceType: "document", Circumstances: tc.under,
			})
			wantReason(t, err, tc.reason)
		})
	}
}

// A context of 64 KiB is refused with its field and rule, of a question and of a
// relationship that is stored.
func TestLargeContexts(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditionalOrganization(t)
	large := values(t, map[string]any{"ip": strings.Repeat("x", 64<<10)})
	_, err := f.checks.Check(t.Context(), &authzv1.CheckRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", Circumstances: &authzv1.Circumstances{Context: large},
	})
	refused := func(err error, field string) {
		t.Helper()
		wantReason(t, err, commonv1.Reason_INVALID_FIELD)
		if meta := fromConnect(err); meta["field"] != field || meta["rule"] != "length" {
			t.Errorf("%v, want field %s and rule length", meta, field)
		}
	}
	refused(err, "circumstances.context")
	stored := inOffice("document:plan", "user:anna")
	stored.Condition.Context = large
	_, err = f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
		Organization: org, IdempotencyKey: f.key(), Updates: []*authzv1.RelationshipUpdate{{Operation: touch, Relationship: stored}},
	})
	refused(err, "updates[0].relationship.condition.context")
}

func TestRequireDecided(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditionalOrganization(t)
	req := &authzv1.CheckRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", RequireDecided: true,
		Circumstances: &authzv1.Circumstances{Relationships: []*authzv1.Relationship{inOffice("document:plan", "user:anna")}},
	}
	_, err := f.checks.Check(t.Context(), req)
	wantReason(t, err, commonv1.Reason_CONDITION_UNDECIDED)
	if got := fromConnect(err)["missing"]; got != "floor,ip" {
		t.Errorf("missing %q, want floor,ip", got)
	}
	req.Circumstances.Context = values(t, map[string]any{"ip": "10.0.0.1", "floor": 2})
	if got, err := f.checks.Check(t.Context(), req); err != nil || got.GetDecision() != allow {
		t.Errorf("with all parameters: %v, %v", got, err)
	}
}

func TestBatchCheck(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditionalOrganization(t)
	token := f.write(t, org, touch, relationship("document:plan", "owner", "user:anna"))
	item := func(subject, permission, resource string, under *authzv1.Circumstances) *authzv1.BatchCheckItem {
		return &authzv1.BatchCheckItem{Subject: subject, Permission: permission, Resource: resource, Circumstances: under}
	}
	floor := &authzv1.Circumstances{Context: values(t, map[string]any{"floor": 2})}
	elsewhere := &authzv1.Circumstances{Context: values(t, map[string]any{"floor": 2, "ip": "10.0.0.9"})}
	own := &authzv1.Circumstances{Relationships: []*authzv1.Relationship{relationship("document:memo", "reader", "user:dora")}}
	items := []struct {
		*authzv1.BatchCheckItem
		want string
	}{
		{item("user:anna", "can_read", "document:plan", nil), "DECISION_ALLOW []"},
		{item("user:bert", "can_read", "document:plan", nil), "DECISION_CONDITIONAL [floor]"},
		{item("user:bert", "can_read", "document:plan", floor), "DECISION_ALLOW []"},
		{item("user:bert", "can_read", "document:plan", elsewhere), "DECISION_DENY []"},
		{item("user:dora", "can_read", "document:memo", own), "DECISION_ALLOW []"},
		{item("user:dora", "can_read", "document:memo", nil), "DECISION_DENY []"},
		{item("user:anna", "can_fly", "document:plan", nil), "RELATION_UNKNOWN permission"},
		{item("user:anna", "can_read", "folder:plan", nil), "TYPE_UNKNOWN resource"},
		{item("", "can_read", "document:plan", nil), "INVALID_FIELD subject"},
		{item("user:an na", "can_read", "document:plan", nil), "INVALID_FIELD subject"},
		{item("user:anna", "can_read", "document:plan", nil), "DECISION_ALLOW []"},
	}
	for name, tc := range badCircumstances(t) {
		if name == "101 relationships" {
			continue // refused for the whole request
		}
		under := tc.under
		if tc.reason == commonv1.Reason_CONTEXT_INVALID { // carl has a relationship that asks for the parameter
			under = &authzv1.Circumstances{Context: under.GetContext(), Relationships: []*authzv1.Relationship{inOffice("document:plan", "user:carl")}}
		}
		items = append(items, struct {
			*authzv1.BatchCheckItem
			want string
		}{item("user:carl", "can_read", "document:plan", under), tc.reason.String() + " " + tc.field})
	}
	req := &authzv1.BatchCheckRequest{Organization: org, Freshness: atLeast(token), Circumstances: &authzv1.Circumstances{
		Context: values(t, map[string]any{"ip": "10.0.0.1"}), Relationships: []*authzv1.Relationship{inOffice("document:plan", "user:bert")},
	}}
	for _, i := range items {
		req.Items = append(req.Items, i.BatchCheckItem)
	}
	answer, err := f.checks.BatchCheck(t.Context(), req)
	if err != nil || len(answer.GetResults()) != len(items) || answer.GetEvaluatedAt().GetRevision() != token || answer.GetModel() == "" {
		t.Fatalf("%v, %v", answer, err)
	}
	for i, result := range answer.GetResults() {
		got := fmt.Sprint(result.GetDecision(), " ", result.GetMissingContext())
		if result.GetError() != nil {
			got = result.GetError().GetReason() + " " + result.GetError().GetMetadata()["field"]
			if result.GetError().GetMessage() == "" || result.GetDecision() != 0 {
				t.Errorf("item %d: %v, want a message and no decision", i, result)
			}
		}
		if got != items[i].want {
			t.Errorf("item %d (%v): %s, want %s", i, items[i].BatchCheckItem, got, items[i].want)
		}
	}
	req.RequireDecided = true
	answer, err = f.checks.BatchCheck(t.Context(), req)
	if err != nil || answer.GetResults()[1].GetError().GetReason() != "CONDITION_UNDECIDED" ||
		answer.GetResults()[1].GetError().GetMetadata()["missing"] != "floor" || answer.GetResults()[0].GetDecision() != allow {
		t.Errorf("with decisions required: %v, %v", answer.GetResults()[:2], err)
	}
}

func TestBatchCheckRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditionalOrganization(t)
	one := &authzv1.BatchCheckItem{Subject: "user:anna", Permission: "can_read", Resource: "document:plan"}
	type request struct {
		*authzv1.BatchCheckRequest
		reason commonv1.Reason
	}
	cases := map[string]request{
		"no item":             {&authzv1.BatchCheckRequest{Organization: org}, commonv1.Reason_INVALID_FIELD},
		"201 items":           {&authzv1.BatchCheckRequest{Organization: org, Items: slices.Repeat([]*authzv1.BatchCheckItem{one}, 201)}, commonv1.Reason_INVALID_FIELD},
		"absent organization": {&authzv1.BatchCheckRequest{Organization: id.New(id.Organization), Items: []*authzv1.BatchCheckItem{one}}, commonv1.Reason_NOT_FOUND},
		"malformed revision": {
			&authzv1.BatchCheckRequest{Organization: org, Items: []*authzv1.BatchCheckItem{one}, Freshness: atLeast("garbage")},
			commonv1.Reason_REVISION_MALFORMED,
		},
	}
	for name, tc := range badCircumstances(t) {
		if tc.reason != commonv1.Reason_CONTEXT_INVALID { // only found out when it is asked for
			cases["circumstances: "+name] = request{&authzv1.BatchCheckRequest{
				Organization: org, Items: []*authzv1.BatchCheckItem{one}, Circumstances: tc.under,
			}, tc.reason}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			_, err := f.checks.BatchCheck(t.Context(), cases[name].BatchCheckRequest)
			wantReason(t, err, cases[name].reason)
		})
	}
	full := &authzv1.BatchCheckRequest{Organization: org, Items: slices.Repeat([]*authzv1.BatchCheckItem{one}, 200)}
	if answer, err := f.checks.BatchCheck(context.Background(), full); err != nil || len(answer.GetResults()) != 200 {
		t.Errorf("200 items: %v", err)
	}
}

// later is a relationship with an expiry.
func later(r *authzv1.Relationship) *authzv1.Relationship {
	return &authzv1.Relationship{
		Resource: r.GetResource(), Relation: r.GetRelation(), Subject: r.GetSubject(),
		ExpiresAt: &timestamppb.Timestamp{Seconds: 5_000_000_000},
	}
}
