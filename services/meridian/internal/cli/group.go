package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func (a *App) group() *cobra.Command {
	cmd := &cobra.Command{Use: "group", GroupID: "manage", Short: "Groups of members: create, list, show, rename, delete, add, remove, members"}
	cmd.AddCommand(a.groupCreate(), a.groupList(), a.groupShow(), a.groupRename(), a.groupDelete(),
		a.groupAdd(), a.groupRemove(), a.groupMembers())
	return cmd
}

// ofGroup is inside for commands whose first argument is a group, by id or name.
func (a *App) ofGroup(
	cmd *cobra.Command, do func(ctx context.Context, client *meridian.Client, organization, group string, args []string) error,
) *cobra.Command {
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		group, err := groupID(ctx, client, organization, args[0])
		if err != nil {
			return err
		}
		return do(ctx, client, organization, group, args)
	})
}

func (a *App) groupCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Args: cobra.ExactArgs(1), Short: "Create a group",
		Example: "  meridian group create Engineering --description 'Who builds it'",
	}
	description := cmd.Flags().String("description", "", "what it is for")
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, args []string) error {
		answer, err := client.Groups.CreateGroup(ctx, &identityv1.CreateGroupRequest{
			Organization: organization, Name: args[0], Description: *description, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "created", words(answer.GetGroup().GetId(), answer.GetGroup().GetName()))
	})
}

func (a *App) groupList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List groups by name",
		Example: "  meridian group list\n  meridian group list --search eng --json | jq -r .id",
	}
	search := cmd.Flags().String("search", "", "the beginning of the name")
	limit, told := a.limitFlag(cmd)
	return a.inside(cmd, func(ctx context.Context, client *meridian.Client, organization string, _ []string) error {
		request := &identityv1.ListGroupsRequest{Organization: organization, Search: *search, PageSize: pageFor(*limit)}
		more, err := list(a, []string{"GROUP", "NAME", "MEMBERS", "DESCRIPTION"}, *limit,
			func(cursor string) ([]*identityv1.Group, string, error) {
				request.Cursor = cursor
				answer, err := client.Groups.ListGroups(ctx, request)
				return answer.GetGroups(), answer.GetNextCursor(), err
			},
			func(g *identityv1.Group) []string {
				return []string{g.GetId(), g.GetName(), strconv.FormatUint(uint64(g.GetMembers()), 10), g.GetDescription()}
			})
		told(more)
		return err
	})
}

func (a *App) groupShow() *cobra.Command {
	return a.ofGroup(&cobra.Command{
		Use: "show GROUP", Args: cobra.ExactArgs(1), Short: "Print a group, by id or name",
		Example: "  meridian group show Engineering",
	}, func(ctx context.Context, client *meridian.Client, organization, group string, _ []string) error {
		answer, err := client.Groups.GetGroup(ctx, &identityv1.GetGroupRequest{Organization: organization, Group: group})
		g := answer.GetGroup()
		return a.show(answer, err, "group", g.GetId(), "name", g.GetName(), "description", g.GetDescription(),
			"organization", g.GetOrganization(), "members", strconv.FormatUint(uint64(g.GetMembers()), 10), "created", timeText(g.GetCreatedAt()))
	})
}

func (a *App) groupRename() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rename GROUP NAME", Args: cobra.ExactArgs(2), Short: "Give a group another name",
		Example: "  meridian group rename Engineering Builders\n  meridian group rename grp_… Builders --description 'Who builds it'",
	}
	description := cmd.Flags().String("description", "", "another description, too")
	return a.ofGroup(cmd, func(ctx context.Context, client *meridian.Client, organization, group string, args []string) error {
		answer, err := client.Groups.UpdateGroup(ctx, &identityv1.UpdateGroupRequest{
			Organization: organization, Group: group, Name: &args[1], Description: given(cmd, "description", description), IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "renamed", words(answer.GetGroup().GetId(), answer.GetGroup().GetName()))
	})
}

func (a *App) groupDelete() *cobra.Command {
	return a.ofGroup(&cobra.Command{
		Use: "delete GROUP", Args: cobra.ExactArgs(1), Short: "Remove a group, also from other groups; its members stay",
		Example: "  meridian group delete Builders",
	}, func(ctx context.Context, client *meridian.Client, organization, group string, _ []string) error {
		answer, err := client.Groups.DeleteGroup(ctx, &identityv1.DeleteGroupRequest{
			Organization: organization, Group: group, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "deleted", group)
	})
}

const groupMembersLong = "A member is a user, by id or email address, who is a member of the organization, or a service\n" +
	"account or a group, by id. All or none."

func (a *App) groupAdd() *cobra.Command {
	return a.ofGroup(&cobra.Command{
		Use: "add GROUP MEMBER...", Args: cobra.MinimumNArgs(2), Short: "Put members into a group", Long: groupMembersLong,
		Example: "  meridian group add Engineering anna@acme.example svc_…\n  meridian group add Engineering grp_…",
	}, func(ctx context.Context, client *meridian.Client, organization, group string, args []string) error {
		ids, err := memberIDs(ctx, client, organization, args[1:])
		if err != nil {
			return err
		}
		answer, err := client.Groups.ChangeGroupMembers(ctx, &identityv1.ChangeGroupMembersRequest{
			Organization: organization, Group: group, Add: ids, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "added", fmt.Sprintf("%d to %s", answer.GetAdded(), group))
	})
}

func (a *App) groupRemove() *cobra.Command {
	return a.ofGroup(&cobra.Command{
		Use: "remove GROUP MEMBER...", Args: cobra.MinimumNArgs(2), Short: "Take members out of a group", Long: groupMembersLong,
		Example: "  meridian group remove Engineering anna@acme.example",
	}, func(ctx context.Context, client *meridian.Client, organization, group string, args []string) error {
		ids, err := memberIDs(ctx, client, organization, args[1:])
		if err != nil {
			return err
		}
		answer, err := client.Groups.ChangeGroupMembers(ctx, &identityv1.ChangeGroupMembersRequest{
			Organization: organization, Group: group, Remove: ids, IdempotencyKey: newKey(),
		})
		return a.did(answer, err, "removed", fmt.Sprintf("%d from %s", answer.GetRemoved(), group))
	})
}

func (a *App) groupMembers() *cobra.Command {
	cmd := &cobra.Command{
		Use: "members GROUP", Args: cobra.ExactArgs(1), Short: "List a group's own members, by id",
		Example: "  meridian group members Engineering",
	}
	limit, told := a.limitFlag(cmd)
	return a.ofGroup(cmd, func(ctx context.Context, client *meridian.Client, organization, group string, _ []string) error {
		request := &identityv1.ListGroupMembersRequest{Organization: organization, Group: group, PageSize: pageFor(*limit)}
		more, err := list(a, []string{"MEMBER"}, *limit,
			func(cursor string) ([]groupMember, string, error) {
				request.Cursor = cursor
				answer, err := client.Groups.ListGroupMembers(ctx, request)
				out := make([]groupMember, len(answer.GetMembers()))
				for i, id := range answer.GetMembers() {
					out[i] = groupMember{id}
				}
				return out, answer.GetNextCursor(), err
			},
			func(m groupMember) []string { return []string{m.Member} })
		told(more)
		return err
	})
}

// groupMember is a member of a group, for JSON.
type groupMember struct {
	Member string `json:"member"`
}
