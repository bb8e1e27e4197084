package node

import (
	"context"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// delegationDeadline bounds the question what a user may do, both calls of it.
const delegationDeadline = 2 * time.Second

// delegation says what users may do in an organization: nothing unless they are
// active members, whatever the model gives to those who were; else as its model
// decides or, where the model has no such permission, as their membership does. What
// service accounts may do is for the model alone to say, while they are enabled.
//
// It asks in the name of the caller's API token, without the user; of a caller with an
// access token, which opens no check by itself, it asks in the name of this process.
type delegation struct {
	checks   authzv1connect.CheckServiceClient
	members  identityv1connect.MembershipServiceClient
	accounts identityv1connect.ServiceAccountServiceClient
}

// connectDelegation opens the clients: in this process where it hosts the service.
func (n *Node) connectDelegation(d *delegation) {
	open := func(target string, urls []string) *dial.Client {
		o := dial.Options{BaseURLs: urls, Target: target + "-delegation", Service: "gate", Key: n.key, Deadline: delegationDeadline, Telemetry: n.telemetry}
		if n.config.hosts(target) {
			o.BaseURLs, o.HTTPClient = nil, n.server.Client()
		}
		return dial.New(o)
	}
	if n.config.hosts(Authz) || len(n.config.AuthzURLs) > 0 {
		c := open(Authz, n.config.AuthzURLs)
		d.checks = authzv1connect.NewCheckServiceClient(c.HTTP, c.BaseURL, c.Options...)
	}
	c := open(Identity, n.config.IdentityURLs)
	d.members = identityv1connect.NewMembershipServiceClient(c.HTTP, c.BaseURL, c.Options...)
	d.accounts = identityv1connect.NewServiceAccountServiceClient(c.HTTP, c.BaseURL, c.Options...)
}

// Allowed implements principal.Delegation. What was taken from a subject holds at once,
// whatever this region has seen of it.
func (d *delegation) Allowed(ctx context.Context, subject, organization, permission string) (bool, error) {
	if d.checks == nil {
		return false, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
			"this process does not know where authz is: set authz_urls")
	}
	ctx, cancel := context.WithTimeout(ctx, delegationDeadline)
	defer cancel()
	switch caller, ok := principal.From(ctx); {
	case ok && caller.OnBehalfOf != "":
		caller.OnBehalfOf = ""
		ctx = principal.With(ctx, caller)
	case ok:
		ctx = principal.Without(ctx)
	}
	if id.Valid(id.ServiceAccount, subject) {
		enabled, err := d.enabled(ctx, subject, organization)
		if err != nil || !enabled {
			return false, err
		}
		allowed, _, err := d.decide(ctx, "service_account:"+subject, organization, permission)
		return allowed, err
	}
	role, active, err := d.membership(ctx, subject, organization)
	if err != nil || !active {
		return false, err
	}
	allowed, defined, err := d.decide(ctx, "user:"+subject, organization, permission)
	if err == nil && !defined {
		return byRole(role, permission), nil
	}
	return allowed, err
}

// decide is what the organization's model says of a permission, if it knows it.
func (d *delegation) decide(ctx context.Context, subject, organization, permission string) (allowed, defined bool, err error) {
	answer, err := d.checks.Check(ctx, &authzv1.CheckRequest{
		Organization: organization, Subject: subject, Permission: permission, Resource: "organization:" + organization,
		Freshness: &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}},
	})
	switch {
	case undefined(err):
		return false, false, nil
	case err != nil:
		return false, false, err
	}
	return answer.GetDecision() == authzv1.Decision_DECISION_ALLOW, true, nil
}

// enabled says whether a service account of the organization is, as of now.
func (d *delegation) enabled(ctx context.Context, account, organization string) (bool, error) {
	answer, err := d.accounts.GetServiceAccount(ctx, &identityv1.GetServiceAccountRequest{Organization: organization, ServiceAccount: account})
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return false, nil
	case err != nil:
		return false, err
	}
	return !answer.GetServiceAccount().GetDisabled(), nil
}

// undefined says whether the organization's model does not know the permission.
func undefined(err error) bool {
	return fault.Is(err, commonv1.Reason_MODEL_NOT_ASSIGNED) || fault.Is(err, commonv1.Reason_TYPE_UNKNOWN) ||
		fault.Is(err, commonv1.Reason_RELATION_UNKNOWN)
}

// membership is what a user is in an organization, as of now: a suspension holds
// from its commit on.
func (d *delegation) membership(ctx context.Context, user, organization string) (role identityv1.MembershipRole, active bool, err error) {
	answer, err := d.members.GetMember(ctx, &identityv1.GetMemberRequest{Organization: organization, User: user})
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	m := answer.GetMembership()
	return m.GetRole(), m.GetState() == identityv1.MembershipState_MEMBERSHIP_STATE_ACTIVE, nil
}

// byRole lets members look and administrators manage.
func byRole(role identityv1.MembershipRole, permission string) bool {
	return role == identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN || strings.HasPrefix(permission, "can_view_")
}
