package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

func (a *App) role() *cobra.Command {
	cmd := &cobra.Command{Use: "role", GroupID: "manage", Short: "Roles: create, update, delete, list, show, assign, unassign, assignments"}
	cmd.AddCommand(a.roleCreate(), a.roleUpdate(), a.roleDelete(), a.roleList(), a.roleShow(),
		a.roleAssign(), a.roleUnassign(), a.roleAssignments())
	return cmd
}

// parsePermissions reads resource#relation, as service:prod#can_scale.
func parsePermissions(texts []string) ([]*authzv1.RolePermission, error) {
	var out []*authzv1.RolePermission
	for _, text := range texts {
		resource, relation, ok := strings.Cut(text, "#")
		if !ok {
			return nil, fmt.Errorf("--permission %q: write type:id#relation, as service:prod#can_scale", text)
		}
		out = append(out, &authzv1.RolePermission{Resource: resource, Relation: relation})
	}
	return out, nil
}

func (a *App) roleCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create ROLE", Args: cobra.ExactArgs(1), Short: "Create a role with its permissions",
		Example: `  meridian role create ops --name Operations --permission service:prod#can_scale --permission service:prod#can_query
  meridian role create auditor --permission organization:acme#can_view_audit_log`,
	}
	name := cmd.Flags().String("name", "", "what people call it (default: the id)")
	description := cmd.Flags().String("description", "", "what it is for")
	permissions := cmd.Flags().StringArray("permission", nil, "resource#relation; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		granted, err := parsePermissions(*permissions)
		if err != nil {
			return err
		}
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		answer, err := client.Roles.CreateRole(cmd.Context(), &authzv1.CreateRoleRequest{
			Organization: organization, Role: args[0], Name: first(*name, args[0]), Description: *description,
			Permissions: granted, IdempotencyKey: newKey(),
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		return a.changed("created", answer.GetRole().GetId(), answer.GetRevision())
	}
	return cmd
}

func (a *App) roleUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update ROLE", Args: cobra.ExactArgs(1), Short: "Change a role; what is not named stays",
		Example: `  meridian role update ops --permission service:prod#can_scale
  meridian role update ops --name 'Night shift'
  meridian role update ops --no-permissions`,
	}
	name := cmd.Flags().String("name", "", "another name")
	description := cmd.Flags().String("description", "", "another description")
	permissions := cmd.Flags().StringArray("permission", nil, "resource#relation, instead of those it has; may be repeated")
	none := cmd.Flags().Bool("no-permissions", false, "take all permissions away")
	cmd.MarkFlagsMutuallyExclusive("permission", "no-permissions")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		granted, err := parsePermissions(*permissions)
		if err != nil {
			return err
		}
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		now, err := client.Roles.GetRole(cmd.Context(), &authzv1.GetRoleRequest{Organization: organization, Role: args[0]})
		if err != nil {
			return err
		}
		req := &authzv1.UpdateRoleRequest{
			Organization: organization, Role: args[0], Name: now.GetRole().GetName(), Description: now.GetRole().GetDescription(),
			Permissions: now.GetRole().GetPermissions(), IdempotencyKey: newKey(),
		}
		if cmd.Flags().Changed("name") {
			req.Name = *name
		}
		if cmd.Flags().Changed("description") {
			req.Description = *description
		}
		if *none || cmd.Flags().Changed("permission") {
			req.Permissions = granted
		}
		answer, err := client.Roles.UpdateRole(cmd.Context(), req)
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		return a.changed("updated", args[0], answer.GetRevision())
	}
	return cmd
}

func (a *App) roleDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete ROLE", Args: cobra.ExactArgs(1), Short: "Remove a role, its permissions and its assignments",
		Example: "  meridian role delete ops",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, organization, err := a.inOrganization()
			if err != nil {
				return err
			}
			answer, err := client.Roles.DeleteRole(cmd.Context(), &authzv1.DeleteRoleRequest{
				Organization: organization, Role: args[0], IdempotencyKey: newKey(),
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.printMessage(answer)
			}
			return a.changed("deleted", args[0], answer.GetRevision())
		},
	}
}

func (a *App) roleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List roles",
		Example: "  meridian role list\n  meridian role list --json | jq -r .id",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, organization, err := a.inOrganization()
			if err != nil {
				return err
			}
			req := &authzv1.ListRolesRequest{Organization: organization}
			_, err = list(a, []string{"ROLE", "NAME", "PERMISSIONS", "DESCRIPTION"}, 0,
				func(cursor string) ([]*authzv1.Role, string, error) {
					req.Cursor = cursor
					answer, err := client.Roles.ListRoles(cmd.Context(), req)
					return answer.GetRoles(), answer.GetNextCursor(), err
				},
				func(r *authzv1.Role) []string {
					return []string{r.GetId(), r.GetName(), fmt.Sprint(len(r.GetPermissions())), r.GetDescription()}
				})
			return err
		},
	}
}

func (a *App) roleShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ROLE", Args: cobra.ExactArgs(1), Short: "Print a role and its permissions",
		Example: "  meridian role show backup-operator",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, organization, err := a.inOrganization()
			if err != nil {
				return err
			}
			answer, err := client.Roles.GetRole(cmd.Context(), &authzv1.GetRoleRequest{Organization: organization, Role: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printMessage(answer)
			}
			r := answer.GetRole()
			fmt.Fprintf(a.stdout, "%s  %s\n", r.GetId(), r.GetName())
			if r.GetDescription() != "" {
				fmt.Fprintln(a.stdout, r.GetDescription())
			}
			for _, p := range r.GetPermissions() {
				fmt.Fprintf(a.stdout, "  %s#%s\n", p.GetResource(), p.GetRelation())
			}
			return nil
		},
	}
}

func (a *App) roleAssign() *cobra.Command {
	cmd := &cobra.Command{
		Use: "assign ROLE SUBJECT", Args: cobra.ExactArgs(2), Short: "Give a role to a subject",
		Example: `  meridian role assign ops user:zoe
  meridian role assign ops group:night#member --expires 2027-01-31T08:00:00Z
  meridian role assign ops user:zoe --expires 30d`,
	}
	expires := cmd.Flags().String("expires", "", expiresUsage)
	lasts := cmd.Flags().Duration("for", 0, "for this long, as 8h")
	cmd.MarkFlagsMutuallyExclusive("expires", "for")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := &authzv1.AssignRoleRequest{Role: args[0], Subject: args[1], IdempotencyKey: newKey()}
		switch {
		case cmd.Flags().Changed("for"):
			if *lasts <= 0 {
				return fmt.Errorf("--for %s: must be more than nothing", *lasts)
			}
			req.ExpiresAt = timestamppb.New(time.Now().Add(*lasts))
		case *expires != "":
			at, err := parseExpires(*expires, time.Now())
			if err != nil {
				return err
			}
			req.ExpiresAt = timestamppb.New(at)
		}
		client, organization, err := a.inOrganization()
		if err != nil {
			return err
		}
		req.Organization = organization
		answer, err := client.Roles.AssignRole(cmd.Context(), req)
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		return a.changed("assigned", args[0]+" to "+args[1], answer.GetRevision())
	}
	return cmd
}

func (a *App) roleUnassign() *cobra.Command {
	return &cobra.Command{
		Use: "unassign ROLE SUBJECT", Args: cobra.ExactArgs(2), Short: "Take a role from a subject",
		Example: "  meridian role unassign ops user:zoe",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, organization, err := a.inOrganization()
			if err != nil {
				return err
			}
			answer, err := client.Roles.UnassignRole(cmd.Context(), &authzv1.UnassignRoleRequest{
				Organization: organization, Role: args[0], Subject: args[1], IdempotencyKey: newKey(),
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.printMessage(answer)
			}
			return a.changed("unassigned", args[0]+" from "+args[1], answer.GetRevision())
		},
	}
}

func (a *App) roleAssignments() *cobra.Command {
	return &cobra.Command{
		Use: "assignments ROLE", Args: cobra.ExactArgs(1), Short: "List who has a role",
		Example: "  meridian role assignments backup-operator",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, organization, err := a.inOrganization()
			if err != nil {
				return err
			}
			req := &authzv1.ListRoleAssignmentsRequest{Organization: organization, Role: args[0], PageSize: 1000}
			_, err = list(a, []string{"SUBJECT", "EXPIRES"}, 0,
				func(cursor string) ([]*authzv1.RoleAssignment, string, error) {
					req.Cursor = cursor
					answer, err := client.Roles.ListRoleAssignments(cmd.Context(), req)
					return answer.GetAssignments(), answer.GetNextCursor(), err
				},
				func(r *authzv1.RoleAssignment) []string {
					if r.GetExpiresAt() == nil {
						return []string{r.GetSubject(), "-"}
					}
					return []string{r.GetSubject(), r.GetExpiresAt().AsTime().Format(time.RFC3339)}
				})
			return err
		},
	}
}
