package group_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
)

var (
	org = id.New(id.Organization)
	grp = id.New(id.Group)
	usr = id.New(id.User)
	svc = id.New(id.ServiceAccount)
	sub = id.New(id.Group)
)

func created() proto.Message {
	return &eventv1.GroupCreated{Group: grp, Organization: org, Name: "Ops", Description: "on call"}
}

func changed(name, description string) proto.Message {
	return &eventv1.GroupChanged{Group: grp, Name: name, Description: description}
}

func members(added, removed []string) proto.Message {
	return &eventv1.GroupMembersChanged{Group: grp, Added: added, Removed: removed}
}

func fold(events ...proto.Message) (s group.State) {
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

func check(t *testing.T, events []proto.Message, err error, then []proto.Message, want commonv1.Reason) {
	t.Helper()
	if want != 0 {
		if !fault.Is(err, want) || events != nil {
			t.Fatalf("Decide = %v, %v; want %v and no event", events, err, want)
		}
		return
	}
	if err != nil || len(events) != len(then) {
		t.Fatalf("Decide = %v, %v; want %v", events, err, then)
	}
	for i := range events {
		if !proto.Equal(events[i], then[i]) {
			t.Errorf("event %d is %v, want %v", i, events[i], then[i])
		}
	}
}

func TestDecide(t *testing.T) {
	good := group.Create{ID: grp, Organization: org, Name: " Ops\u3000", Description: "on call", Others: group.Limit - 1}
	with := func(change func(*group.Create)) group.Create {
		c := good
		change(&c)
		return c
	}
	left := group.Left(grp, []string{sub})
	for name, tc := range map[string]struct {
		given []proto.Message
		when  interface {
			Decide(s group.State) ([]proto.Message, error)
		}
		then []proto.Message
		want commonv1.Reason
	}{
		"create":                      {when: good, then: []proto.Message{created()}},
		"create what exists":          {given: []proto.Message{created()}, when: good, want: commonv1.Reason_ALREADY_EXISTS},
		"create one more than may be": {when: with(func(c *group.Create) { c.Others++ }), want: commonv1.Reason_LIMIT_REACHED},
		"create without a name":       {when: with(func(c *group.Create) { c.Name = "  " }), want: commonv1.Reason_INVALID_FIELD},
		"create with a bidi override": {when: with(func(c *group.Create) { c.Name = "a\u202Eb" }), want: commonv1.Reason_INVALID_FIELD},
		"create with a user's id":     {when: with(func(c *group.Create) { c.ID = usr }), want: commonv1.Reason_INVALID_FIELD},

		"update what is absent": {when: group.Update{Name: new("x")}, want: commonv1.Reason_NOT_FOUND},
		"update what was":       {given: []proto.Message{created(), &eventv1.GroupDeleted{Group: grp}}, when: group.Update{}, want: commonv1.Reason_NOT_FOUND},
		"update nothing":        {given: []proto.Message{created()}, when: group.Update{}},
		"update to what is":     {given: []proto.Message{created()}, when: group.Update{Name: new("Ops"), Description: new("on call")}},
		"rename":                {given: []proto.Message{created()}, when: group.Update{Name: new("OPS")}, then: []proto.Message{changed("OPS", "on call")}},
		"rename to nothing":     {given: []proto.Message{created()}, when: group.Update{Name: new("")}, want: commonv1.Reason_INVALID_FIELD},
		"describe":              {given: []proto.Message{created()}, when: group.Update{Description: new("")}, then: []proto.Message{changed("Ops", "")}},

		"delete what is absent": {when: group.Delete{}, want: commonv1.Reason_NOT_FOUND},
		"delete what is empty":  {given: []proto.Message{created()}, when: group.Delete{}, then: []proto.Message{&eventv1.GroupDeleted{Group: grp}}},
		"delete": {
			given: []proto.Message{created()}, when: group.Delete{Members: []string{svc, usr}, Before: left},
			then: []proto.Message{members(nil, []string{svc, usr}), left[0], &eventv1.GroupDeleted{Group: grp}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := tc.when.Decide(fold(tc.given...))
			check(t, events, err, tc.then, tc.want)
		})
	}
}

func TestChangeMembers(t *testing.T) {
	set := func(ids ...string) map[string]bool {
		out := map[string]bool{}
		for _, i := range ids {
			out[i] = true
		}
		return out
	}
	for name, tc := range map[string]struct {
		given       group.Members
		add, remove []string
		then        []proto.Message
		want        commonv1.Reason
		field       string
	}{
		"add":                  {add: []string{usr, svc}, then: []proto.Message{members([]string{usr, svc}, nil)}},
		"add who is there":     {given: group.Members{Present: set(usr)}, add: []string{usr}},
		"add some":             {given: group.Members{Present: set(usr)}, add: []string{usr, svc}, then: []proto.Message{members([]string{svc}, nil)}},
		"remove":               {given: group.Members{Present: set(usr, svc)}, remove: []string{svc}, then: []proto.Message{members(nil, []string{svc})}},
		"remove who is not":    {remove: []string{usr}},
		"nothing":              {},
		"both":                 {given: group.Members{Present: set(svc)}, add: []string{usr}, remove: []string{svc}, then: []proto.Message{members([]string{usr}, []string{svc})}},
		"one id in both":       {add: []string{svc, usr}, remove: []string{usr}, want: commonv1.Reason_INVALID_FIELD, field: "remove[0]"},
		"add who is unknown":   {given: group.Members{Missing: set(svc)}, add: []string{usr, svc}, want: commonv1.Reason_NOT_FOUND, field: "add[1]"},
		"nest":                 {given: group.Members{Depth: 1, Height: 1}, add: []string{sub}, then: []proto.Message{members([]string{sub}, nil)}},
		"nest in itself":       {add: []string{grp}, want: commonv1.Reason_GROUP_CYCLE, field: "add[0]"},
		"nest what is above":   {given: group.Members{Above: set(sub), Depth: 2, Height: 2}, add: []string{usr, sub}, want: commonv1.Reason_GROUP_CYCLE, field: "add[1]"},
		"nest just deep":       {given: group.Members{Depth: 4, Height: 6}, add: []string{sub}, then: []proto.Message{members([]string{sub}, nil)}},
		"nest too deep":        {given: group.Members{Depth: 5, Height: 6}, add: []string{sub}, want: commonv1.Reason_GROUP_TOO_DEEP, field: "add"},
		"a user in the depths": {given: group.Members{Depth: 10}, add: []string{usr}, then: []proto.Message{members([]string{usr}, nil)}},
		"the last member":      {given: group.Members{Number: group.MemberLimit - 1}, add: []string{usr}, then: []proto.Message{members([]string{usr}, nil)}},
		"one more than may be": {given: group.Members{Number: group.MemberLimit}, add: []string{usr}, want: commonv1.Reason_LIMIT_REACHED, field: "add"},
		"a change of a full group": {
			given: group.Members{Number: group.MemberLimit, Present: set(svc)}, add: []string{usr}, remove: []string{svc},
			then: []proto.Message{members([]string{usr}, []string{svc})},
		},
		"one nesting more than may be":     {given: group.Members{Nestings: group.NestingLimit, Depth: 1, Height: 1}, add: []string{sub}, want: commonv1.Reason_LIMIT_REACHED, field: "add"},
		"a user where no nesting fits any": {given: group.Members{Nestings: group.NestingLimit}, add: []string{usr}, then: []proto.Message{members([]string{usr}, nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.given.State = fold(created())
			events, err := group.ChangeMembers{Add: tc.add, Remove: tc.remove}.Decide(tc.given)
			check(t, events, err, tc.then, tc.want)
			if f, ok := fault.As(err); ok && f.Meta["field"] != tc.field {
				t.Errorf("field %q, want %q", f.Meta["field"], tc.field)
			}
		})
	}
	_, err := group.ChangeMembers{Add: []string{usr}}.Decide(group.Members{})
	if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("change of an absent group: %v, want NOT_FOUND", err)
	}
}

// Many members are told of in several events, each of them once.
func TestChangedIsCut(t *testing.T) {
	many := func(prefix string, n int) (out []string) {
		for i := range n {
			out = append(out, prefix+strings.Repeat("x", i%3)+id.New(id.User))
		}
		return out
	}
	for name, tc := range map[string]struct{ added, removed, events int }{
		"none":      {0, 0, 0},
		"one":       {1, 0, 1},
		"one event": {6000, 4000, 1},
		"one more":  {6000, 4001, 2},
		"a group":   {0, group.MemberLimit, 5},
	} {
		t.Run(name, func(t *testing.T) {
			added, removed := many("a", tc.added), many("r", tc.removed)
			events := group.Changed(grp, added, removed, nil)
			var in, out []string
			for _, e := range events {
				c, _ := e.(*eventv1.GroupMembersChanged)
				in, out = append(in, c.GetAdded()...), append(out, c.GetRemoved()...)
				if n := len(c.GetAdded()) + len(c.GetRemoved()); n == 0 || n > 10_000 || c.GetGroup() != grp {
					t.Errorf("an event of %d members of %s", n, c.GetGroup())
				}
			}
			if len(events) != tc.events || strings.Join(in, " ") != strings.Join(added, " ") || strings.Join(out, " ") != strings.Join(removed, " ") {
				t.Errorf("%d events with %d and %d members", len(events), len(in), len(out))
			}
		})
	}
}

// FuzzChangeMembers: events or an error; they say what was not so before, and done
// again nothing is left to do.
func FuzzChangeMembers(f *testing.F) {
	f.Add(uint8(0b0101), uint8(0b1010), uint8(0b0011), uint8(0), uint8(1), uint8(1))
	f.Add(uint8(0xff), uint8(0), uint8(0), uint8(0x10), uint8(9), uint8(2))
	ids := []string{usr, id.New(id.User), svc, id.New(id.ServiceAccount), sub, id.New(id.Group), grp, id.New(id.Group)}
	of := func(bits uint8) (out []string) {
		for i, member := range ids {
			if bits>>i&1 == 1 {
				out = append(out, member)
			}
		}
		return out
	}
	f.Fuzz(func(t *testing.T, add, remove, present, missing, depth, height uint8) {
		m := group.Members{
			State: fold(created()), Present: map[string]bool{}, Missing: map[string]bool{}, Above: map[string]bool{},
			Depth: int(depth % 12), Height: int(height % 12),
		}
		for _, member := range of(present) {
			m.Present[member] = true
		}
		for _, member := range of(missing) {
			m.Missing[member] = true
		}
		command := group.ChangeMembers{Add: of(add), Remove: of(remove)}
		events, err := command.Decide(m)
		if err != nil {
			if _, ok := fault.As(err); !ok || events != nil {
				t.Errorf("%v, %v", events, err)
			}
			return
		}
		for _, e := range events {
			c, _ := e.(*eventv1.GroupMembersChanged)
			for _, member := range c.GetAdded() {
				if m.Present[member] || m.Missing[member] || member == grp {
					t.Errorf("%s was added", member)
				}
				m.Present[member] = true
			}
			for _, member := range c.GetRemoved() {
				if !m.Present[member] {
					t.Errorf("%s was removed", member)
				}
				delete(m.Present, member)
			}
		}
		if again, err := command.Decide(m); err != nil || len(again) > 0 {
			t.Errorf("done again: %v, %v", again, err)
		}
	})
}
