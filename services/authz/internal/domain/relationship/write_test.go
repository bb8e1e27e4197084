package relationship_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
)

const (
	touch  = authzv1.Operation_OPERATION_TOUCH
	create = authzv1.Operation_OPERATION_CREATE
	remove = authzv1.Operation_OPERATION_DELETE
)

var (
	alice = authzcore.Relationship{Resource: "table:orders", Relation: "reader", Subject: "user:alice"}
	bob   = authzcore.Relationship{Resource: "table:orders", Relation: "reader", Subject: "user:bob"}
)

func TestWrite(t *testing.T) {
	update := func(op authzv1.Operation, r authzcore.Relationship) relationship.Update {
		return relationship.Update{Operation: op, Relationship: r}
	}
	present := map[authzcore.Relationship]bool{alice: true}
	for name, tc := range map[string]struct {
		state   relationship.State
		when    relationship.Write
		effects []authzv1.Effect
		created []authzcore.Relationship
		deleted []authzcore.Relationship
		want    commonv1.Reason
	}{
		"touch of an absent one creates": {
			when:    relationship.Write{Updates: []relationship.Update{update(touch, alice)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_CREATED}, created: []authzcore.Relationship{alice},
		},
		"touch of a present one changes nothing": {
			state:   relationship.State{Present: present},
			when:    relationship.Write{Updates: []relationship.Update{update(touch, alice)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_UNCHANGED},
		},
		"delete of a present one": {
			state:   relationship.State{Present: present},
			when:    relationship.Write{Updates: []relationship.Update{update(remove, alice), update(create, bob)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_DELETED, authzv1.Effect_EFFECT_CREATED},
			created: []authzcore.Relationship{bob}, deleted: []authzcore.Relationship{alice},
		},
		"delete of an absent one": {
			when:    relationship.Write{Updates: []relationship.Update{update(remove, alice)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_ABSENT},
		},
		"create of a present one fails all": {
			state: relationship.State{Present: present},
			when:  relationship.Write{Updates: []relationship.Update{update(touch, bob), update(create, alice)}},
			want:  commonv1.Reason_RELATIONSHIP_EXISTS,
		},
		"named twice": {
			when: relationship.Write{Updates: []relationship.Update{update(touch, alice), update(remove, alice)}},
			want: commonv1.Reason_INVALID_FIELD,
		},
		"no operation": {
			when: relationship.Write{Updates: []relationship.Update{update(0, alice)}},
			want: commonv1.Reason_INVALID_FIELD,
		},
		"precondition holds": {
			state:   relationship.State{Matches: []bool{true, false}},
			when:    relationship.Write{Updates: []relationship.Update{update(touch, alice)}, MustMatch: []bool{true, false}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_CREATED}, created: []authzcore.Relationship{alice},
		},
		"precondition fails": {
			state: relationship.State{Matches: []bool{true, true}},
			when:  relationship.Write{Updates: []relationship.Update{update(touch, alice)}, MustMatch: []bool{true, false}},
			want:  commonv1.Reason_PRECONDITION_FAILED,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.when.Decide(tc.state)
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || got.Effects != nil || got.Created != nil || got.Deleted != nil {
					t.Fatalf("Decide = %+v, %v; want %v and no change", got, err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := relationship.Outcome{Effects: tc.effects, Created: tc.created, Deleted: tc.deleted}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outcome differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventsAreBounded(t *testing.T) {
	var many []authzcore.Relationship
	for i := range 2500 {
		many = append(many, authzcore.Relationship{Resource: fmt.Sprintf("table:%d", i), Relation: "reader", Subject: "user:a"})
	}
	for i := range 900 {
		many = append(many, authzcore.Relationship{Resource: fmt.Sprintf("table:%d%s", i, strings.Repeat("x", 250)), Relation: "reader", Subject: "user:" + strings.Repeat("y", 250)})
	}
	total := 0
	for _, m := range relationship.Events(many, many[:1]) {
		e, ok := m.(*eventv1.RelationshipsWritten)
		if !ok {
			t.Fatalf("event is a %T", m)
		}
		bytes := 0
		for _, c := range e.GetChanges() {
			bytes += len(c.GetResource()) + len(c.GetRelation()) + len(c.GetSubject())
		}
		if len(e.GetChanges()) == 0 || len(e.GetChanges()) > 1000 || bytes > 256<<10 {
			t.Errorf("event of %d changes and %d bytes", len(e.GetChanges()), bytes)
		}
		total += len(e.GetChanges())
	}
	if total != len(many)+1 {
		t.Errorf("%d changes recorded, want %d", total, len(many)+1)
	}
	if events := relationship.Events(nil, nil); events != nil {
		t.Errorf("no change recorded %d events", len(events))
	}
}
