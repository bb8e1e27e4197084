package authz_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

const conditionalModel = `model
  schema 1.1

type user

type document
  relations
    define reader: [user, user with office, user:* with office]
    define owner: [user]
    define can_read: reader

condition office(hour: int, zones: list<string>) {
  hour >= 9 && hour < 17
}
`

// conditional is an organization whose model has the condition office.
func (f *fixture) conditional(t testing.TB) string {
	t.Helper()
	org := id.New(id.Organization)
	f.append(t, org, 0, &eventv1.OrganizationCreated{Organization: org, Slug: org, Name: org, HomeRegion: region})
	f.assign(t, org, conditionalModel)
	return org
}

func condition(t testing.TB, name string, values map[string]any) *authzv1.Condition {
	t.Helper()
	s, err := structpb.NewStruct(values)
	if err != nil {
		t.Fatal(err)
	}
	return &authzv1.Condition{Name: name, Context: s}
}

// reader is document:plan#reader@user:anna with terms.
func reader(c *authzv1.Condition, expires *timestamppb.Timestamp) *authzv1.Relationship {
	r := relationship("document:plan", "reader", "user:anna")
	r.Condition, r.ExpiresAt = c, expires
	return r
}

func (f *fixture) effect(t testing.TB, org string, op authzv1.Operation, r *authzv1.Relationship) (authzv1.Effect, string) {
	t.Helper()
	written, err := f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
		Organization: org, IdempotencyKey: f.key(), Updates: []*authzv1.RelationshipUpdate{{Operation: op, Relationship: r}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return written.GetEffects()[0], written.GetRevision()
}

// read returns all relationships of an organization.
func (f *fixture) read(t testing.TB, org, token string) []*authzv1.Relationship {
	t.Helper()
	page, err := f.relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{Organization: org, Freshness: atLeast(token)})
	if err != nil {
		t.Fatal(err)
	}
	return page.GetRelationships()
}

// Terms are written, replaced, read, exported, watched and followed by checks.
func TestTerms(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditional(t)
	day := condition(t, "office", map[string]any{"hour": 10, "zones": []any{"eu", "us"}})
	night := condition(t, "office", map[string]any{"hour": 3})
	later := timestamppb.New(f.clock().Add(time.Hour).Truncate(time.Second))
	w := f.watch(t, org, "")
	for _, step := range []struct {
		name    string
		r       *authzv1.Relationship
		effect  authzv1.Effect
		allowed bool
	}{
		{"with a condition that holds", reader(day, nil), authzv1.Effect_EFFECT_CREATED, true},
		{"the same again", reader(day, nil), authzv1.Effect_EFFECT_UNCHANGED, true},
		{"with an expiry", reader(day, later), authzv1.Effect_EFFECT_UPDATED, true},
		{"with other values", reader(night, later), authzv1.Effect_EFFECT_UPDATED, false},
		{"without terms", reader(nil, nil), authzv1.Effect_EFFECT_UPDATED, true},
	} {
		effect, token := f.effect(t, org, touch, step.r)
		if effect != step.effect {
			t.Errorf("%s: %v, want %v", step.name, effect, step.effect)
		}
		if allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token)); err != nil || allowed != step.allowed {
			t.Errorf("%s: check %v, %v; want %v", step.name, allowed, err, step.allowed)
		}
		if got := f.read(t, org, token); len(got) != 1 || !proto.Equal(got[0], step.r) {
			t.Errorf("%s: read %v, want %v", step.name, got, step.r)
		}
		exported, err := f.export(t, &authzv1.ExportRelationshipsRequest{Organization: org, Freshness: atLeast(token)})
		if err != nil || !proto.Equal(exported[0].GetRelationships()[0], step.r) {
			t.Errorf("%s: exported %v, %v; want %v", step.name, exported, err, step.r)
		}
		if effect == authzv1.Effect_EFFECT_UNCHANGED {
			continue
		}
		m := w.next(t)
		for m.GetChanges() == nil {
			m = w.next(t)
		}
		if got := m.GetChanges().GetChanges()[0].GetRelationship(); !proto.Equal(got, step.r) {
			t.Errorf("%s: watched %v, want %v", step.name, got, step.r)
		}
	}
	f.verify(t, org)
}

// Each rule of terms is told by field and rule, by writes and imports alike, and
// nothing is written.
func TestTermsRefused(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditional(t)
	before := f.head(t, org)
	deep := any("x")
	for range 20 {
		deep = []any{deep}
	}
	office := func(values map[string]any) *authzv1.Condition { return condition(t, "office", values) }
	for name, tc := range map[string]struct {
		r           *authzv1.Relationship
		want        commonv1.Reason
		field, rule string
	}{
		"unknown condition":           {reader(condition(t, "ofice", nil), nil), commonv1.Reason_CONDITION_UNKNOWN, "condition.name", "condition_of_model"},
		"no name":                     {reader(&authzv1.Condition{}, nil), commonv1.Reason_INVALID_FIELD, "condition.name", "string.min_len"},
		"long name":                   {reader(&authzv1.Condition{Name: strings.Repeat("x", 65)}, nil), commonv1.Reason_INVALID_FIELD, "condition.name", "string.max_bytes"},
		"value of another type":       {reader(office(map[string]any{"hour": "nine"}), nil), commonv1.Reason_CONTEXT_INVALID, "condition.context", "parameter_type"},
		"fraction for a whole number": {reader(office(map[string]any{"hour": 9.5}), nil), commonv1.Reason_CONTEXT_INVALID, "condition.context", "parameter_type"},
		"unknown parameter":           {reader(office(map[string]any{"our": 9}), nil), commonv1.Reason_CONTEXT_INVALID, "condition.context", "parameter_type"},
		"not a number":                {reader(office(map[string]any{"hour": math.NaN()}), nil), commonv1.Reason_INVALID_FIELD, "condition.context", "number"},
		"not a number, deep inside":   {reader(office(map[string]any{"zones": []any{map[string]any{"x": math.NaN()}}}), nil), commonv1.Reason_INVALID_FIELD, "condition.context", "number"},
		"infinite":                    {reader(office(map[string]any{"hour": math.Inf(1)}), nil), commonv1.Reason_INVALID_FIELD, "condition.context", "number"},
		"too deep":                    {reader(office(map[string]any{"zones": deep}), nil), commonv1.Reason_INVALID_FIELD, "condition.context", "depth"},
		"larger than 32 KiB":          {reader(office(map[string]any{"zones": []any{strings.Repeat("x", 32<<10)}}), nil), commonv1.Reason_INVALID_FIELD, "condition.context", "length"},
		"expired":                     {reader(nil, timestamppb.New(f.clock())), commonv1.Reason_INVALID_FIELD, "expires_at", "future"},
		"expires at 1970":             {reader(nil, &timestamppb.Timestamp{}), commonv1.Reason_INVALID_FIELD, "expires_at", "future"},
		"expires before 1970":         {reader(nil, &timestamppb.Timestamp{Seconds: -1}), commonv1.Reason_INVALID_FIELD, "expires_at", "future"},
		"no time":                     {reader(nil, &timestamppb.Timestamp{Seconds: 1 << 62}), commonv1.Reason_INVALID_FIELD, "expires_at", "timestamp"},
		"condition where none may be": {
			func() *authzv1.Relationship {
				r := relationship("document:plan", "owner", "user:anna")
				r.Condition = office(nil)
				return r
			}(), commonv1.Reason_RELATIONSHIP_FORBIDDEN, "condition", "type_restriction",
		},
		"no condition where one must be": {
			relationship("document:plan", "reader", "user:*"), commonv1.Reason_RELATIONSHIP_FORBIDDEN, "condition", "type_restriction",
		},
	} {
		t.Run(name, func(t *testing.T) {
			good := relationship("document:good", "reader", "user:good")
			_, err := f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
				Organization: org, IdempotencyKey: f.key(),
				Updates: []*authzv1.RelationshipUpdate{{Operation: touch, Relationship: good}, {Operation: touch, Relationship: tc.r}},
			})
			wantField(t, err, tc.want, "updates[1].relationship."+tc.field, tc.rule)
			stream, err := f.relationships.ImportRelationships(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(&authzv1.ImportRelationshipsRequest{Organization: org, Relationships: []*authzv1.Relationship{good, tc.r}})
			_, err = stream.CloseAndReceive()
			wantField(t, err, tc.want, "relationships[1]."+tc.field, tc.rule)
		})
	}
	if after := f.head(t, org); after != before {
		t.Errorf("refused relationships moved the head from %d to %d", before, after)
	}
}

func wantField(t *testing.T, err error, want commonv1.Reason, field, rule string) {
	t.Helper()
	wantReason(t, err, want)
	if meta := fromConnect(err); meta["field"] != field || meta["rule"] != rule {
		t.Errorf("field %q and rule %q, want %q and %q", meta["field"], meta["rule"], field, rule)
	}
}

// An import counts what it made, what got other terms and what was so already;
// of two with one name in a message the later counts.
func TestImportTerms(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditional(t)
	day := condition(t, "office", map[string]any{"hour": 10})
	plain := func(i int) *authzv1.Relationship {
		return relationship(fmt.Sprintf("document:%d", i), "reader", "user:anna")
	}
	with := func(i int) *authzv1.Relationship {
		r := plain(i)
		r.Condition = day
		return r
	}
	for i, tc := range []struct {
		send                        []*authzv1.Relationship
		created, updated, unchanged uint64
	}{
		{[]*authzv1.Relationship{plain(1), with(2), plain(3)}, 3, 0, 0},
		{[]*authzv1.Relationship{plain(1), with(2), plain(3)}, 0, 0, 3},
		{[]*authzv1.Relationship{plain(4), with(1), plain(2), plain(3)}, 1, 2, 1},
		{[]*authzv1.Relationship{plain(5), with(5)}, 1, 0, 1},
	} {
		before := f.head(t, org)
		stream, err := f.relationships.ImportRelationships(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&authzv1.ImportRelationshipsRequest{Organization: org, Relationships: tc.send}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.CloseAndReceive()
		if err != nil || got.GetCreated() != tc.created || got.GetUpdated() != tc.updated || got.GetUnchanged() != tc.unchanged {
			t.Errorf("import %d: %v, %v; want %d created, %d updated, %d unchanged", i, got, err, tc.created, tc.updated, tc.unchanged)
		}
		if moved := f.head(t, org) != before; moved != (tc.created+tc.updated > 0) {
			t.Errorf("import %d moved the head: %v", i, moved)
		}
	}
	var conditional []string
	for _, r := range f.read(t, org, tokenOf(t, org, f.head(t, org))) {
		if r.GetCondition() != nil {
			conditional = append(conditional, r.GetResource())
		}
	}
	if want := []string{"document:1", "document:5"}; !slices.Equal(conditional, want) {
		t.Errorf("%q have a condition, want %q", conditional, want)
	}
	f.verify(t, org)
}

// What has expired counts as absent at once, is removed from the rows soon, and
// the removal is told as what it is.
func TestExpiry(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditional(t)
	w := f.watch(t, org, "")
	expires := timestamppb.New(f.clock().Add(time.Hour))
	_, token := f.effect(t, org, touch, reader(nil, expires))
	f.effect(t, org, touch, relationship("document:kept", "reader", "user:anna"))
	if allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token)); err != nil || !allowed {
		t.Fatalf("before: %v, %v", allowed, err)
	}
	f.ahead.Store(int64(2 * time.Hour))
	want := []string{
		"written document:plan#reader@user:anna", "written document:kept#reader@user:anna", "expired document:plan#reader@user:anna",
	}
	if got := w.changes(t, 3); !slices.Equal(got, want) {
		t.Errorf("watched %q, want %q", got, want)
	}
	if got := f.read(t, org, w.last); len(got) != 1 || got[0].GetResource() != "document:kept" {
		t.Errorf("after the sweep there are %v", got)
	}
	f.verify(t, org)
}

// Writes take what has expired and is not removed yet for absent.
func TestWriteOverExpired(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.conditional(t)
	f.effect(t, org, touch, reader(nil, timestamppb.New(f.clock().Add(time.Hour))))
	f.effect(t, org, touch, relationship("document:plan", "owner", "user:anna"))
	f.stopService()
	// A service of another region sees the same rows and sweeps none of them.
	f.region = "us-east"
	f.ahead.Store(int64(2 * time.Hour))
	f.startService(t)
	guarded := func(must bool) error {
		_, err := f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
			Organization: org, IdempotencyKey: f.key(),
			Updates: []*authzv1.RelationshipUpdate{update(remove, "document:plan", "reader", "user:anna")},
			Preconditions: []*authzv1.Precondition{{
				Filter: &authzv1.RelationshipFilter{Resource: "document:plan", Relation: "reader"}, MustMatch: must,
			}},
		})
		return err
	}
	wantReason(t, guarded(true), commonv1.Reason_PRECONDITION_FAILED)
	if err := guarded(false); err != nil {
		t.Errorf("a precondition that nothing matches: %v", err)
	}
	if effect, _ := f.effect(t, org, remove, reader(nil, nil)); effect != authzv1.Effect_EFFECT_ABSENT {
		t.Errorf("delete: %v", effect)
	}
	if effect, _ := f.effect(t, org, authzv1.Operation_OPERATION_CREATE, reader(nil, nil)); effect != authzv1.Effect_EFFECT_CREATED {
		t.Errorf("create: %v", effect)
	}
	f.verify(t, org)
}

// Two sweepers at once, and thousands of expired ones in two organizations:
// each is removed once.
func TestSweepers(t *testing.T) {
	f := newFixture(t, authz.Config{})
	one, two := f.conditional(t), f.conditional(t)
	soon := timestamppb.New(f.clock().Add(time.Hour))
	const n = 1200
	for _, org := range []string{one, two} {
		message := &authzv1.ImportRelationshipsRequest{Organization: org}
		for i := range n {
			r := relationship(fmt.Sprintf("document:%d", i), "reader", "user:anna")
			r.ExpiresAt = soon
			message.Relationships = append(message.Relationships, r)
		}
		stream, err := f.relationships.ImportRelationships(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(message)
		if _, err := stream.CloseAndReceive(); err != nil {
			t.Fatal(err)
		}
	}
	watches := []*watching{f.watch(t, one, tokenOf(t, one, 2)), f.watch(t, two, tokenOf(t, two, 2))}
	f.startService(t) // a second process beside the first
	f.ahead.Store(int64(2 * time.Hour))
	for i, org := range []string{one, two} {
		seen := map[string]int{}
		for _, c := range watches[i].changes(t, 2*n) {
			seen[c]++
		}
		for c, times := range seen {
			if times != 1 {
				t.Errorf("%d times %q", times, c)
			}
		}
		// What one sweeper found the other must not record again.
		head := f.head(t, org)
		if got := watches[i].until(t, org, tokenOf(t, org, head)); got != nil {
			t.Errorf("after all were removed came %q", got)
		}
		f.verify(t, org)
	}
}
