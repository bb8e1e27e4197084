package rpc_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
)

func TestChangeGroupMembers(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	grp, sub, bot, users := p.group(t, org, "ops"), p.group(t, org, "sub"), p.account(t, org, "bot"), p.members(t, org, 3)
	request := &identityv1.ChangeGroupMembersRequest{
		Organization: org, Group: grp, Add: []string{users[0], bot, sub, users[1]}, Remove: []string{users[2]}, IdempotencyKey: "1",
	}
	head := p.head(t, org)
	changed, err := p.groups.ChangeGroupMembers(p.ctx, request)
	if err != nil || changed.GetAdded() != 4 || changed.GetRemoved() != 0 {
		t.Fatalf("ChangeGroupMembers = %v, %v; want 4 added", changed, err)
	}
	if again, err := p.groups.ChangeGroupMembers(p.ctx, request); err != nil || !proto.Equal(again, changed) {
		t.Errorf("repeated: %v, %v", again, err)
	}
	second, err := p.change(org, grp, []string{users[0], users[2]}, []string{bot, users[1]})
	if err != nil || second.GetAdded() != 1 || second.GetRemoved() != 2 {
		t.Errorf("the second change: %v, %v; want 1 added and 2 removed", second, err)
	}
	nothing, err := p.change(org, grp, []string{users[0]}, []string{users[1]})
	if err != nil || nothing.GetAdded()+nothing.GetRemoved() != 0 || nothing.GetRevision() != second.GetRevision() {
		t.Errorf("a change of nothing: %v, %v; want the revision of before", nothing, err)
	}
	want := []proto.Message{
		&eventv1.GroupMembersChanged{Group: grp, Added: []string{users[0], bot, sub, users[1]}},
		&eventv1.GroupMembersChanged{Group: grp, Added: []string{users[2]}, Removed: []string{bot, users[1]}},
	}
	if got := p.events(t, org, head); !slices.EqualFunc(got, want, proto.Equal) {
		t.Errorf("events %v, want %v", got, want)
	}
	if got, _ := p.membersOf(t, org, grp, 2); !slices.Equal(got, []string{sub, users[0], users[2]}) {
		t.Errorf("members %v", got)
	}
	p.verify(t, org)
}

// In a suspended organization groups are left and removed, and nothing else.
func TestGroupsOfASuspendedOrganization(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	users := p.members(t, org, 2)
	group := p.group(t, org, "Engineers")
	p.mustChange(t, org, group, users[:1], nil)
	p.suspend(t, p.ctx, org, "suspend")
	_, err := p.change(org, group, users[1:], nil)
	wants(t, err, commonv1.Reason_ORGANIZATION_STATE)
	_, err = p.change(org, group, users[1:], users[:1])
	wants(t, err, commonv1.Reason_ORGANIZATION_STATE)
	name := "Sales"
	_, err = p.groups.UpdateGroup(p.ctx, &identityv1.UpdateGroupRequest{Organization: org, Group: group, Name: &name, IdempotencyKey: p.key()})
	wants(t, err, commonv1.Reason_ORGANIZATION_STATE)
	p.mustChange(t, org, group, nil, users[:1])
	_, err = p.groups.DeleteGroup(p.ctx, &identityv1.DeleteGroupRequest{Organization: org, Group: group, IdempotencyKey: p.key()})
	must(t, err)
}

// A change that is refused for one of its members changes nothing.
func TestChangeGroupMembersAllOrNothing(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	grp, users := p.group(t, org, "ops"), p.members(t, org, 3)
	p.mustChange(t, org, grp, users[:1], nil)
	head := p.head(t, org)
	for name, tc := range map[string]struct {
		add, remove []string
		want        commonv1.Reason
		field       string
	}{
		"a user who is unknown": {[]string{users[1], id.New(id.User)}, users[:1], commonv1.Reason_NOT_FOUND, "add[1]"},
		"a group in itself":     {[]string{users[1], users[2], grp}, users[:1], commonv1.Reason_GROUP_CYCLE, "add[2]"},
		"one of both":           {users[1:], []string{users[0], users[2]}, commonv1.Reason_INVALID_FIELD, "remove[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.change(org, grp, tc.add, tc.remove)
			wantFault(t, err, tc.want, tc.field)
		})
	}
	if got, _ := p.membersOf(t, org, grp, 10); p.head(t, org) != head || !slices.Equal(got, users[:1]) {
		t.Errorf("members %v at %d, want those of before at %d", got, p.head(t, org), head)
	}
	p.verify(t, org)
	p.fill(t, org, "nestings", group.NestingLimit)
	_, err := p.change(org, grp, []string{p.group(t, org, "sub")}, nil)
	wantFault(t, err, commonv1.Reason_LIMIT_REACHED, "add")
	if _, err := p.db.Pool().Exec(t.Context(), `UPDATE identity.groups SET members = $2 WHERE group_id = $1`, grp, group.MemberLimit); err != nil {
		t.Fatal(err)
	}
	_, err = p.change(org, grp, users[1:2], nil)
	wantFault(t, err, commonv1.Reason_LIMIT_REACHED, "add")
}

func TestNesting(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	chain := make([]string, group.MaxDepth)
	for i := range chain {
		chain[i] = p.group(t, org, fmt.Sprint("level ", i))
	}
	// The lower half first, then the upper half, then the link between them.
	for _, i := range []int{5, 6, 7, 8, 0, 1, 2, 3, 4} {
		p.mustChange(t, org, chain[i], []string{chain[i+1]}, nil)
	}
	more := p.group(t, org, "more")
	top, bottom := chain[0], chain[len(chain)-1]
	for name, tc := range map[string]struct {
		outer, inner string
		want         commonv1.Reason
		field        string
	}{
		"at the bottom":            {bottom, more, commonv1.Reason_GROUP_TOO_DEEP, "add"},
		"on the top":               {more, top, commonv1.Reason_GROUP_TOO_DEEP, "add"},
		"the top in the bottom":    {bottom, top, commonv1.Reason_GROUP_CYCLE, "add[0]"},
		"the top in the middle":    {chain[5], top, commonv1.Reason_GROUP_CYCLE, "add[0]"},
		"one in the one below":     {chain[5], chain[4], commonv1.Reason_GROUP_CYCLE, "add[0]"},
		"in itself":                {more, more, commonv1.Reason_GROUP_CYCLE, "add[0]"},
		"the second in a new top":  {more, chain[1], 0, ""},
		"a way that is shorter":    {chain[2], chain[7], 0, ""},
		"one more on the top":      {top, more, 0, ""},
		"one more at the last":     {chain[8], more, 0, ""},
		"a new one above the last": {more, bottom, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.change(org, tc.outer, []string{tc.inner}, nil)
			if tc.want == 0 && err != nil {
				t.Error(err)
			}
			if tc.want != 0 {
				wantFault(t, err, tc.want, tc.field)
			}
			if tc.want == 0 {
				p.mustChange(t, org, tc.outer, nil, []string{tc.inner})
			}
		})
	}
	p.verify(t, org)
	// A link that is cut lets the halves be nested the other way around.
	p.mustChange(t, org, chain[4], nil, []string{chain[5]})
	p.mustChange(t, org, bottom, []string{top}, nil)
	_, err := p.change(org, chain[4], []string{chain[5]}, nil)
	wantFault(t, err, commonv1.Reason_GROUP_CYCLE, "add[0]")
	p.verify(t, org)
}

// Two nestings that are a cycle together are asked for at once, in one process and
// in two: one of them is refused.
func TestNestingsThatRace(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	for process, other := range map[string]*people{"one process": p, "two processes": p.another(t)} {
		for round := range 8 {
			a, b := p.group(t, org, fmt.Sprint("a ", process, round)), p.group(t, org, fmt.Sprint("b ", process, round))
			middle := p.group(t, org, fmt.Sprint("middle ", process, round))
			p.mustChange(t, org, a, []string{middle}, nil)
			var (
				wait sync.WaitGroup
				errs [2]error
			)
			wait.Go(func() { _, errs[0] = p.change(org, middle, []string{b}, nil) })
			wait.Go(func() { _, errs[1] = other.change(org, b, []string{a}, nil) })
			wait.Wait()
			refused := 0
			for _, err := range errs {
				switch {
				case fault.Is(err, commonv1.Reason_GROUP_CYCLE):
					refused++
				case err != nil:
					t.Errorf("%s: %v", process, err)
				}
			}
			if refused != 1 {
				t.Errorf("%s: %d of 2 nestings were refused, want 1", process, refused)
			}
		}
	}
	p.verify(t, org)
}

func TestListGroupMembersPages(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	grp, users := p.group(t, org, "all"), p.members(t, org, 10_000)
	for part := range slices.Chunk(users, 1000) {
		p.mustChange(t, org, grp, part, nil)
	}
	got, pages := p.membersOf(t, org, grp, 200)
	slices.Sort(users)
	if !slices.Equal(got, users) || pages != 51 {
		t.Errorf("%d members on %d pages, want %d on 51, in order", len(got), pages, len(users))
	}
	answer, err := p.groups.GetGroup(p.ctx, &identityv1.GetGroupRequest{Organization: org, Group: grp})
	if err != nil || answer.GetGroup().GetMembers() != 10_000 {
		t.Errorf("GetGroup = %v, %v", answer, err)
	}
	first, err := p.groups.ListGroupMembers(p.ctx, &identityv1.ListGroupMembersRequest{Organization: org, Group: grp})
	if err != nil || len(first.GetMembers()) != 50 {
		t.Fatalf("a page without a size has %d, %v", len(first.GetMembers()), err)
	}
	_, err = p.groups.ListGroupMembers(p.ctx, &identityv1.ListGroupMembersRequest{
		Organization: org, Group: p.group(t, org, "other"), Cursor: first.GetNextCursor(),
	})
	wantFault(t, err, commonv1.Reason_INVALID_FIELD, "cursor")
	p.verify(t, org)
}
