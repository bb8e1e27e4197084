package membership_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
)

type command interface {
	Decide(s membership.State) ([]proto.Message, error)
}

func TestDecide(t *testing.T) {
	org, ada := id.New(id.Organization), id.New(id.User)
	created := func(role eventv1.MembershipRole, source eventv1.MembershipSource) *eventv1.MembershipCreated {
		return &eventv1.MembershipCreated{Organization: org, User: ada, Role: role, Source: source}
	}
	member, admin := created(membership.Member, membership.API), created(membership.Admin, membership.API)
	provisioned := created(membership.Admin, membership.SCIM)
	suspended := &eventv1.MembershipSuspended{Organization: org, User: ada}
	barred := &eventv1.MembershipSuspended{Organization: org, User: ada, Everywhere: true}
	resumed, removed := &eventv1.MembershipResumed{Organization: org, User: ada, Role: membership.Member}, &eventv1.MembershipRemoved{Organization: org, User: ada}
	role := func(r eventv1.MembershipRole) *eventv1.MembershipRoleChanged {
		return &eventv1.MembershipRoleChanged{Organization: org, User: ada, Role: r}
	}
	demoted := &eventv1.MembershipRoleChanged{Organization: org, User: ada, Role: membership.Member, Suspended: true}
	add := membership.Add{Organization: org, User: ada, Person: user.State{ID: ada, Status: user.Active}}
	changed := func(change func(c *membership.Add)) membership.Add {
		c := add
		change(&c)
		return c
	}
	type events = []proto.Message
	for name, tc := range map[string]struct {
		given events
		when  command
		then  events
		want  commonv1.Reason
	}{
		"add":                       {nil, add, events{member}, 0},
		"add again":                 {events{member, removed}, add, events{member}, 0},
		"add an admin from scim":    {nil, changed(func(c *membership.Add) { c.Role, c.Source = membership.Admin, membership.SCIM }), events{provisioned}, 0},
		"add who is there":          {events{member}, add, nil, commonv1.Reason_ALREADY_EXISTS},
		"add who is suspended here": {events{member, suspended}, add, nil, commonv1.Reason_ALREADY_EXISTS},
		"add a suspended user":      {nil, changed(func(c *membership.Add) { c.Person.Status = user.Suspended }), events{member, barred}, 0},
		"add an erased user":        {nil, changed(func(c *membership.Add) { c.Person.Status = user.Erased }), nil, commonv1.Reason_USER_ERASED},
		"add nobody":                {nil, changed(func(c *membership.Add) { c.Person = user.State{} }), nil, commonv1.Reason_NOT_FOUND},
		"add from its realm":        {nil, changed(func(c *membership.Add) { c.Realm, c.Person.Realm = org, org }), events{member}, 0},
		"add from no realm":         {nil, changed(func(c *membership.Add) { c.Realm = org }), nil, commonv1.Reason_INVALID_FIELD},
		"add from another realm":    {nil, changed(func(c *membership.Add) { c.Realm, c.Person.Realm = org, id.New(id.Organization) }), nil, commonv1.Reason_INVALID_FIELD},
		"add from a realm":          {nil, changed(func(c *membership.Add) { c.Person.Realm = id.New(id.Organization) }), nil, commonv1.Reason_INVALID_FIELD},
		"add to the last":           {nil, changed(func(c *membership.Add) { c.Others = membership.MaxOfUser - 1 }), events{member}, 0},
		"add to one too many":       {nil, changed(func(c *membership.Add) { c.Others = membership.MaxOfUser }), nil, commonv1.Reason_LIMIT_REACHED},

		"promote":                         {events{member}, membership.ChangeRole{Role: membership.Admin}, events{role(membership.Admin)}, 0},
		"promote an admin":                {events{admin}, membership.ChangeRole{Role: membership.Admin}, nil, 0},
		"demote one of several":           {events{admin}, membership.ChangeRole{Role: membership.Member, OtherAdmin: true}, events{role(membership.Member)}, 0},
		"demote the last":                 {events{admin}, membership.ChangeRole{Role: membership.Member}, nil, commonv1.Reason_LAST_ADMINISTRATOR},
		"demote the last, suspended":      {events{admin, suspended}, membership.ChangeRole{Role: membership.Member}, events{demoted}, 0},
		"demote whom a directory keeps":   {events{provisioned}, membership.ChangeRole{Role: membership.Member, OtherAdmin: true}, events{role(membership.Member)}, 0},
		"no role":                         {events{member}, membership.ChangeRole{}, nil, commonv1.Reason_INVALID_FIELD},
		"role of nobody":                  {nil, membership.ChangeRole{Role: membership.Admin}, nil, commonv1.Reason_NOT_FOUND},
		"role of who left":                {events{admin, removed}, membership.ChangeRole{Role: membership.Member}, nil, commonv1.Reason_NOT_FOUND},
		"suspend":                         {events{member}, membership.Suspend{}, events{suspended}, 0},
		"suspend twice":                   {events{member, suspended}, membership.Suspend{}, nil, 0},
		"suspend who is everywhere":       {events{member, barred}, membership.Suspend{}, events{suspended}, 0},
		"suspend the last admin":          {events{admin}, membership.Suspend{}, nil, commonv1.Reason_LAST_ADMINISTRATOR},
		"suspend one of several":          {events{admin}, membership.Suspend{OtherAdmin: true}, events{suspended}, 0},
		"suspend whom a directory keeps":  {events{provisioned}, membership.Suspend{OtherAdmin: true}, nil, commonv1.Reason_MANAGED_ELSEWHERE},
		"suspend as the directory":        {events{provisioned}, membership.Suspend{OtherAdmin: true, Manages: true}, events{suspended}, 0},
		"suspend nobody":                  {nil, membership.Suspend{}, nil, commonv1.Reason_NOT_FOUND},
		"resume":                          {events{member, suspended}, membership.Resume{}, events{resumed}, 0},
		"resume the active":               {events{member}, membership.Resume{}, nil, 0},
		"resume who is barred":            {events{member, barred}, membership.Resume{Barred: true}, nil, commonv1.Reason_USER_SUSPENDED},
		"resume whom a directory keeps":   {events{provisioned, suspended}, membership.Resume{}, nil, commonv1.Reason_MANAGED_ELSEWHERE},
		"resume nobody":                   {nil, membership.Resume{}, nil, commonv1.Reason_NOT_FOUND},
		"bar":                             {events{member}, membership.Bar{}, events{barred}, 0},
		"bar the last admin":              {events{admin}, membership.Bar{}, events{barred}, 0},
		"bar whom a directory keeps":      {events{provisioned}, membership.Bar{}, events{barred}, 0},
		"bar who is suspended here":       {events{member, suspended}, membership.Bar{}, nil, 0},
		"bar nobody":                      {nil, membership.Bar{}, nil, commonv1.Reason_NOT_FOUND},
		"unbar":                           {events{member, barred}, membership.Unbar{}, events{resumed}, 0},
		"unbar who is suspended here":     {events{member, suspended}, membership.Unbar{}, nil, 0},
		"unbar who is suspended here now": {events{member, barred, suspended}, membership.Unbar{}, nil, 0},
		"unbar the active":                {events{member}, membership.Unbar{}, nil, 0},
		"unbar nobody":                    {nil, membership.Unbar{}, nil, commonv1.Reason_NOT_FOUND},
		"remove":                          {events{member}, membership.Remove{}, events{removed}, 0},
		"remove the last admin":           {events{admin}, membership.Remove{}, nil, commonv1.Reason_LAST_ADMINISTRATOR},
		"remove the last admin, forced":   {events{admin}, membership.Remove{Force: true}, events{removed}, 0},
		"remove a suspended admin":        {events{admin, suspended}, membership.Remove{}, events{removed}, 0},
		"remove whom a directory keeps":   {events{provisioned}, membership.Remove{OtherAdmin: true}, nil, commonv1.Reason_MANAGED_ELSEWHERE},
		"remove nobody":                   {nil, membership.Remove{}, nil, commonv1.Reason_NOT_FOUND},
	} {
		t.Run(name, func(t *testing.T) {
			var state membership.State
			for _, e := range tc.given {
				state.Apply(e)
			}
			decided, err := tc.when.Decide(state)
			if tc.want != 0 {
				if !fault.Is(err, tc.want) || decided != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", decided, err, tc.want)
				}
				return
			}
			if err != nil || len(decided) != len(tc.then) {
				t.Fatalf("Decide = %v, %v; want %v", decided, err, tc.then)
			}
			for i := range decided {
				if !proto.Equal(decided[i], tc.then[i]) {
					t.Errorf("event %d is %v, want %v", i, decided[i], tc.then[i])
				}
			}
		})
	}
}

// FuzzLife runs commands on the memberships of two administrators, one after
// another. Each returns events or an error; the organization's own commands never
// take away its last active administrator; and a membership that was suspended here
// is not resumed with its user.
func FuzzLife(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17})
	f.Add([]byte{0, 1, 8, 9, 4, 5, 14, 15})
	org := id.New(id.Organization)
	people := []string{id.New(id.User), id.New(id.User)}
	f.Fuzz(func(t *testing.T, script []byte) {
		var states [2]membership.State
		for _, step := range script[:min(len(script), 200)] {
			who, other := int(step)%2, states[1-int(step)%2].Administers()
			s := &states[who]
			commands := []command{
				membership.Add{Organization: org, User: people[who], Role: membership.Admin, Person: user.State{ID: people[who], Status: user.Active}},
				membership.ChangeRole{Role: membership.Member, OtherAdmin: other},
				membership.ChangeRole{Role: membership.Admin, OtherAdmin: other},
				membership.Suspend{OtherAdmin: other},
				membership.Resume{},
				membership.Bar{},
				membership.Unbar{},
				membership.Remove{OtherAdmin: other},
				membership.Remove{Force: true},
			}
			n := int(step) / 2 % len(commands)
			before, administered := *s, states[0].Administers() || states[1].Administers()
			events, err := commands[n].Decide(*s)
			if err != nil && events != nil || err == nil && n == 8 && len(events) != 1 {
				t.Fatalf("%T: %v, %v", commands[n], events, err)
			}
			for _, e := range events {
				s.Apply(e)
			}
			_, unbars := commands[n].(membership.Unbar)
			switch own := n != 5 && n != 8; {
			case own && administered && !states[0].Administers() && !states[1].Administers():
				t.Fatalf("%T takes away the last administrator", commands[n])
			case unbars && before.Status == membership.Suspended && !before.Everywhere && *s != before:
				t.Fatal("a suspension of the organization was taken back with the user's")
			case s.Everywhere && s.Status != membership.Suspended:
				t.Fatalf("an active membership is suspended everywhere: %+v", *s)
			}
		}
	})
}
