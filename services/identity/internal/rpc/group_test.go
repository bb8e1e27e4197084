package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
)

func TestGroupLife(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	request := &identityv1.CreateGroupRequest{Organization: org, Name: "Engineering", Description: "builds", IdempotencyKey: "1"}
	made, err := p.groups.CreateGroup(p.ctx, request)
	if err != nil || !id.Valid(id.Group, made.GetGroup().GetId()) {
		t.Fatalf("CreateGroup = %v, %v", made, err)
	}
	if again, err := p.groups.CreateGroup(p.ctx, request); err != nil || !proto.Equal(again, made) {
		t.Errorf("repeated: %v, %v; want %v", again, err, made)
	}
	grp := made.GetGroup().GetId()
	p.mustChange(t, org, grp, p.members(t, org, 3), nil)
	got, err := p.groups.GetGroup(p.ctx, &identityv1.GetGroupRequest{Organization: org, Group: grp, AtLeast: made.GetRevision()})
	if err != nil || got.GetGroup().GetMembers() != 3 || got.GetGroup().GetName() != "Engineering" {
		t.Errorf("GetGroup = %v, %v", got, err)
	}
	update := &identityv1.UpdateGroupRequest{Organization: org, Group: grp, Name: new("ENGINEERING"), IdempotencyKey: "2"}
	updated, err := p.groups.UpdateGroup(p.ctx, update)
	if err != nil || updated.GetGroup().GetName() != "ENGINEERING" || updated.GetGroup().GetDescription() != "builds" || updated.GetGroup().GetMembers() != 3 {
		t.Errorf("UpdateGroup = %v, %v", updated, err)
	}
	update.IdempotencyKey = "3"
	if same, err := p.groups.UpdateGroup(p.ctx, update); err != nil || same.GetRevision() != updated.GetRevision() {
		t.Errorf("updated to what is: %v, %v; want the revision of before", same, err)
	}
	p.verify(t, org)
}

func TestGroupNames(t *testing.T) {
	p := newPeople(t)
	org, other := p.organization(t, p.ctx, "acme"), p.organization(t, p.ctx, "globex")
	grp := p.group(t, org, "Ops")
	create := func(org, name string) error {
		_, err := p.groups.CreateGroup(p.ctx, &identityv1.CreateGroupRequest{Organization: org, Name: name, IdempotencyKey: p.key()})
		return err
	}
	wantFault(t, create(org, "OPS"), commonv1.Reason_ALREADY_EXISTS, "name")
	wantFault(t, create(org, "\x07"), commonv1.Reason_INVALID_FIELD, "name")
	wantFault(t, create(id.New(id.Organization), "ops"), commonv1.Reason_NOT_FOUND, "")
	dev := p.group(t, org, "dev")
	_, err := p.groups.UpdateGroup(p.ctx, &identityv1.UpdateGroupRequest{Organization: org, Group: dev, Name: new("oPS"), IdempotencyKey: p.key()})
	wantFault(t, err, commonv1.Reason_ALREADY_EXISTS, "name")
	if err := create(other, "ops"); err != nil {
		t.Errorf("the name in another organization: %v", err)
	}
	if _, err := p.groups.DeleteGroup(p.ctx, &identityv1.DeleteGroupRequest{Organization: org, Group: grp, IdempotencyKey: p.key()}); err != nil {
		t.Fatal(err)
	}
	if err := create(org, "ops"); err != nil {
		t.Errorf("the name of a group that is deleted: %v", err)
	}
	p.verify(t, org)
	p.fill(t, org, "groups", group.Limit)
	wantFault(t, create(org, "one more"), commonv1.Reason_LIMIT_REACHED, "groups")
}

func TestListGroups(t *testing.T) {
	p := newPeople(t)
	org, other := p.organization(t, p.ctx, "acme"), p.organization(t, p.ctx, "globex")
	for _, name := range []string{"Support", "sales", "Sales East", "SALES WEST", "Straße", "Zoë", "漢字 " + strings.Repeat("字", 150), "100%"} {
		p.group(t, org, name)
	}
	p.group(t, other, "Sales")
	list := func(search string, size uint32) (names []string) {
		for cursor := ""; ; {
			answer, err := p.groups.ListGroups(p.ctx, &identityv1.ListGroupsRequest{Organization: org, Search: search, PageSize: size, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range answer.GetGroups() {
				names = append(names, strings.TrimRight(g.GetName(), "字 "))
			}
			if cursor = answer.GetNextCursor(); cursor == "" {
				return names
			}
		}
	}
	for _, size := range []uint32{1, 2, 50} {
		for search, want := range map[string]string{
			"":           "100%|sales|Sales East|SALES WEST|Straße|Support|Zoë|漢",
			"s":          "sales|Sales East|SALES WEST|Straße|Support",
			"SALES":      "sales|Sales East|SALES WEST",
			"sales e":    "Sales East",
			"strasse":    "Straße",
			"ales":       "",
			"%":          "",
			"漢":          "漢",
			"\x00":       "",
			"sales\x00x": "",
		} {
			if got := strings.Join(list(search, size), "|"); got != want {
				t.Errorf("search %q by %d: %s, want %s", search, size, got, want)
			}
		}
	}
	first, err := p.groups.ListGroups(p.ctx, &identityv1.ListGroupsRequest{Organization: org, Search: "s", PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.groups.ListGroups(p.ctx, &identityv1.ListGroupsRequest{Organization: org, PageSize: 1, Cursor: first.GetNextCursor()})
	wantFault(t, err, commonv1.Reason_INVALID_FIELD, "cursor")
	_, err = p.groups.ListGroups(p.ctx, &identityv1.ListGroupsRequest{Organization: id.New(id.Organization)})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
}

// What a group was is undone by facts that say all of it, however many they are.
func TestDeleteGroup(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	grp, child := p.group(t, org, "large"), p.group(t, org, "child")
	users := p.members(t, org, 12_000)
	for part := range slices.Chunk(users, 1000) {
		p.mustChange(t, org, grp, part, nil)
	}
	p.mustChange(t, org, grp, []string{child}, nil)
	const parents = 300
	for i := range parents {
		p.mustChange(t, org, p.group(t, org, fmt.Sprintf("parent %03d", i)), []string{grp, users[0]}, nil)
	}
	p.verify(t, org)
	head := p.head(t, org)
	if _, err := p.groups.DeleteGroup(p.ctx, &identityv1.DeleteGroupRequest{Organization: org, Group: grp, IdempotencyKey: "delete"}); err != nil {
		t.Fatal(err)
	}
	events := p.events(t, org, head)
	if len(events) != 2+parents+1 {
		t.Fatalf("%d events, want 2 of its members, %d of its parents, 1 of itself", len(events), parents)
	}
	var gone []string
	for i, e := range events[:2+parents] {
		c, ok := e.(*eventv1.GroupMembersChanged)
		switch {
		case !ok || len(c.GetAdded()) > 0:
			t.Fatalf("event %d is %v", i, e)
		case i < 2 && c.GetGroup() == grp:
			gone = append(gone, c.GetRemoved()...)
		case i < 2 || !slices.Equal(c.GetRemoved(), []string{grp}):
			t.Fatalf("event %d of %s removes %v", i, c.GetGroup(), c.GetRemoved())
		}
	}
	want := append([]string{child}, users...)
	if slices.Sort(want); !slices.Equal(gone, want) {
		t.Errorf("%d members were removed, want %d", len(gone), len(want))
	}
	if last, ok := events[len(events)-1].(*eventv1.GroupDeleted); !ok || last.GetGroup() != grp {
		t.Errorf("the last event is %v", events[len(events)-1])
	}
	_, err := p.groups.DeleteGroup(p.ctx, &identityv1.DeleteGroupRequest{Organization: org, Group: grp, IdempotencyKey: "again"})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	p.verify(t, org)
}

// Another organization's group and one that is absent are refused with the same
// words.
func TestGroupsOfOthers(t *testing.T) {
	p := newPeople(t)
	org, other := p.organization(t, p.ctx, "acme"), p.organization(t, p.ctx, "globex")
	own, theirs := p.group(t, org, "ops"), p.group(t, other, "ops")
	p.mustChange(t, other, theirs, p.members(t, other, 1), nil)
	theirUser, theirAccount := p.members(t, other, 1)[0], p.account(t, other, "bot")
	head, heads := p.head(t, org), p.head(t, other)
	add := func(_ context.Context, member string) error {
		_, err := p.change(org, own, []string{member}, nil)
		return err
	}
	for name, tc := range map[string]struct {
		call           func(ctx context.Context, id string) error
		theirs, absent string
		field          string
	}{
		"GetGroup": {func(ctx context.Context, group string) error {
			_, err := p.groups.GetGroup(ctx, &identityv1.GetGroupRequest{Organization: org, Group: group})
			return err
		}, theirs, id.New(id.Group), ""},
		"UpdateGroup": {func(ctx context.Context, group string) error {
			_, err := p.groups.UpdateGroup(ctx, &identityv1.UpdateGroupRequest{Organization: org, Group: group, Name: new("x"), IdempotencyKey: p.key()})
			return err
		}, theirs, id.New(id.Group), ""},
		"DeleteGroup": {func(ctx context.Context, group string) error {
			_, err := p.groups.DeleteGroup(ctx, &identityv1.DeleteGroupRequest{Organization: org, Group: group, IdempotencyKey: p.key()})
			return err
		}, theirs, id.New(id.Group), ""},
		"ListGroupMembers": {func(ctx context.Context, group string) error {
			_, err := p.groups.ListGroupMembers(ctx, &identityv1.ListGroupMembersRequest{Organization: org, Group: group})
			return err
		}, theirs, id.New(id.Group), ""},
		"ChangeGroupMembers": {func(_ context.Context, group string) error {
			_, err := p.change(org, group, []string{own}, nil)
			return err
		}, theirs, id.New(id.Group), ""},
		"add a group":           {add, theirs, id.New(id.Group), "add[0]"},
		"add a user":            {add, theirUser, id.New(id.User), "add[0]"},
		"add a service account": {add, theirAccount, id.New(id.ServiceAccount), "add[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			foreign, absent := tc.call(p.ctx, tc.theirs), tc.call(p.ctx, tc.absent)
			wantFault(t, foreign, commonv1.Reason_NOT_FOUND, tc.field)
			if !fault.Is(absent, commonv1.Reason_NOT_FOUND) || fmt.Sprint(foreign) != fmt.Sprint(absent) {
				t.Errorf("another's: %v; absent: %v", foreign, absent)
			}
		})
	}
	if p.head(t, org) != head || p.head(t, other) != heads {
		t.Error("a refusal was recorded")
	}
	p.verify(t, org)
}

// Groups and service accounts move with their organization; members of groups stay
// where they were written, and new ones are written at home.
func TestGroupsMoveHome(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	grp, users := p.group(t, org, "ops"), p.members(t, org, 2)
	p.account(t, org, "bot")
	p.mustChange(t, org, grp, users[:1], nil)
	_, err := p.organizations.MoveHome(p.ctx, &identityv1.MoveHomeRequest{Organization: org, HomeRegion: "us-east", IdempotencyKey: "move"})
	if err != nil {
		t.Fatal(err)
	}
	p.group(t, org, "dev")
	p.mustChange(t, org, grp, users[1:], nil)
	for query, want := range map[string]string{
		`SELECT string_agg(DISTINCT home_region, ' ') FROM identity.groups`:                    "us-east",
		`SELECT string_agg(DISTINCT home_region, ' ') FROM identity.service_accounts`:          "us-east",
		`SELECT string_agg(DISTINCT home_region, ' ') FROM identity.counts`:                    "us-east",
		`SELECT string_agg(home_region, ' ' ORDER BY home_region) FROM identity.group_members`: "eu-west us-east",
	} {
		var got string
		if err := p.db.Pool().QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", query, got, err, want)
		}
	}
	p.verify(t, org)
}
