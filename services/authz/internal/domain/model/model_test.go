package model_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
)

func changed(id string, state eventv1.ModelState, organizations ...string) *eventv1.ModelStateChanged {
	return &eventv1.ModelStateChanged{Model: id, State: state, Organizations: organizations}
}

func TestSetState(t *testing.T) {
	audience := model.Audience{Organizations: []string{"org_a"}, BasisPoints: 0}
	toCanary := model.SetState{To: model.Canary, Audience: audience}
	to := func(s eventv1.ModelState) model.SetState { return model.SetState{To: s} }
	state := func(s eventv1.ModelState, change ...func(*model.State)) model.State {
		out := model.State{Model: "mdl_new", State: s}
		switch s {
		case model.Active:
			out.Line.Active = "mdl_new"
		case model.Canary:
			out.Line.Canary, out.Audience = "mdl_new", audience
		}
		for _, c := range change {
			c(&out)
		}
		return out
	}
	active := func(s *model.State) { s.Line.Active = "mdl_old" }
	otherCanary := func(s *model.State) { s.Line.Canary = "mdl_other" }
	pinned := func(s *model.State) { s.Pinned = "org_p" }
	followed := func(s *model.State) { s.Follower = "org_f" }
	for name, tc := range map[string]struct {
		given  model.State
		when   model.SetState
		then   []proto.Message
		reason commonv1.Reason
		meta   map[string]string
	}{
		"a draft becomes a canary": {given: state(model.Draft, active), when: toCanary, then: []proto.Message{changed("mdl_new", model.Canary, "org_a")}},
		"a draft becomes active":   {given: state(model.Draft), when: to(model.Active), then: []proto.Message{changed("mdl_new", model.Active)}},
		"a draft that nobody uses is retired": {
			given: state(model.Draft, active, followed), when: to(model.Retired), then: []proto.Message{changed("mdl_new", model.Retired)},
		},
		"a draft that somebody uses is not retired": {
			given: state(model.Draft, pinned), when: to(model.Retired), reason: commonv1.Reason_MODEL_IN_USE, meta: map[string]string{"organization": "org_p"},
		},
		"becoming active retires the one before": {
			given: state(model.Draft, active, followed), when: to(model.Active),
			then: []proto.Message{changed("mdl_old", model.Retired), changed("mdl_new", model.Active)},
		},
		"a canary gets another audience": {
			given: state(model.Canary, active), when: model.SetState{To: model.Canary, Audience: model.Audience{BasisPoints: 150}},
			then: []proto.Message{&eventv1.ModelStateChanged{Model: "mdl_new", State: model.Canary, BasisPoints: 150}},
		},
		"a canary with the same audience": {given: state(model.Canary, active), when: toCanary},
		"a canary becomes active": {
			given: state(model.Canary, active), when: to(model.Active),
			then: []proto.Message{changed("mdl_old", model.Retired), changed("mdl_new", model.Active)},
		},
		"a canary is given up, whoever follows the line": {
			given: state(model.Canary, active, followed), when: to(model.Retired), then: []proto.Message{changed("mdl_new", model.Retired)},
		},
		"a canary that somebody stays with is not": {
			given: state(model.Canary, active, pinned), when: to(model.Retired), reason: commonv1.Reason_MODEL_IN_USE, meta: map[string]string{"organization": "org_p"},
		},
		"a second canary": {
			given: state(model.Draft, active, otherCanary), when: toCanary, reason: commonv1.Reason_MODEL_STATE,
			meta: map[string]string{"state": "draft", "model": "mdl_other"},
		},
		"becoming active beside another's canary": {
			given: state(model.Draft, active, otherCanary), when: to(model.Active),
			then: []proto.Message{changed("mdl_old", model.Retired), changed("mdl_new", model.Active)},
		},
		"active again": {given: state(model.Active, followed), when: to(model.Active)},
		"an active model is no canary": {
			given: state(model.Active), when: toCanary, reason: commonv1.Reason_MODEL_STATE, meta: map[string]string{"state": "active"},
		},
		"an active model that nobody uses is retired": {
			given: state(model.Active), when: to(model.Retired), then: []proto.Message{changed("mdl_new", model.Retired)},
		},
		"an active model of a line that is followed": {
			given: state(model.Active, followed), when: to(model.Retired), reason: commonv1.Reason_MODEL_IN_USE, meta: map[string]string{"organization": "org_f"},
		},
		"an active model that somebody stays with": {
			given: state(model.Active, pinned), when: to(model.Retired), reason: commonv1.Reason_MODEL_IN_USE, meta: map[string]string{"organization": "org_p"},
		},
		"the line goes back": {
			given: state(model.Retired, active, followed), when: to(model.Active),
			then: []proto.Message{changed("mdl_old", model.Retired), changed("mdl_new", model.Active)},
		},
		"a canary is tried again": {given: state(model.Retired, active), when: toCanary, then: []proto.Message{changed("mdl_new", model.Canary, "org_a")}},
		"retired again":           {given: state(model.Retired, pinned), when: to(model.Retired)},
		"nothing becomes a draft": {given: state(model.Retired), when: to(model.Draft), reason: commonv1.Reason_MODEL_STATE, meta: map[string]string{"state": "retired"}},
		"an audience without a canary": {
			given: state(model.Draft), when: model.SetState{To: model.Active, Audience: audience}, reason: commonv1.Reason_INVALID_FIELD,
			meta: map[string]string{"field": "canary", "rule": "absent"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.when.Decide(tc.given)
			if tc.reason != 0 {
				f, _ := fault.As(err)
				if !fault.Is(err, tc.reason) || got != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", got, err, tc.reason)
				}
				if diff := cmp.Diff(tc.meta, f.Meta); diff != "" {
					t.Errorf("metadata (-want +got):\n%s", diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.then, got, protocmp.Transform()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLineFor(t *testing.T) {
	listed := model.Audience{Organizations: []string{"org_a", "org_c"}}
	for name, tc := range map[string]struct {
		line model.Line
		org  string
		want string
	}{
		"nothing":                           {model.Line{}, "org_a", ""},
		"active":                            {model.Line{Active: "mdl_1"}, "org_a", "mdl_1"},
		"listed for the canary":             {model.Line{Active: "mdl_1", Canary: "mdl_2", Audience: listed}, "org_c", "mdl_2"},
		"not listed":                        {model.Line{Active: "mdl_1", Canary: "mdl_2", Audience: listed}, "org_b", "mdl_1"},
		"a canary of nobody":                {model.Line{Active: "mdl_1", Canary: "mdl_2"}, "org_a", "mdl_1"},
		"a canary of all":                   {model.Line{Active: "mdl_1", Canary: "mdl_2", Audience: model.Audience{BasisPoints: 10_000}}, "org_b", "mdl_2"},
		"a canary of which nothing is left": {model.Line{Canary: "mdl_2", Audience: listed}, "org_a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.line.For(tc.org); got != tc.want {
				t.Errorf("For(%s) = %q, want %q", tc.org, got, tc.want)
			}
		})
	}
}

// Shares are as large as they say and a larger one holds the smaller.
func TestShares(t *testing.T) {
	const n = 20_000
	before := map[string]bool{}
	for _, points := range []uint32{0, 1, 150, 2000, 5000, 9999, 10_000} {
		held := map[string]bool{}
		for i := range n {
			if org := fmt.Sprintf("org_%026d", i); (model.Audience{BasisPoints: points}).Has(org) {
				held[org] = true
			}
		}
		for org := range before {
			if !held[org] {
				t.Fatalf("%s is in a smaller share and not in %d", org, points)
			}
		}
		if want := n * int(points) / 10_000; len(held) < want-want/10-20 || len(held) > want+want/10+20 {
			t.Errorf("a share of %d basis points holds %d of %d", points, len(held), n)
		}
		before = held
	}
	if len(before) != n {
		t.Errorf("the whole holds %d of %d", len(before), n)
	}
}

// Whatever is asked gives events or an error or nothing to do, and leaves at
// most one model active.
func FuzzSetState(f *testing.F) {
	f.Add(uint8(1), uint8(2), uint8(0), uint32(10))
	f.Fuzz(func(t *testing.T, from, to, bits uint8, points uint32) {
		s := model.State{Model: "mdl_new", State: eventv1.ModelState(from % 6)}
		if bits&1 != 0 {
			s.Line.Active = "mdl_old"
		}
		if bits&2 != 0 {
			s.Line.Canary = "mdl_other"
		}
		if bits&4 != 0 {
			s.Pinned = "org_p"
		}
		if bits&8 != 0 {
			s.Follower = "org_f"
		}
		events, err := model.SetState{To: eventv1.ModelState(to % 6), Audience: model.Audience{BasisPoints: points}}.Decide(s)
		if err != nil && events != nil {
			t.Fatalf("events %v and error %v", events, err)
		}
		active := s.Line.Active
		for _, e := range events {
			c, ok := e.(*eventv1.ModelStateChanged)
			if !ok {
				t.Fatalf("event is a %T", e)
			}
			switch {
			case c.GetState() == model.Active && active != "":
				t.Fatalf("%s becomes active beside %s", c.GetModel(), active)
			case c.GetState() == model.Active:
				active = c.GetModel()
			case c.GetModel() == active:
				active = ""
			}
		}
	})
}
