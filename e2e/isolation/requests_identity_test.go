package isolation_test

import (
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// unfinished are methods whose valid request does not succeed here, with the
// reason that it meets once it was let in: nobody's DNS has the record, no browser
// made the passkey, a letter was sent a moment ago, recovery codes have no name, and
// nobody has the secret of the invitation.
var unfinished = map[string]commonv1.Reason{
	"meridian.identity.v1.DomainService.VerifyDomain":                   commonv1.Reason_DOMAIN_NOT_PROVEN,
	"meridian.identity.v1.InvitationService.ResendInvitation":           commonv1.Reason_RATE_LIMITED,
	"meridian.identity.v1.CredentialService.RenameCredential":           commonv1.Reason_INVALID_FIELD,
	"meridian.identity.v1.CredentialService.FinishPasskey":              commonv1.Reason_AUTHENTICATION_ENDED,
	"meridian.identity.v1.CredentialService.FinishTotp":                 commonv1.Reason_AUTHENTICATION_ENDED,
	"meridian.identity.v1.InvitationService.AcceptInvitation":           commonv1.Reason_INVITATION_REJECTED,
	"meridian.identity.v1.InvitationService.LookUpInvitation":           commonv1.Reason_INVITATION_REJECTED,
	"meridian.identity.v1.InvitationService.DeclineInvitation":          commonv1.Reason_INVITATION_REJECTED,
	"meridian.identity.v1.AuthenticationService.GetAuthentication":      commonv1.Reason_AUTHENTICATION_ENDED,
	"meridian.identity.v1.AuthenticationService.RequestChallenge":       commonv1.Reason_AUTHENTICATION_ENDED,
	"meridian.identity.v1.AuthenticationService.ContinueAuthentication": commonv1.Reason_AUTHENTICATION_ENDED,
	"meridian.identity.v1.AuthenticationService.FinishAuthentication":   commonv1.Reason_AUTHENTICATION_ENDED,
}

// identityRequests are those of identity's methods.
var identityRequests = map[string]func(p place) proto.Message{
	"UserService.CreateUser": func(p place) proto.Message {
		return &identityv1.CreateUserRequest{Email: p.email(), Name: "Made", IdempotencyKey: p.key()}
	},
	"UserService.GetUser":   func(p place) proto.Message { return &identityv1.GetUserRequest{User: p.newUser()} },
	"UserService.FindUser":  func(p place) proto.Message { return &identityv1.FindUserRequest{Email: p.emailOf} },
	"UserService.ListUsers": func(place) proto.Message { return &identityv1.ListUsersRequest{} },
	"UserService.UpdateUser": func(p place) proto.Message {
		return &identityv1.UpdateUserRequest{User: p.newUser(), Name: new("Other"), IdempotencyKey: p.key()}
	},
	"UserService.ChangeEmail": func(p place) proto.Message {
		return &identityv1.ChangeEmailRequest{User: p.newUser(), Email: p.email(), IdempotencyKey: p.key()}
	},
	"UserService.SuspendUser": func(p place) proto.Message {
		return &identityv1.SuspendUserRequest{User: p.newUser(), IdempotencyKey: p.key()}
	},
	"UserService.ResumeUser": func(p place) proto.Message {
		return &identityv1.ResumeUserRequest{User: p.newUser(), IdempotencyKey: p.key()}
	},
	"UserService.EraseUser": func(p place) proto.Message {
		return &identityv1.EraseUserRequest{User: p.newUser(), IdempotencyKey: p.key()}
	},
	"UserService.ExportUser":          func(p place) proto.Message { return &identityv1.ExportUserRequest{User: p.newUser()} },
	"UserService.ListUserMemberships": func(p place) proto.Message { return &identityv1.ListUserMembershipsRequest{User: p.newUser()} },

	"MembershipService.AddMember": func(p place) proto.Message {
		return &identityv1.AddMemberRequest{Organization: p.organization, User: p.newUser(), IdempotencyKey: p.key()}
	},
	"MembershipService.GetMember": func(p place) proto.Message {
		return &identityv1.GetMemberRequest{Organization: p.organization, User: p.newMember(p.organization)}
	},
	"MembershipService.ListMembers": func(p place) proto.Message {
		return &identityv1.ListMembersRequest{Organization: p.organization}
	},
	"MembershipService.UpdateMember": func(p place) proto.Message {
		return &identityv1.UpdateMemberRequest{
			Organization: p.organization, User: p.newMember(p.organization), Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER, IdempotencyKey: p.key(),
		}
	},
	"MembershipService.SuspendMember": func(p place) proto.Message {
		return &identityv1.SuspendMemberRequest{Organization: p.organization, User: p.newMember(p.organization), IdempotencyKey: p.key()}
	},
	"MembershipService.ResumeMember": func(p place) proto.Message {
		return &identityv1.ResumeMemberRequest{Organization: p.organization, User: p.newMember(p.organization), IdempotencyKey: p.key()}
	},
	"MembershipService.RemoveMember": func(p place) proto.Message {
		return &identityv1.RemoveMemberRequest{Organization: p.organization, User: p.newMember(p.organization), IdempotencyKey: p.key()}
	},

	"GroupService.CreateGroup": func(p place) proto.Message {
		return &identityv1.CreateGroupRequest{Organization: p.organization, Name: "made " + p.key(), IdempotencyKey: p.key()}
	},
	"GroupService.GetGroup": func(p place) proto.Message {
		return &identityv1.GetGroupRequest{Organization: p.organization, Group: p.newGroup(p.organization)}
	},
	"GroupService.ListGroups": func(p place) proto.Message { return &identityv1.ListGroupsRequest{Organization: p.organization} },
	"GroupService.UpdateGroup": func(p place) proto.Message {
		return &identityv1.UpdateGroupRequest{
			Organization: p.organization, Group: p.newGroup(p.organization), Description: new("other"), IdempotencyKey: p.key(),
		}
	},
	"GroupService.DeleteGroup": func(p place) proto.Message {
		return &identityv1.DeleteGroupRequest{Organization: p.organization, Group: p.newGroup(p.organization), IdempotencyKey: p.key()}
	},
	"GroupService.ChangeGroupMembers": func(p place) proto.Message {
		return &identityv1.ChangeGroupMembersRequest{
			Organization: p.organization, Group: p.newGroup(p.organization), Add: []string{p.newMember(p.organization)}, IdempotencyKey: p.key(),
		}
	},
	"GroupService.ListGroupMembers": func(p place) proto.Message {
		return &identityv1.ListGroupMembersRequest{Organization: p.organization, Group: p.newGroup(p.organization)}
	},

	"ServiceAccountService.CreateServiceAccount": func(p place) proto.Message {
		return &identityv1.CreateServiceAccountRequest{Organization: p.organization, Name: "made " + p.key(), IdempotencyKey: p.key()}
	},
	"ServiceAccountService.GetServiceAccount": func(p place) proto.Message {
		return &identityv1.GetServiceAccountRequest{Organization: p.organization, ServiceAccount: p.newAccount(p.organization)}
	},
	"ServiceAccountService.ListServiceAccounts": func(p place) proto.Message {
		return &identityv1.ListServiceAccountsRequest{Organization: p.organization}
	},
	"ServiceAccountService.UpdateServiceAccount": func(p place) proto.Message {
		return &identityv1.UpdateServiceAccountRequest{
			Organization: p.organization, ServiceAccount: p.newAccount(p.organization), Disabled: new(true), IdempotencyKey: p.key(),
		}
	},
	"ServiceAccountService.DeleteServiceAccount": func(p place) proto.Message {
		return &identityv1.DeleteServiceAccountRequest{Organization: p.organization, ServiceAccount: p.newAccount(p.organization), IdempotencyKey: p.key()}
	},

	"InvitationService.CreateInvitation": func(p place) proto.Message {
		return &identityv1.CreateInvitationRequest{Organization: p.organization, Email: p.email(), IdempotencyKey: p.key()}
	},
	"InvitationService.GetInvitation": func(p place) proto.Message {
		return &identityv1.GetInvitationRequest{Organization: p.organization, Invitation: p.newInvitation(p.organization)}
	},
	"InvitationService.ListInvitations": func(p place) proto.Message {
		return &identityv1.ListInvitationsRequest{Organization: p.organization}
	},
	"InvitationService.ResendInvitation": func(p place) proto.Message {
		return &identityv1.ResendInvitationRequest{Organization: p.organization, Invitation: p.newInvitation(p.organization), IdempotencyKey: p.key()}
	},
	"InvitationService.RevokeInvitation": func(p place) proto.Message {
		return &identityv1.RevokeInvitationRequest{Organization: p.organization, Invitation: p.newInvitation(p.organization), IdempotencyKey: p.key()}
	},
	"InvitationService.LookUpInvitation": func(p place) proto.Message {
		return &identityv1.LookUpInvitationRequest{Secret: "mii_unknown", User: p.newUser()}
	},
	"InvitationService.DeclineInvitation": func(p place) proto.Message {
		return &identityv1.DeclineInvitationRequest{Secret: "mii_unknown", IdempotencyKey: p.key()}
	},
	"InvitationService.AcceptInvitation": func(p place) proto.Message {
		return &identityv1.AcceptInvitationRequest{
			Secret: "mii_unknown", Who: &identityv1.AcceptInvitationRequest_User{User: p.newUser()}, IdempotencyKey: p.key(),
		}
	},

	"DomainService.AddDomain": func(p place) proto.Message {
		return &identityv1.AddDomainRequest{Organization: p.organization, Name: "made-" + strconv.Itoa(p.number()) + ".example.com", IdempotencyKey: p.key()}
	},
	"DomainService.VerifyDomain": func(p place) proto.Message {
		return &identityv1.VerifyDomainRequest{Organization: p.organization, Domain: p.newDomain(p.organization), IdempotencyKey: p.key()}
	},
	"DomainService.GetDomain": func(p place) proto.Message {
		return &identityv1.GetDomainRequest{Organization: p.organization, Domain: p.newDomain(p.organization)}
	},
	"DomainService.ListDomains": func(p place) proto.Message { return &identityv1.ListDomainsRequest{Organization: p.organization} },
	"DomainService.RemoveDomain": func(p place) proto.Message {
		return &identityv1.RemoveDomainRequest{Organization: p.organization, Domain: p.newDomain(p.organization), IdempotencyKey: p.key()}
	},
	"DomainService.LookUpDomain": func(place) proto.Message { return &identityv1.LookUpDomainRequest{Name: "example.com"} },

	"OrganizationService.UpdateOrganization": func(p place) proto.Message {
		return &identityv1.UpdateOrganizationRequest{Organization: p.organization, Name: new("Other"), IdempotencyKey: p.key()}
	},
	"OrganizationService.SuspendOrganization": func(p place) proto.Message {
		return &identityv1.SuspendOrganizationRequest{Organization: p.newOrganization(), IdempotencyKey: p.key()}
	},
	"OrganizationService.ResumeOrganization": func(p place) proto.Message {
		return &identityv1.ResumeOrganizationRequest{Organization: p.newOrganization(), IdempotencyKey: p.key()}
	},
	"OrganizationService.DeleteOrganization": func(p place) proto.Message {
		return &identityv1.DeleteOrganizationRequest{Organization: p.newOrganization(), IdempotencyKey: p.key()}
	},
	"ApiTokenService.RotateApiToken": func(p place) proto.Message {
		return &identityv1.RotateApiTokenRequest{Organization: p.organization, Token: p.newToken(p.organization), IdempotencyKey: p.key()}
	},

	"CredentialService.ListCredentials": func(p place) proto.Message { return &identityv1.ListCredentialsRequest{User: p.newUser()} },
	"CredentialService.SetPassword": func(p place) proto.Message {
		return &identityv1.SetPasswordRequest{User: p.newUser(), Secret: &identityv1.SetPasswordRequest_Password{Password: "a harbour full of paper boats"}, IdempotencyKey: p.key()}
	},
	"CredentialService.BeginPasskey": func(p place) proto.Message {
		return &identityv1.BeginPasskeyRequest{User: p.newUser(), IdempotencyKey: p.key()}
	},
	"CredentialService.FinishPasskey": func(p place) proto.Message {
		return &identityv1.FinishPasskeyRequest{User: p.newUser(), Ceremony: id.New(id.Authentication), Response: "{}", IdempotencyKey: p.key()}
	},
	"CredentialService.BeginTotp": func(p place) proto.Message {
		return &identityv1.BeginTotpRequest{User: p.newUser(), IdempotencyKey: p.key()}
	},
	"CredentialService.FinishTotp": func(p place) proto.Message {
		return &identityv1.FinishTotpRequest{User: p.newUser(), Ceremony: id.New(id.Authentication), Code: "123456", IdempotencyKey: p.key()}
	},
	"CredentialService.IssueRecoveryCodes": func(p place) proto.Message {
		return &identityv1.IssueRecoveryCodesRequest{User: p.newUser(), IdempotencyKey: p.key()}
	},
	"CredentialService.RenameCredential": func(p place) proto.Message {
		user, credential := p.newCredential()
		return &identityv1.RenameCredentialRequest{User: user, Credential: credential, Name: "other", IdempotencyKey: p.key()}
	},
	"CredentialService.DeleteCredential": func(p place) proto.Message {
		user, credential := p.newCredential()
		return &identityv1.DeleteCredentialRequest{User: user, Credential: credential, IdempotencyKey: p.key()}
	},

	"AuthenticationService.StartAuthentication": func(p place) proto.Message {
		return &identityv1.StartAuthenticationRequest{Purpose: identityv1.Purpose_PURPOSE_SIGN_IN, Email: p.email(), Client: browser(), IdempotencyKey: p.key()}
	},
	"AuthenticationService.GetAuthentication": func(place) proto.Message {
		return &identityv1.GetAuthenticationRequest{Authentication: id.New(id.Authentication), Secret: "unknown"}
	},
	"AuthenticationService.RequestChallenge": func(p place) proto.Message {
		return &identityv1.RequestChallengeRequest{
			Authentication: id.New(id.Authentication), Secret: "unknown", Factor: identityv1.Factor_FACTOR_PASSKEY, Client: browser(), IdempotencyKey: p.key(),
		}
	},
	"AuthenticationService.ContinueAuthentication": func(p place) proto.Message {
		return &identityv1.ContinueAuthenticationRequest{
			Authentication: id.New(id.Authentication), Secret: "unknown", Client: browser(), IdempotencyKey: p.key(),
			Proof: &identityv1.ContinueAuthenticationRequest_Password{Password: "a harbour full of paper boats"},
		}
	},
	"AuthenticationService.FinishAuthentication": func(p place) proto.Message {
		return &identityv1.FinishAuthenticationRequest{Authentication: id.New(id.Authentication), Secret: "unknown", IdempotencyKey: p.key()}
	},

	"MigrationService.ImportUsers": func(p place) proto.Message {
		return &identityv1.ImportUsersRequest{
			Source: "legacy", Users: []*identityv1.ImportedUser{{ExternalId: p.key(), Email: p.email()}}, IdempotencyKey: p.key(),
		}
	},
	"MigrationService.PutSource": func(p place) proto.Message {
		return &identityv1.PutSourceRequest{Name: "legacy", IdempotencyKey: p.key()}
	},
	"MigrationService.ListSources": func(place) proto.Message { return &identityv1.ListSourcesRequest{} },
}

func browser() *identityv1.Client { return &identityv1.Client{Ip: "203.0.113.7"} }

// requestOf returns how to call a method.
func requestOf(name string) (func(p place) proto.Message, bool) {
	if request, ok := requests[name]; ok {
		return request, true
	}
	if request, ok := identityRequests[strings.TrimPrefix(name, "meridian.identity.v1.")]; ok {
		return request, true
	}
	return sessionsRequestOf(name)
}

// email is an address that nobody has.
func (p place) email() string { return "made-" + strconv.Itoa(p.number()) + "@example.com" }

// populate gives a place what makes people, groups and the like in it. In an absent
// organization none is made, and none is needed: the id is that of the kind.
func (w *world) populate(t *testing.T, p *place) {
	admin := w.Client()
	in := func(organization string, kind id.Kind, made func() (string, error)) string {
		if organization == absent {
			return id.New(kind)
		}
		name, err := made()
		if err != nil {
			t.Errorf("make %s: %v", kind, err)
		}
		return name
	}
	p.emailOf = p.email()
	if _, err := admin.Users.CreateUser(t.Context(), &identityv1.CreateUserRequest{Email: p.emailOf, IdempotencyKey: p.key()}); err != nil {
		t.Fatal(err)
	}
	p.newUser = func() string {
		made, err := admin.Users.CreateUser(t.Context(), &identityv1.CreateUserRequest{Email: p.email(), IdempotencyKey: p.key()})
		if err != nil {
			t.Error(err)
		}
		return made.GetUser().GetId()
	}
	p.newMember = func(organization string) string {
		return in(organization, id.User, func() (string, error) {
			made, err := admin.Memberships.AddMember(t.Context(), &identityv1.AddMemberRequest{Organization: organization, User: p.newUser(), IdempotencyKey: p.key()})
			return made.GetMembership().GetUser(), err
		})
	}
	p.newGroup = func(organization string) string {
		return in(organization, id.Group, func() (string, error) {
			made, err := admin.Groups.CreateGroup(t.Context(), &identityv1.CreateGroupRequest{Organization: organization, Name: "made " + p.key(), IdempotencyKey: p.key()})
			return made.GetGroup().GetId(), err
		})
	}
	p.newAccount = func(organization string) string {
		return in(organization, id.ServiceAccount, func() (string, error) {
			made, err := admin.ServiceAccounts.CreateServiceAccount(t.Context(), &identityv1.CreateServiceAccountRequest{Organization: organization, Name: "made " + p.key(), IdempotencyKey: p.key()})
			return made.GetServiceAccount().GetId(), err
		})
	}
	p.newInvitation = func(organization string) string {
		return in(organization, id.Invitation, func() (string, error) {
			made, err := admin.Invitations.CreateInvitation(t.Context(), &identityv1.CreateInvitationRequest{
				Organization: organization, Email: p.email(), WithoutLetter: true, IdempotencyKey: p.key(),
			})
			return made.GetInvitation().GetId(), err
		})
	}
	p.newDomain = func(organization string) string {
		return in(organization, id.Domain, func() (string, error) {
			made, err := admin.Domains.AddDomain(t.Context(), &identityv1.AddDomainRequest{Organization: organization, Name: "made-" + strconv.Itoa(p.number()) + ".example.com", IdempotencyKey: p.key()})
			return made.GetDomain().GetId(), err
		})
	}
	p.newToken = func(organization string) string {
		return in(organization, id.Token, func() (string, error) {
			made, err := admin.Tokens.CreateApiToken(t.Context(), &identityv1.CreateApiTokenRequest{
				Organization: organization, Name: "made", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: p.key(),
			})
			return made.GetToken().GetId(), err
		})
	}
	p.newClient = func(organization string) *sessionsv1.Client {
		if organization == absent {
			return &sessionsv1.Client{Id: id.New(id.Client), Secrets: []*sessionsv1.ClientSecret{{Id: id.New(id.ClientSecret)}}}
		}
		made, err := admin.Clients.CreateClient(t.Context(), &sessionsv1.CreateClientRequest{Organization: organization, Settings: machine(), IdempotencyKey: p.key()})
		if err != nil {
			t.Error(err)
		}
		return made.GetClient()
	}
	p.newTrust = func(organization string) string {
		return in(organization, id.Trust, func() (string, error) {
			made, err := admin.Trusts.CreateTrust(t.Context(), &sessionsv1.CreateTrustRequest{
				Organization: organization, Settings: trusting(p.newAccount(organization)), IdempotencyKey: p.key(),
			})
			return made.GetTrust().GetId(), err
		})
	}
	p.newOrganization = func() string {
		made, err := admin.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "made-" + strconv.Itoa(p.number()), Name: "Made", IdempotencyKey: p.key()})
		if err != nil {
			t.Error(err)
		}
		return made.GetOrganization().GetId()
	}
	p.newCredential = func() (user, credential string) {
		user = p.newUser()
		made, err := admin.Credentials.IssueRecoveryCodes(t.Context(), &identityv1.IssueRecoveryCodesRequest{User: user, IdempotencyKey: p.key()})
		if err != nil {
			t.Error(err)
		}
		return user, made.GetCredential().GetId()
	}
}
