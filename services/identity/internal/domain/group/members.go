package group

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// maxEventMembers is how many ids an event has: 320 KB of them.
const maxEventMembers = 10_000

// Members is what a change of members is decided on. It is as it was before the
// change, and says of the named ids only what the change needs.
type Members struct {
	State

	// Number is how many members the group has; Nestings is how often the
	// organization has a group in a group.
	Number, Nestings int64
	// Present are those of the named ids that are members.
	Present map[string]bool
	// Paused are those of the ids to add that are suspended or disabled.
	Paused map[string]bool
	// Missing are those of the ids to add that the organization does not have.
	Missing map[string]bool
	// Above are the groups that the group is inside of, at any depth, and Depth is
	// how many groups are inside each other down to the group, itself counted.
	Above map[string]bool
	Depth int
	// Height is how many groups are inside each other in the groups to add.
	Height int
}

// ChangeMembers adds and removes members. Each id is given once.
type ChangeMembers struct {
	Add, Remove []string
}

// Decide returns the event that adds those who are not there and removes those who
// are, or none when that is nobody. added and removed are how many.
//
// Errors: NOT_FOUND (the group; an id to add: field names it); INVALID_FIELD for an
// id that is to be added and removed; GROUP_CYCLE (field); GROUP_TOO_DEEP;
// LIMIT_REACHED. None writes anything.
func (c ChangeMembers) Decide(m Members) (events []proto.Message, err error) {
	if m.ID == "" {
		return nil, NotFound()
	}
	add := make(map[string]bool, len(c.Add))
	for _, member := range c.Add {
		add[member] = true
	}
	for i, member := range c.Remove {
		if add[member] {
			return nil, fault.Field(fmt.Sprintf("remove[%d]", i), "unique", "is to be added, too")
		}
	}
	if err := c.known(m); err != nil {
		return nil, err
	}
	added := slices.DeleteFunc(slices.Clone(c.Add), func(member string) bool { return m.Present[member] })
	removed := slices.DeleteFunc(slices.Clone(c.Remove), func(member string) bool { return !m.Present[member] })
	if err := nests(m, added); err != nil {
		return nil, err
	}
	if m.Number+int64(len(added)-len(removed)) > MemberLimit {
		return nil, limitReached("the group has as many members as it may", "add", MemberLimit)
	}
	if m.Nestings+int64(Groups(added)-Groups(removed)) > NestingLimit {
		return nil, limitReached("the organization has as many groups in groups as it may", "add", NestingLimit)
	}
	return Changed(m.ID, added, removed, m.Paused), nil
}

// known refuses what the organization does not have, and a group in itself.
func (c ChangeMembers) known(m Members) error {
	for i, member := range c.Add {
		field := fmt.Sprintf("add[%d]", i)
		switch {
		case m.Missing[member]:
			return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "the organization has no such user, service account or group").
				With("field", field)
		case member == m.ID, m.Above[member]:
			return fault.New(fault.Precondition, commonv1.Reason_GROUP_CYCLE, "the group would be inside itself").With("field", field)
		}
	}
	return nil
}

// nests refuses groups that would be too deep.
func nests(m Members, added []string) error {
	if Groups(added) == 0 || m.Depth+m.Height <= MaxDepth {
		return nil
	}
	return fault.New(fault.Precondition, commonv1.Reason_GROUP_TOO_DEEP,
		fmt.Sprintf("groups would be nested more than %d deep", MaxDepth)).
		With("limit", strconv.Itoa(MaxDepth)).With("field", "add")
}

// IsGroup says whether a member's id is a group's.
func IsGroup(member string) bool { return strings.HasPrefix(member, string(id.Group)+"_") }

// Groups is how many of the members are groups.
func Groups(members []string) (n int) {
	for _, member := range members {
		if IsGroup(member) {
			n++
		}
	}
	return n
}

// Changed returns the events by which a group gets and loses members; none when
// there are none. paused are those of the added who are given nothing by it now.
func Changed(group string, added, removed []string, paused map[string]bool) (events []proto.Message) {
	for len(added)+len(removed) > 0 {
		in := min(len(added), maxEventMembers)
		out := min(len(removed), maxEventMembers-in)
		event := &eventv1.GroupMembersChanged{Group: group, Added: added[:in], Removed: removed[:out]}
		for _, member := range event.GetAdded() {
			if paused[member] {
				event.Paused = append(event.Paused, member)
			}
		}
		events = append(events, event)
		added, removed = added[in:], removed[out:]
	}
	return events
}

// Left returns the events by which a member leaves groups.
func Left(member string, groups []string) []proto.Message {
	events := make([]proto.Message, len(groups))
	for i, group := range groups {
		events[i] = &eventv1.GroupMembersChanged{Group: group, Removed: []string{member}}
	}
	return events
}
