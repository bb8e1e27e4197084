package accesstoken

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// Concerns says whether events of a type may take back what tokens stand for.
func Concerns(typ string) bool {
	return strings.HasPrefix(typ, "meridian.identity.event.v1.") || strings.HasPrefix(typ, "meridian.sessions.event.v1.")
}

// Ended returns what an event takes back. An event of a type that is not declared here
// is not known: it may be one that takes something away.
//
// What gives something back (a user is resumed, a client enabled) revives no token:
// whoever has one gets another.
func Ended(e *logv1.Envelope, event proto.Message) (entries []Entry, known bool) {
	at := e.GetTime().AsTime()
	one := func(kind Kind, id string) []Entry { return []Entry{{Kind: kind, ID: id, NotBefore: at}} }
	switch event := event.(type) {
	case *sessionsv1.SessionRevoked:
		return one(Session, event.GetSession()), true
	case *sessionsv1.GrantRevoked:
		return one(Grant, event.GetGrant()), true
	case *sessionsv1.ClientDisabled:
		return one(Client, event.GetClient()), true
	case *sessionsv1.ClientDeleted:
		return one(Client, event.GetClient()), true
	case *sessionsv1.ClientBlocked:
		if event.GetOrganization() != "" {
			return []Entry{{Kind: ClientFor, ID: event.GetClient(), Organization: event.GetOrganization(), NotBefore: at}}, true
		}
		return one(Client, event.GetClient()), true
	case *sessionsv1.TokensRevoked:
		if event.GetClient() != "" {
			return one(Client, event.GetClient()), true
		}
		return one(Organization, event.GetOrganization()), true
	case *sessionsv1.TrustDeleted:
		return one(Client, event.GetTrust()), true // by which workloads have their tokens
	case *sessionsv1.ClientTokenRevoked:
		return one(Token, event.GetToken()), true
	case *sessionsv1.SigningKeyDeleted:
		if event.GetEmergency() {
			return one(Key, event.GetKid()), true
		}
		return nil, true // what it signed has ended
	}
	if kind, id := endedBy(event); kind != 0 {
		return one(kind, id), true
	}
	if m, ok := leaves(event); ok {
		return []Entry{{Kind: Member, ID: m.GetUser(), Organization: m.GetOrganization(), NotBefore: at}}, true
	}
	return nil, silent(event) || silentCredential(event) || silentSessions(event)
}

// endedBy is the subject or the organization that an event of identity takes back.
func endedBy(event proto.Message) (Kind, string) {
	switch event := event.(type) {
	case *identityv1.UserSuspended:
		return Subject, event.GetUser()
	case *identityv1.UserErased:
		return Subject, event.GetUser()
	case *identityv1.ServiceAccountDisabled:
		return Subject, event.GetServiceAccount()
	case *identityv1.ServiceAccountDeleted:
		return Subject, event.GetServiceAccount()
	case *identityv1.OrganizationSuspended:
		return Organization, event.GetOrganization()
	case *identityv1.OrganizationDeletionScheduled:
		return Organization, event.GetOrganization()
	case *identityv1.OrganizationDeleted:
		return Organization, event.GetOrganization()
	}
	return 0, ""
}

type membership interface {
	GetOrganization() string
	GetUser() string
}

// leaves says whether an event ends that somebody is an active member.
func leaves(event proto.Message) (membership, bool) {
	switch event := event.(type) {
	case *identityv1.MembershipSuspended:
		return event, true
	case *identityv1.MembershipRemoved:
		return event, true
	}
	return nil, false
}

// silent says whether an event of identity takes nothing back that a token stands for.
func silent(event proto.Message) bool {
	switch event.(type) {
	case *identityv1.OrganizationCreated, *identityv1.OrganizationHomeMoved, *identityv1.OrganizationRenamed,
		*identityv1.OrganizationSettingsChanged, *identityv1.OrganizationResumed, *identityv1.OrganizationDeletionCancelled,
		*identityv1.GroupCreated, *identityv1.GroupChanged, *identityv1.GroupMembersChanged, *identityv1.GroupDeleted,
		*identityv1.MembershipCreated, *identityv1.MembershipRoleChanged, *identityv1.MembershipResumed,
		*identityv1.ServiceAccountCreated, *identityv1.ServiceAccountChanged, *identityv1.ServiceAccountEnabled,
		*identityv1.ApiTokenCreated, *identityv1.ApiTokenExpiryChanged, *identityv1.ApiTokenRevoked,
		*identityv1.InvitationCreated, *identityv1.InvitationResent, *identityv1.InvitationRevoked, *identityv1.InvitationAccepted,
		*identityv1.DomainAdded, *identityv1.DomainVerified, *identityv1.DomainLapsed, *identityv1.DomainRemoved,
		*identityv1.SourceChanged:
		return true
	}
	return false
}

// silentCredential is silent for the events of a user's log. Which credentials a user
// has decides about the next sign-in; who ends sessions for it says so by events of
// its own.
func silentCredential(event proto.Message) bool {
	switch event.(type) {
	case *identityv1.UserCreated, *identityv1.UserProfileChanged, *identityv1.UserEmailChanged, *identityv1.UserResumed,
		*identityv1.UserLinked,
		*identityv1.PasswordSet, *identityv1.PasskeyAdded, *identityv1.PasskeyFlagged, *identityv1.TotpAdded,
		*identityv1.RecoveryCodesIssued, *identityv1.RecoveryCodeUsed, *identityv1.CredentialRenamed, *identityv1.CredentialDeleted:
		return true
	}
	return false
}

// silentSessions is silent for the events of sessions. A client's secrets are for the
// tokens that it gets next; a consent that is withdrawn has GrantRevoked beside it.
func silentSessions(event proto.Message) bool {
	switch event.(type) {
	case *sessionsv1.SessionStarted, *sessionsv1.SessionStrengthened, *sessionsv1.GrantGiven,
		*sessionsv1.ConsentGiven, *sessionsv1.ConsentWithdrawn,
		*sessionsv1.ClientCreated, *sessionsv1.ClientSettingsChanged, *sessionsv1.ClientEnabled, *sessionsv1.ClientUnblocked,
		*sessionsv1.ClientSecretAdded, *sessionsv1.ClientSecretExpiryChanged, *sessionsv1.ClientSecretRevoked,
		*sessionsv1.ThemeChanged, *sessionsv1.TrustCreated, *sessionsv1.TrustSettingsChanged,
		*sessionsv1.SigningKeyCreated, *sessionsv1.SigningKeyActivated, *sessionsv1.SigningKeyDeactivated:
		return true
	}
	return false
}

// EndedAll is what an event takes back of which it is not known what it says: all that
// the owner of its log has. Of the platform's log it is nil: that may be anything.
func EndedAll(e *logv1.Envelope) []Entry {
	kind := Subject
	switch log := e.GetLog(); {
	case id.Valid(id.Organization, log):
		kind = Organization
	case !id.Valid(id.User, log):
		return nil
	}
	return []Entry{{Kind: kind, ID: e.GetLog(), NotBefore: e.GetTime().AsTime()}}
}
