package isolation_test

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/e2e/harness"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// requests are valid calls of every method, by its full name. A method that is
// missing here fails the tests: whoever adds one says here how to call it.
//
// A request with a field `organization` names the organization of the place.
var requests = map[string]func(p place) proto.Message{
	"meridian.authz.v1.CheckService.Check": func(p place) proto.Message {
		return &authzv1.CheckRequest{Organization: p.organization, Subject: "user:anna", Permission: "viewer", Resource: "document:plan"}
	},
	"meridian.authz.v1.CheckService.Explain": func(p place) proto.Message {
		return &authzv1.ExplainRequest{Organization: p.organization, Subject: "user:anna", Permission: "viewer", Resource: "document:plan"}
	},
	"meridian.authz.v1.CheckService.BatchCheck": func(p place) proto.Message {
		return &authzv1.BatchCheckRequest{
			Organization: p.organization,
			Items:        []*authzv1.BatchCheckItem{{Subject: "user:anna", Permission: "viewer", Resource: "document:plan"}},
		}
	},
	"meridian.authz.v1.LookupService.ListObjects": func(p place) proto.Message {
		return &authzv1.ListObjectsRequest{Organization: p.organization, Subject: "user:anna", Permission: "viewer", ResourceType: "document"}
	},
	"meridian.authz.v1.LookupService.StreamObjects": func(p place) proto.Message {
		return &authzv1.StreamObjectsRequest{Organization: p.organization, Subject: "user:anna", Permission: "viewer", ResourceType: "document"}
	},
	"meridian.authz.v1.LookupService.ListSubjects": func(p place) proto.Message {
		return &authzv1.ListSubjectsRequest{Organization: p.organization, Resource: "document:plan", Permission: "viewer", SubjectType: "user"}
	},
	"meridian.authz.v1.LookupService.StreamSubjects": func(p place) proto.Message {
		return &authzv1.StreamSubjectsRequest{Organization: p.organization, Resource: "document:plan", Permission: "viewer", SubjectType: "user"}
	},
	"meridian.authz.v1.LookupService.ListActions": func(p place) proto.Message {
		return &authzv1.ListActionsRequest{Organization: p.organization, Subject: "user:anna", Resource: "document:plan"}
	},
	"meridian.authz.v1.LookupService.Expand": func(p place) proto.Message {
		return &authzv1.ExpandRequest{Organization: p.organization, Resource: "document:plan", Permission: "viewer"}
	},
	"meridian.authz.v1.ModelService.PublishModel": func(p place) proto.Message {
		return &authzv1.PublishModelRequest{Name: "documents", Files: []*authzv1.ModelFile{{Path: "m.fga", Content: model}}, IdempotencyKey: p.key()}
	},
	"meridian.authz.v1.ModelService.ReadModel": func(p place) proto.Message {
		return &authzv1.ReadModelRequest{Model: p.model}
	},
	"meridian.authz.v1.ModelService.ListModels": func(place) proto.Message { return &authzv1.ListModelsRequest{} },
	"meridian.authz.v1.ModelService.AssignModel": func(p place) proto.Message {
		return &authzv1.AssignModelRequest{Organization: p.organization, Choice: &authzv1.AssignModelRequest_Model{Model: p.model}, IdempotencyKey: p.key()}
	},
	"meridian.authz.v1.ModelService.SetModelState": func(p place) proto.Message {
		return &authzv1.SetModelStateRequest{Model: p.model, State: authzv1.ModelState_MODEL_STATE_ACTIVE, IdempotencyKey: p.key()}
	},
	"meridian.authz.v1.ModelService.GetAssignment": func(p place) proto.Message {
		return &authzv1.GetAssignmentRequest{Organization: p.organization}
	},
	"meridian.authz.v1.ModelService.GetRollout": func(place) proto.Message { return &authzv1.GetRolloutRequest{Line: "documents"} },
	"meridian.authz.v1.ModelService.DiffModels": func(p place) proto.Message {
		return &authzv1.DiffModelsRequest{Organization: p.organization, To: p.model}
	},
	"meridian.authz.v1.RoleService.CreateRole": func(p place) proto.Message {
		return &authzv1.CreateRoleRequest{
			Organization: p.organization, Role: "made-by-" + p.key(), Name: "Made", IdempotencyKey: p.key(),
			Permissions: []*authzv1.RolePermission{{Resource: "document:plan", Relation: "viewer"}},
		}
	},
	"meridian.authz.v1.RoleService.UpdateRole": func(p place) proto.Message {
		return &authzv1.UpdateRoleRequest{Organization: p.organization, Role: p.newRole(p.organization), Name: "Other", IdempotencyKey: p.key()}
	},
	"meridian.authz.v1.RoleService.DeleteRole": func(p place) proto.Message {
		return &authzv1.DeleteRoleRequest{Organization: p.organization, Role: p.newRole(p.organization), IdempotencyKey: p.key()}
	},
	"meridian.authz.v1.RoleService.GetRole": func(p place) proto.Message {
		return &authzv1.GetRoleRequest{Organization: p.organization, Role: p.newRole(p.organization)}
	},
	"meridian.authz.v1.RoleService.ListRoles": func(p place) proto.Message {
		return &authzv1.ListRolesRequest{Organization: p.organization}
	},
	"meridian.authz.v1.RoleService.AssignRole": func(p place) proto.Message {
		return &authzv1.AssignRoleRequest{
			Organization: p.organization, Role: p.newRole(p.organization), Subject: "user:anna", IdempotencyKey: p.key(),
		}
	},
	"meridian.authz.v1.RoleService.UnassignRole": func(p place) proto.Message {
		return &authzv1.UnassignRoleRequest{
			Organization: p.organization, Role: p.newRole(p.organization), Subject: "user:anna", IdempotencyKey: p.key(),
		}
	},
	"meridian.authz.v1.RoleService.ListRoleAssignments": func(p place) proto.Message {
		return &authzv1.ListRoleAssignmentsRequest{Organization: p.organization, Role: p.newRole(p.organization)}
	},
	"meridian.authz.v1.RelationshipService.WriteRelationships": func(p place) proto.Message {
		return &authzv1.WriteRelationshipsRequest{
			Organization: p.organization, IdempotencyKey: p.key(),
			Updates: []*authzv1.RelationshipUpdate{{Operation: authzv1.Operation_OPERATION_TOUCH, Relationship: written}},
		}
	},
	"meridian.authz.v1.RelationshipService.ImportRelationships": func(p place) proto.Message {
		return &authzv1.ImportRelationshipsRequest{Organization: p.organization, Relationships: []*authzv1.Relationship{written}}
	},
	"meridian.authz.v1.RelationshipService.ReadRelationships": func(p place) proto.Message {
		return &authzv1.ReadRelationshipsRequest{Organization: p.organization}
	},
	"meridian.authz.v1.RelationshipService.ExportRelationships": func(p place) proto.Message {
		return &authzv1.ExportRelationshipsRequest{Organization: p.organization}
	},
	"meridian.authz.v1.RelationshipService.Watch": func(p place) proto.Message {
		return &authzv1.WatchRequest{Organization: p.organization}
	},
	"meridian.identity.v1.OrganizationService.CreateOrganization": func(p place) proto.Message {
		return &identityv1.CreateOrganizationRequest{Slug: "made-" + strconv.Itoa(p.number()), Name: "Made", IdempotencyKey: p.key()}
	},
	"meridian.identity.v1.OrganizationService.GetOrganization": func(p place) proto.Message {
		return &identityv1.GetOrganizationRequest{Organization: p.organization}
	},
	"meridian.identity.v1.OrganizationService.ListOrganizations": func(place) proto.Message {
		return &identityv1.ListOrganizationsRequest{}
	},
	"meridian.identity.v1.OrganizationService.MoveHome": func(p place) proto.Message {
		return &identityv1.MoveHomeRequest{Organization: p.organization, HomeRegion: harness.Region, IdempotencyKey: p.key()}
	},
	"meridian.identity.v1.ApiTokenService.CreateApiToken": func(p place) proto.Message {
		return &identityv1.CreateApiTokenRequest{
			Organization: p.organization, Name: "made", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: p.key(),
		}
	},
	"meridian.identity.v1.ApiTokenService.ListApiTokens": func(p place) proto.Message {
		return &identityv1.ListApiTokensRequest{Organization: p.organization}
	},
	"meridian.identity.v1.ApiTokenService.RevokeApiToken": func(p place) proto.Message {
		return &identityv1.RevokeApiTokenRequest{Organization: p.organization, Token: p.token, IdempotencyKey: p.key()}
	},
	"meridian.identity.v1.ApiTokenService.VerifyApiToken": func(p place) proto.Message {
		return &identityv1.VerifyApiTokenRequest{Secret: p.secret}
	},
	"meridian.audit.v1.ActivityService.ListActivity": func(place) proto.Message { return &auditv1.ListActivityRequest{} },
	"meridian.log.v1.LogService.VerifyLogs":          func(p place) proto.Message { return &logv1.VerifyLogsRequest{Log: p.organization} },
	"meridian.log.v1.LogService.TailLog":             func(p place) proto.Message { return &logv1.TailLogRequest{Log: p.organization} },
}

const model = `model
  schema 1.1
type user
type role
  relations
    define assignee: [user]
type document
  relations
    define viewer: [user, role#assignee]
`

var written = &authzv1.Relationship{Resource: "document:plan", Relation: "viewer", Subject: "user:anna"}
