package store

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
)

// groupMember is a member of a group.
type groupMember struct{ group, member string }

// groupFold rebuilds the rows of an organization's groups and their members.
type groupFold struct {
	organization string
	groups       map[string]*group.State
	numbers      map[string]int64
	// members stay when their group is deleted: events before must remove them.
	members map[groupMember]bool
}

func newGroupFold(organization string) *groupFold {
	return &groupFold{
		organization: organization, groups: map[string]*group.State{},
		numbers: map[string]int64{}, members: map[groupMember]bool{},
	}
}

func (f *groupFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.GroupCreated:
		f.groups[e.GetGroup()] = &group.State{}
		f.groups[e.GetGroup()].Apply(e)
	case *eventv1.GroupChanged:
		if g := f.groups[e.GetGroup()]; g != nil {
			g.Apply(e)
		}
	case *eventv1.GroupMembersChanged:
		for _, member := range e.GetAdded() {
			f.members[groupMember{e.GetGroup(), member}] = true
		}
		for _, member := range e.GetRemoved() {
			delete(f.members, groupMember{e.GetGroup(), member})
		}
		f.numbers[e.GetGroup()] += int64(len(e.GetAdded()) - len(e.GetRemoved()))
	case *eventv1.GroupDeleted:
		delete(f.groups, e.GetGroup())
	default:
		return false
	}
	return true
}

func (f *groupFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	for _, compare := range []func(context.Context, sqldb.Querier) (string, error){f.compareGroups, f.compareMembers} {
		if difference, err := compare(ctx, q); err != nil || difference != "" {
			return difference, err
		}
	}
	return "", nil
}

func (f *groupFold) compareGroups(ctx context.Context, q sqldb.Querier) (string, error) {
	const page = 1000
	rows := 0
	for after := []byte(nil); ; {
		groups, err := ListGroups(ctx, q, f.organization, nil, after, page)
		if err != nil {
			return "", err
		}
		for _, row := range groups {
			want := f.groups[row.ID]
			if want == nil || row.State != *want || !bytes.Equal(row.Key, want.NameKey()) || row.Members != f.numbers[row.ID] {
				return fmt.Sprintf("group row %s differs from the log", row.ID), nil
			}
		}
		rows += len(groups)
		if len(groups) < page {
			break
		}
		after = groups[len(groups)-1].Key
	}
	if rows != len(f.groups) {
		return fmt.Sprintf("%d group rows, log says %d", rows, len(f.groups)), nil
	}
	return compareCount(ctx, q, f.organization, Groups, rows)
}

// compareMembers reads all members in one statement.
func (f *groupFold) compareMembers(ctx context.Context, q sqldb.Querier) (string, error) {
	rows, err := q.Query(ctx, `SELECT group_id, member_id FROM identity.group_members WHERE organization_id = $1`, f.organization)
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	defer rows.Close()
	number, nestings := 0, 0
	for rows.Next() {
		var row groupMember
		if err := rows.Scan(&row.group, &row.member); err != nil {
			return "", sqldb.Unavailable(err)
		}
		if !f.members[row] {
			return fmt.Sprintf("row of member %s of group %s is not in the log", row.member, row.group), nil
		}
		number++
		if group.IsGroup(row.member) {
			nestings++
		}
	}
	switch err := rows.Err(); {
	case err != nil:
		return "", sqldb.Unavailable(err)
	case number != len(f.members):
		return fmt.Sprintf("%d rows of group members, log says %d", number, len(f.members)), nil
	}
	rows.Close() // before the next statement
	return compareCount(ctx, q, f.organization, Nestings, nestings)
}
