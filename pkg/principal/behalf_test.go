package principal_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
)

func TestOnBehalf(t *testing.T) {
	t.Parallel()
	user := id.New(id.User)
	token := principal.Principal{Kind: principal.APIToken, ID: "tok_1", Organization: acme, Level: commonv1.Level_LEVEL_ADMIN}
	forwarded, passed, twice := token, token, token
	forwarded.ForwardedFrom, passed.Via = "us-east", "authz"
	twice.OnBehalfOf = user
	for name, c := range map[string]struct {
		caller principal.Principal
		header []string
		want   string
		rule   string
	}{
		"no header":                      {token, nil, "", ""},
		"no header, forwarded":           {twice, nil, user, ""},
		"a user":                         {token, []string{user}, user, ""},
		"two users":                      {token, []string{user, user}, "", "user_id"},
		"empty":                          {token, []string{""}, "", "user_id"},
		"an organization":                {token, []string{acme}, "", "user_id"},
		"a service":                      {principal.Principal{Kind: principal.Service, ID: "authz"}, []string{user}, "", "api_token"},
		"a service in a caller's name":   {passed, []string{user}, "", "api_token"},
		"a call that was sent on":        {forwarded, []string{user}, "", "api_token"},
		"an operator, who has no tokens": {principal.Principal{Kind: principal.Operator, ID: "root"}, []string{user}, "", "api_token"},
	} {
		header := http.Header{}
		if c.header != nil {
			header[principal.OnBehalfOfHeader] = c.header
		}
		got, err := principal.OnBehalf(c.caller, header)
		f, _ := fault.As(err)
		if (f == nil) != (c.rule == "") || f != nil && f.Meta["rule"] != c.rule {
			t.Errorf("%s: %v, want rule %q", name, err, c.rule)
		}
		if got.OnBehalfOf != c.want {
			t.Errorf("%s: on behalf of %q, want %q", name, got.OnBehalfOf, c.want)
		}
	}
}

// users answers what users may do.
type users func(user, organization, permission string) (bool, error)

func (u users) Allowed(_ context.Context, user, organization, permission string) (bool, error) {
	return u(user, organization, permission)
}

func TestAuthorizeSubject(t *testing.T) {
	t.Parallel()
	user := id.New(id.User)
	caller := principal.Principal{Kind: principal.APIToken, ID: "tok_1", Level: commonv1.Level_LEVEL_ADMIN, OnBehalfOf: user}
	members := &commonv1.Access{Scope: commonv1.Scope_SCOPE_ORGANIZATION, Level: commonv1.Level_LEVEL_ADMIN, Permission: "can_manage_members"}
	away := errors.New("away")
	knows := users(func(u, organization, permission string) (bool, error) {
		return u == user && organization == acme && permission == "can_manage_members", nil
	})
	for name, c := range map[string]struct {
		caller       principal.Principal
		access       *commonv1.Access
		organization string
		delegation   principal.Delegation
		want         commonv1.Reason
	}{
		"nobody's behalf":              {principal.Principal{Kind: principal.APIToken, ID: "tok_1"}, members, acme, nil, commonv1.Reason_REASON_UNSPECIFIED},
		"may":                          {caller, members, acme, knows, commonv1.Reason_REASON_UNSPECIFIED},
		"may not there":                {caller, members, other, knows, commonv1.Reason_ACCESS_DENIED},
		"a procedure not for users":    {caller, &commonv1.Access{Scope: members.Scope, Level: members.Level}, acme, knows, commonv1.Reason_ACCESS_DENIED},
		"no access declared":           {caller, nil, acme, knows, commonv1.Reason_ACCESS_DENIED},
		"no organization":              {caller, members, "", knows, commonv1.Reason_ACCESS_DENIED},
		"nobody to ask":                {caller, members, acme, nil, commonv1.Reason_SERVICE_UNAVAILABLE},
		"whoever is asked is away too": {caller, members, acme, users(func(_, _, _ string) (bool, error) { return true, away }), commonv1.Reason_DEFECT},
	} {
		err := principal.AuthorizeSubject(t.Context(), c.caller, c.access, c.organization, c.delegation)
		switch {
		case c.want == commonv1.Reason_REASON_UNSPECIFIED && err != nil,
			c.want == commonv1.Reason_DEFECT && !errors.Is(err, away),
			c.want != commonv1.Reason_REASON_UNSPECIFIED && c.want != commonv1.Reason_DEFECT && !fault.Is(err, c.want):
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestBehalfOfUserIsWhoActs(t *testing.T) {
	t.Parallel()
	user := id.New(id.User)
	p := principal.Principal{Kind: principal.APIToken, ID: "tok_1", OnBehalfOf: user}
	if a := p.Actor(); a.GetKind() != logv1.ActorKind_ACTOR_KIND_USER || a.GetId() != user || a.GetVia() != "tok_1" {
		t.Errorf("actor %v, want the user by way of the token", a)
	}
	alone := principal.Principal{Kind: principal.APIToken, ID: "tok_1"}
	if p.Scope() == alone.Scope() {
		t.Error("a user's idempotency keys are the token's own")
	}
}
