// Package facts says which relationships the facts of identity are. Nobody copies
// them: a graph is fed with the events of identity as with those of authz, and
// what they make is theirs to change.
//
//	a member of the organization     organization:ORG#member@user:USR
//	an administrator of it           organization:ORG#admin@user:USR, too
//	a service account of it          organization:ORG#service_account@service_account:SVC
//	a member of a group              group:GRP#member@user:USR
//	                                 group:GRP#member@service_account:SVC
//	                                 group:GRP#member@group:GRP#member
//
// A member who is suspended and a service account that is disabled stay in their
// groups, and are none of these until they are resumed or enabled: the events name
// the groups.
package facts

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/id"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// Prefix is how the types of identity's events begin.
const Prefix = "meridian.identity.event.v1."

// The types and relations that a model can use.
const (
	organization   = "organization"
	group          = "group"
	user           = "user"
	serviceAccount = "service_account"

	member = "member"
	admin  = "admin"
)

// Changes returns what an event of identity says of relationships: each event by
// itself, and the same whenever it is applied again. What it says is absent may
// have been absent before. An event that is not declared here is unknown: it may
// be one that takes something away.
func Changes(event proto.Message) (changes []authzcore.Change, known bool) {
	switch e := event.(type) {
	case *eventv1.MembershipCreated:
		return joined(e, e.GetRole()), true
	case *eventv1.MembershipResumed:
		return append(joined(e, e.GetRole()), inGroups(e.GetGroups(), e.GetUser(), false)...), true
	case *eventv1.MembershipRoleChanged:
		switch {
		case e.GetSuspended():
			return nil, true
		case e.GetRole() == eventv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN:
			return []authzcore.Change{holds(e, admin)}, true
		default:
			return []authzcore.Change{ends(e, admin)}, true
		}
	case *eventv1.MembershipSuspended:
		return append([]authzcore.Change{ends(e, member), ends(e, admin)}, inGroups(e.GetGroups(), e.GetUser(), true)...), true
	case *eventv1.MembershipRemoved:
		return []authzcore.Change{ends(e, member), ends(e, admin)}, true

	case *eventv1.ServiceAccountCreated:
		return []authzcore.Change{account(e, false)}, true
	case *eventv1.ServiceAccountEnabled:
		return append([]authzcore.Change{account(e, false)}, inGroups(e.GetGroups(), e.GetServiceAccount(), false)...), true
	case *eventv1.ServiceAccountDisabled:
		return append([]authzcore.Change{account(e, true)}, inGroups(e.GetGroups(), e.GetServiceAccount(), true)...), true
	case *eventv1.ServiceAccountDeleted:
		return []authzcore.Change{account(e, true)}, true

	case *eventv1.GroupMembersChanged:
		return members(e), true
	}
	return nil, silent(event)
}

// silent says whether an event is one that shapes no relationship. A group that is
// deleted has been emptied by events before, as all that a deleted organization
// had has been removed.
func silent(event proto.Message) bool {
	switch event.(type) {
	case *eventv1.OrganizationCreated, *eventv1.OrganizationHomeMoved, *eventv1.OrganizationRenamed,
		*eventv1.OrganizationSettingsChanged, *eventv1.OrganizationSuspended, *eventv1.OrganizationResumed,
		*eventv1.OrganizationDeletionScheduled, *eventv1.OrganizationDeletionCancelled, *eventv1.OrganizationDeleted,
		*eventv1.GroupCreated, *eventv1.GroupChanged, *eventv1.GroupDeleted,
		*eventv1.ServiceAccountChanged,
		*eventv1.ApiTokenCreated, *eventv1.ApiTokenExpiryChanged, *eventv1.ApiTokenRevoked,
		*eventv1.InvitationCreated, *eventv1.InvitationResent, *eventv1.InvitationRevoked, *eventv1.InvitationAccepted,
		*eventv1.DomainAdded, *eventv1.DomainVerified, *eventv1.DomainLapsed, *eventv1.DomainRemoved,
		*eventv1.SourceChanged:
		return true
	}
	return ofUsers(event)
}

// ofUsers says whether an event is one of users' logs, which shape no graph.
func ofUsers(event proto.Message) bool {
	switch event.(type) {
	case *eventv1.UserCreated, *eventv1.UserProfileChanged, *eventv1.UserEmailChanged, *eventv1.UserSuspended,
		*eventv1.UserResumed, *eventv1.UserErased, *eventv1.UserLinked,
		*eventv1.PasswordSet, *eventv1.PasskeyAdded, *eventv1.PasskeyFlagged, *eventv1.TotpAdded,
		*eventv1.RecoveryCodesIssued, *eventv1.RecoveryCodeUsed, *eventv1.CredentialRenamed, *eventv1.CredentialDeleted:
		return true
	}
	return false
}

// Derived says whether relationships of a resource are facts of identity, which
// are changed there and nowhere else. The relation "" is any of the resource's.
func Derived(resource, relation string) bool {
	typ, name, _ := strings.Cut(resource, ":")
	switch typ {
	case organization:
		return (relation == "" || relation == member || relation == admin || relation == serviceAccount) && id.Valid(id.Organization, name)
	case group:
		return (relation == "" || relation == member) && id.Valid(id.Group, name)
	}
	return false
}

// membership is an event about a user in an organization.
type membership interface {
	GetOrganization() string
	GetUser() string
}

func joined(m membership, role eventv1.MembershipRole) []authzcore.Change {
	if role == eventv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN {
		return []authzcore.Change{holds(m, member), holds(m, admin)}
	}
	return []authzcore.Change{holds(m, member)}
}

func holds(m membership, relation string) authzcore.Change {
	return authzcore.Change{Relationship: authzcore.Relationship{
		Resource: object(organization, m.GetOrganization()), Relation: relation, Subject: object(user, m.GetUser()),
	}}
}

func ends(m membership, relation string) authzcore.Change {
	out := holds(m, relation)
	out.Delete = true
	return out
}

// account is whether a service account is in its organization.
func account(e interface {
	GetOrganization() string
	GetServiceAccount() string
}, gone bool,
) authzcore.Change {
	return authzcore.Change{Delete: gone, Relationship: authzcore.Relationship{
		Resource: object(organization, e.GetOrganization()), Relation: serviceAccount,
		Subject: object(serviceAccount, e.GetServiceAccount()),
	}}
}

func members(e *eventv1.GroupMembersChanged) []authzcore.Change {
	out := make([]authzcore.Change, 0, len(e.GetAdded())+len(e.GetRemoved()))
	for _, name := range e.GetAdded() {
		if !slices.Contains(e.GetPaused(), name) {
			out = append(out, inGroup(e.GetGroup(), name, false))
		}
	}
	for _, name := range e.GetRemoved() {
		out = append(out, inGroup(e.GetGroup(), name, true))
	}
	return out
}

// inGroups is whether somebody is in each of some groups.
func inGroups(groups []string, name string, gone bool) []authzcore.Change {
	out := make([]authzcore.Change, len(groups))
	for i, g := range groups {
		out[i] = inGroup(g, name, gone)
	}
	return out
}

func inGroup(g, name string, gone bool) authzcore.Change {
	return authzcore.Change{Delete: gone, Relationship: authzcore.Relationship{
		Resource: object(group, g), Relation: member, Subject: subject(name),
	}}
}

// subject is a member of a group: the members of a group that is one.
func subject(name string) string {
	switch kind, _, _ := strings.Cut(name, "_"); id.Kind(kind) {
	case id.Group:
		return object(group, name) + "#" + member
	case id.ServiceAccount:
		return object(serviceAccount, name)
	default:
		return object(user, name)
	}
}

func object(typ, name string) string { return typ + ":" + name }
