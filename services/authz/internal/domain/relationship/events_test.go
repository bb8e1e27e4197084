package relationship_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
)

// changesOf are the changes of all events.
func changesOf(t *testing.T, events []proto.Message) (changes []*eventv1.RelationshipChange) {
	t.Helper()
	for _, m := range events {
		e, ok := m.(*eventv1.RelationshipsWritten)
		if !ok {
			t.Fatalf("event is a %T", m)
		}
		changes = append(changes, e.GetChanges()...)
	}
	return changes
}

func TestEventsAreBounded(t *testing.T) {
	var many []authzcore.Relationship
	for i := range 2500 {
		many = append(many, authzcore.Relationship{Resource: fmt.Sprintf("table:%d", i), Relation: "reader", Subject: "user:a"})
	}
	for i := range 900 {
		many = append(many, authzcore.Relationship{Resource: fmt.Sprintf("table:%d%s", i, strings.Repeat("x", 250)), Relation: "reader", Subject: "user:" + strings.Repeat("y", 250)})
	}
	numbers := `{"n":[` + strings.Repeat("1,", 15_000) + `1]}`
	for i := range 3 {
		many = append(many, authzcore.Relationship{
			Resource: fmt.Sprintf("table:c%d", i), Relation: "reader", Subject: "user:a",
			Terms: authzcore.Terms{Condition: "office", Context: numbers},
		})
	}
	events, err := relationship.Events(many, many[:1], nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range events {
		e, ok := m.(*eventv1.RelationshipsWritten)
		if !ok {
			t.Fatalf("event is a %T", m)
		}
		// The frames of the fields come on top of what is bounded.
		if len(e.GetChanges()) == 0 || len(e.GetChanges()) > 1000 || proto.Size(e) > 256<<10+12*len(e.GetChanges()) {
			t.Errorf("event of %d changes and %d bytes", len(e.GetChanges()), proto.Size(e))
		}
	}
	if total := len(changesOf(t, events)); total != len(many)+1 {
		t.Errorf("%d changes recorded, want %d", total, len(many)+1)
	}
	if events, err := relationship.Events(nil, nil, nil); err != nil || events != nil {
		t.Errorf("no change recorded %d events, %v", len(events), err)
	}
}

// What is recorded is read back the same, terms and all.
func TestEventsKeepTerms(t *testing.T) {
	values, err := authzcore.EncodeContext(map[string]any{
		"zones": []any{"eu", "us", nil}, "hour": 9.5, "none": map[string]any{}, "night": false, "<&>": "<é>",
	})
	if err != nil {
		t.Fatal(err)
	}
	written := []authzcore.Relationship{
		alice,
		with(alice, authzcore.Terms{Condition: "office"}),
		with(alice, authzcore.Terms{Condition: "office", Context: values, Expires: 1_900_000_000}),
	}
	events, err := relationship.Events(written, []authzcore.Relationship{bob}, []authzcore.Relationship{alice})
	if err != nil {
		t.Fatal(err)
	}
	var read []authzcore.Relationship
	var gone []string
	for _, c := range changesOf(t, events) {
		r, err := relationship.Recorded(c)
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, r)
		gone = append(gone, fmt.Sprint(c.GetDeleted(), c.GetExpired()))
	}
	if diff := cmp.Diff(slices.Concat(written, []authzcore.Relationship{bob, alice}), read); diff != "" {
		t.Errorf("read differs (-recorded +read):\n%s", diff)
	}
	if want := []string{"false false", "false false", "false false", "true false", "true true"}; !slices.Equal(gone, want) {
		t.Errorf("deleted and expired are %v, want %v", gone, want)
	}
	if _, err := relationship.Events([]authzcore.Relationship{with(alice, authzcore.Terms{Context: "{"})}, nil, nil); err == nil {
		t.Error("a context that is no JSON was recorded")
	}
}

func TestLatest(t *testing.T) {
	first, last := with(alice, authzcore.Terms{Condition: "office"}), with(alice, authzcore.Terms{Condition: "night"})
	for name, tc := range map[string]struct{ given, want []authzcore.Relationship }{
		"none":                        {nil, nil},
		"different":                   {[]authzcore.Relationship{alice, bob}, []authzcore.Relationship{alice, bob}},
		"the same":                    {[]authzcore.Relationship{alice, bob, alice}, []authzcore.Relationship{bob, alice}},
		"the last one's terms remain": {[]authzcore.Relationship{first, bob, last}, []authzcore.Relationship{bob, last}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, relationship.Latest(tc.given)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}
