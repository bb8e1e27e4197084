package relationship_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
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

	now = time.Unix(1_800_000_000, 999_999_999)
)

func with(r authzcore.Relationship, t authzcore.Terms) authzcore.Relationship {
	r.Terms = t
	return r
}

func TestWrite(t *testing.T) {
	update := func(op authzv1.Operation, r authzcore.Relationship) relationship.Update {
		return relationship.Update{Operation: op, Relationship: r}
	}
	present := map[authzcore.Relationship]authzcore.Terms{alice: {}}
	expired := map[authzcore.Relationship]authzcore.Terms{alice: {Expires: now.Unix()}}
	temporary := map[authzcore.Relationship]authzcore.Terms{alice: {Condition: "office", Expires: now.Unix() + 1}}
	office := with(alice, authzcore.Terms{Condition: "office", Expires: now.Unix() + 1})
	tomorrow := with(alice, authzcore.Terms{Condition: "office", Expires: now.Unix() + 86400})
	for name, tc := range map[string]struct {
		state   relationship.State
		when    relationship.Write
		effects []authzv1.Effect
		created []authzcore.Relationship
		updated []authzcore.Relationship
		deleted []authzcore.Relationship
		want    commonv1.Reason
		rule    string
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
			want: commonv1.Reason_INVALID_FIELD, rule: "unique",
		},
		"named twice with other terms": {
			when: relationship.Write{Updates: []relationship.Update{update(touch, alice), update(touch, office)}},
			want: commonv1.Reason_INVALID_FIELD, rule: "unique",
		},
		"touch with other terms updates": {
			state:   relationship.State{Present: present},
			when:    relationship.Write{Updates: []relationship.Update{update(touch, office)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_UPDATED}, updated: []authzcore.Relationship{office},
		},
		"touch with a later expiry updates": {
			state:   relationship.State{Present: temporary},
			when:    relationship.Write{Updates: []relationship.Update{update(touch, tomorrow)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_UPDATED}, updated: []authzcore.Relationship{tomorrow},
		},
		"touch with the same terms changes nothing": {
			state:   relationship.State{Present: temporary},
			when:    relationship.Write{Updates: []relationship.Update{update(touch, office)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_UNCHANGED},
		},
		"touch of an expired one creates": {
			state:   relationship.State{Present: expired},
			when:    relationship.Write{Updates: []relationship.Update{update(touch, alice)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_CREATED}, created: []authzcore.Relationship{alice},
		},
		"create of an expired one creates": {
			state:   relationship.State{Present: expired},
			when:    relationship.Write{Updates: []relationship.Update{update(create, office)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_CREATED}, created: []authzcore.Relationship{office},
		},
		"create of one with other terms fails": {
			state: relationship.State{Present: temporary},
			when:  relationship.Write{Updates: []relationship.Update{update(create, alice)}},
			want:  commonv1.Reason_RELATIONSHIP_EXISTS,
		},
		"delete whatever the terms": {
			state:   relationship.State{Present: temporary},
			when:    relationship.Write{Updates: []relationship.Update{update(remove, alice)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_DELETED}, deleted: []authzcore.Relationship{alice},
		},
		"delete with other terms": {
			state:   relationship.State{Present: temporary},
			when:    relationship.Write{Updates: []relationship.Update{update(remove, with(alice, authzcore.Terms{Expires: 1}))}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_DELETED}, deleted: []authzcore.Relationship{alice},
		},
		"delete of an expired one": {
			state:   relationship.State{Present: expired},
			when:    relationship.Write{Updates: []relationship.Update{update(remove, alice)}},
			effects: []authzv1.Effect{authzv1.Effect_EFFECT_ABSENT},
		},
		"touch that has expired by now": {
			when: relationship.Write{Updates: []relationship.Update{update(touch, with(alice, authzcore.Terms{Expires: now.Unix()}))}},
			want: commonv1.Reason_INVALID_FIELD, rule: "future",
		},
		"create that has expired": {
			when: relationship.Write{Updates: []relationship.Update{update(create, with(alice, authzcore.Terms{Expires: 1}))}},
			want: commonv1.Reason_INVALID_FIELD, rule: "future",
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
			tc.state.At = now
			got, err := tc.when.Decide(tc.state)
			if tc.want != 0 {
				if f, ok := fault.As(err); ok && tc.rule != "" && f.Meta["rule"] != tc.rule {
					t.Errorf("rule %q, want %q", f.Meta["rule"], tc.rule)
				}
				if !fault.Is(err, tc.want) || got.Effects != nil || got.Created != nil || got.Updated != nil || got.Deleted != nil {
					t.Fatalf("Decide = %+v, %v; want %v and no change", got, err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := relationship.Outcome{Effects: tc.effects, Created: tc.created, Updated: tc.updated, Deleted: tc.deleted}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outcome differs (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is written to whatever state: an outcome or an error, an effect for
// each update, a change for exactly the effects that change, and the same write
// again changes nothing.
func FuzzWrite(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 1, 1}, []byte{0, 0})
	f.Add([]byte{2, 0, 3, 3, 1, 0, 1, 2, 2}, []byte{0, 1, 1, 2})
	f.Add([]byte{1, 0, 4}, []byte{})
	terms := []authzcore.Terms{
		{},
		{Condition: "office"},
		{Condition: "office", Context: `{"hour":9}`},
		{Expires: now.Unix() + 60},
		{Expires: now.Unix()},
	}
	subjects := []string{"user:a", "user:b", "user:c", "user:d"}
	pick := func(subject byte) authzcore.Relationship {
		return authzcore.Relationship{Resource: "table:orders", Relation: "reader", Subject: subjects[int(subject)%len(subjects)]}
	}
	f.Fuzz(func(t *testing.T, updates, rows []byte) {
		state := relationship.State{Present: map[authzcore.Relationship]authzcore.Terms{}, At: now}
		for ; len(rows) >= 2; rows = rows[2:] {
			state.Present[pick(rows[0])] = terms[int(rows[1])%len(terms)]
		}
		var write relationship.Write
		for ; len(updates) >= 3; updates = updates[3:] {
			write.Updates = append(write.Updates, relationship.Update{
				Operation:    authzv1.Operation(updates[0] % 4),
				Relationship: with(pick(updates[1]), terms[int(updates[2])%len(terms)]),
			})
		}
		out, err := write.Decide(state)
		if err != nil {
			if out.Effects != nil || out.Created != nil || out.Updated != nil || out.Deleted != nil {
				t.Fatalf("error %v and outcome %+v", err, out)
			}
			return
		}
		if len(out.Effects) != len(write.Updates) {
			t.Fatalf("%d effects of %d updates", len(out.Effects), len(write.Updates))
		}
		count := map[authzv1.Effect]int{}
		for _, e := range out.Effects {
			count[e]++
		}
		if len(out.Created) != count[authzv1.Effect_EFFECT_CREATED] || len(out.Updated) != count[authzv1.Effect_EFFECT_UPDATED] ||
			len(out.Deleted) != count[authzv1.Effect_EFFECT_DELETED] || count[authzv1.Effect_EFFECT_UNSPECIFIED] != 0 {
			t.Fatalf("changes %+v for the effects %v", out, out.Effects)
		}
		for _, r := range append(out.Created, out.Updated...) {
			state.Present[r.Key()] = r.Terms
		}
		for _, r := range out.Deleted {
			delete(state.Present, r)
		}
		for i := range write.Updates {
			if write.Updates[i].Operation == create {
				write.Updates[i].Operation = touch
			}
		}
		again, err := write.Decide(state)
		if err != nil || again.Created != nil || again.Updated != nil || again.Deleted != nil {
			t.Fatalf("again: %+v, %v", again, err)
		}
	})
}

func TestNamedAndGiven(t *testing.T) {
	of := func(subject string) authzcore.Relationship {
		return authzcore.Relationship{Resource: "document:plan", Relation: "reader", Subject: subject}
	}
	write := relationship.Write{Updates: []relationship.Update{
		{Operation: authzv1.Operation_OPERATION_TOUCH, Relationship: of("user:a")},
		{Operation: authzv1.Operation_OPERATION_DELETE, Relationship: of("user:b")},
		{Operation: authzv1.Operation_OPERATION_CREATE, Relationship: of("user:c")},
		{Relationship: of("user:d")},
	}}
	if got, want := write.Named(), []authzcore.Relationship{of("user:a"), of("user:b"), of("user:c"), of("user:d")}; !slices.Equal(got, want) {
		t.Errorf("named: %v, want %v", got, want)
	}
	if got, want := write.Given(), []authzcore.Relationship{of("user:a"), of("user:c")}; !slices.Equal(got, want) {
		t.Errorf("given: %v, want %v", got, want)
	}
}
