package principal_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
)

func TestOfAccessToken(t *testing.T) {
	t.Parallel()
	user, account, client := id.New(id.User), id.New(id.ServiceAccount), id.New(id.Client)
	of := func(change func(*accesstoken.Claims)) accesstoken.Claims {
		c := accesstoken.Claims{Subject: user, Organization: acme, Client: client, Scope: "openid meridian", Expires: 1_800_000_000}
		change(&c)
		return c
	}
	want := principal.Principal{
		Kind: principal.User, ID: user, Organization: acme, By: client, Scopes: []string{principal.AllScopes}, Expires: time.Unix(1_800_000_000, 0),
	}
	changed := func(change func(*principal.Principal)) principal.Principal {
		p := want
		change(&p)
		return p
	}
	many := make([]string, 60)
	for i := range many {
		many[i] = "meridian.a.v1.S" + strings.Repeat("x", i)
	}
	for name, tc := range map[string]struct {
		claims accesstoken.Claims
		want   principal.Principal
		reason commonv1.Reason
	}{
		"a user":            {of(func(*accesstoken.Claims) {}), want, 0},
		"a service account": {of(func(c *accesstoken.Claims) { c.Subject = account }), changed(func(p *principal.Principal) { p.Kind, p.ID = principal.ServiceAccount, account }), 0},
		"by an actor":       {of(func(c *accesstoken.Claims) { c.Actor = &accesstoken.Actor{Subject: account} }), changed(func(p *principal.Principal) { p.By = account }), 0},
		"no organization":   {of(func(c *accesstoken.Claims) { c.Organization = "" }), changed(func(p *principal.Principal) { p.Organization = "" }), 0},
		"all, beside some":  {of(func(c *accesstoken.Claims) { c.Scope = "meridian.a.v1.S meridian meridian.a.v1.T/U" }), changed(func(*principal.Principal) {}), 0},
		"limited": {of(func(c *accesstoken.Claims) { c.Scope = "openid meridian.a.v1.S meridian.a.v1.T/U" }), changed(func(p *principal.Principal) {
			p.Scopes = []string{"meridian.a.v1.S", "meridian.a.v1.T/U"}
		}), 0},
		"without the scope":    {of(func(c *accesstoken.Claims) { c.Scope = "openid Meridian meridianx" }), changed(func(p *principal.Principal) { p.Scopes = nil }), 0},
		"many scopes":          {of(func(c *accesstoken.Claims) { c.Scope = strings.Join(many, " ") }), changed(func(p *principal.Principal) { p.Scopes = many[:50] }), 0},
		"bound to a key":       {of(func(c *accesstoken.Claims) { c.Confirmation = &accesstoken.Confirmation{Thumbprint: "x"} }), principal.Principal{}, commonv1.Reason_TOKEN_REJECTED},
		"bound to something":   {of(func(c *accesstoken.Claims) { c.Confirmation = &accesstoken.Confirmation{} }), principal.Principal{}, commonv1.Reason_TOKEN_REJECTED},
		"a client's own":       {of(func(c *accesstoken.Claims) { c.Subject = client }), principal.Principal{}, commonv1.Reason_ACCESS_DENIED},
		"another's":            {of(func(c *accesstoken.Claims) { c.Subject = "tok_1" }), principal.Principal{}, commonv1.Reason_TOKEN_REJECTED},
		"no organization's id": {of(func(c *accesstoken.Claims) { c.Organization = "acme" }), principal.Principal{}, commonv1.Reason_TOKEN_REJECTED},
	} {
		got, err := principal.OfAccessToken(tc.claims)
		if tc.reason == 0 && err != nil || tc.reason != 0 && !fault.Is(err, tc.reason) {
			t.Errorf("%s: %v, want %v", name, err, tc.reason)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAuthorizeAccessTokens(t *testing.T) {
	t.Parallel()
	const (
		ok             = commonv1.Reason_REASON_UNSPECIFIED
		denied, absent = commonv1.Reason_ACCESS_DENIED, commonv1.Reason_NOT_FOUND
	)
	scope := func(s commonv1.Scope, permission string) *commonv1.Access {
		return &commonv1.Access{Scope: s, Level: commonv1.Level_LEVEL_ADMIN, Permission: permission}
	}
	organization := scope(commonv1.Scope_SCOPE_ORGANIZATION, "can_manage_members")
	for _, kind := range []principal.Kind{principal.User, principal.ServiceAccount} {
		of := func(change func(*principal.Principal)) principal.Principal {
			p := principal.Principal{Kind: kind, ID: "x", By: "cli", Organization: acme, Scopes: []string{principal.AllScopes}}
			change(&p)
			return p
		}
		all := of(func(*principal.Principal) {})
		for name, tc := range map[string]struct {
			who    principal.Principal
			access *commonv1.Access
			names  string
			want   commonv1.Reason
		}{
			"its organization":                {all, organization, acme, ok},
			"another":                         {all, organization, other, absent},
			"none named":                      {all, organization, "", denied},
			"no permission":                   {all, scope(commonv1.Scope_SCOPE_ORGANIZATION, ""), acme, denied},
			"no permission, of another":       {all, scope(commonv1.Scope_SCOPE_ORGANIZATION, ""), other, absent},
			"the platform":                    {all, scope(commonv1.Scope_SCOPE_PLATFORM, ""), "", denied},
			"the platform, with a permission": {all, scope(commonv1.Scope_SCOPE_PLATFORM, "p"), "", denied},
			"the platform, with a level":      {of(func(p *principal.Principal) { p.Organization, p.Level = "", commonv1.Level_LEVEL_ADMIN }), scope(commonv1.Scope_SCOPE_PLATFORM, ""), "", denied},
			"a level is nothing":              {of(func(p *principal.Principal) { p.Level = commonv1.Level_LEVEL_ADMIN }), scope(commonv1.Scope_SCOPE_ORGANIZATION, ""), acme, denied},
			"services'":                       {all, scope(commonv1.Scope_SCOPE_SERVICE, ""), "", denied},
			"services', by a service":         {of(func(p *principal.Principal) { p.Via = "authz" }), scope(commonv1.Scope_SCOPE_SERVICE, ""), "", ok},
			"no access declared":              {all, nil, acme, denied},
			"no scope declared":               {all, &commonv1.Access{Level: commonv1.Level_LEVEL_READ, Permission: "p"}, acme, denied},
			"no organization":                 {of(func(p *principal.Principal) { p.Organization = "" }), organization, acme, absent},
			"no organization, none named":     {of(func(p *principal.Principal) { p.Organization = "" }), organization, "", denied},
			"no scopes":                       {of(func(p *principal.Principal) { p.Scopes = nil }), organization, acme, denied},
			"the procedure":                   {of(func(p *principal.Principal) { p.Scopes = []string{check[1:]} }), organization, acme, ok},
			"the service":                     {of(func(p *principal.Principal) { p.Scopes = []string{"meridian.authz.v1.CheckService"} }), organization, acme, ok},
			"another service":                 {of(func(p *principal.Principal) { p.Scopes = []string{"meridian.authz.v1.LookupService"} }), organization, acme, denied},
			"all, and another": {of(func(p *principal.Principal) {
				p.Scopes = []string{"meridian.authz.v1.LookupService", principal.AllScopes}
			}), organization, acme, denied},
			"another service, by a service in between": {of(func(p *principal.Principal) { p.Scopes, p.Via = nil, "authz" }), organization, acme, ok},
			"by a service, another organization":       {of(func(p *principal.Principal) { p.Via = "authz" }), organization, other, absent},
		} {
			err := principal.Authorize(tc.who, check, tc.access, tc.names)
			if tc.want == ok && err != nil || tc.want != ok && !fault.Is(err, tc.want) {
				t.Errorf("%v, %s: %v, want %v", kind, name, err, tc.want)
			}
		}
		none := users(func(string, string, string) (bool, error) { return false, nil })
		if err := principal.AuthorizeSubject(t.Context(), all, organization, acme, none); !fault.Is(err, denied) {
			t.Errorf("%v: nobody said that it may: %v", kind, err)
		}
		some := users(func(subject, of, permission string) (bool, error) {
			return subject == "x" && of == acme && permission == "can_manage_members", nil
		})
		if err := principal.AuthorizeSubject(t.Context(), all, organization, acme, some); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
		if err := principal.AuthorizeSubject(t.Context(), all, organization, acme, nil); !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
			t.Errorf("%v: nobody to ask: %v", kind, err)
		}
	}
}

func TestLooksLikeAccessToken(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t, nil)
	minted, err := key.Mint("authz", audience, nil)
	if err != nil {
		t.Fatal(err)
	}
	for bearer, want := range map[string]bool{
		"eyJ0eXAiOiJhdCtqd3QifQ.e30.AA":                 true, // {"typ":"at+jwt"}
		"eyJ0eXAiOiJhcHBsaWNhdGlvbi9BVCtKV1QifQ.e30.AA": true, // {"typ":"application/AT+JWT"}
		"eyJ0eXAiOiJKV1QifQ.e30.AA":                     false,
		"eyJ0eXAiOjF9.e30.AA":                           false,
		"eyJ0eXAiOiJhdCtqd3QifQ.e30":                    false,
		"eyJ!.e30.AA":                                   false,
		"mrdn_at+jwt":                                   false,
		"":                                              false,
		minted.Reveal():                                 false,
	} {
		if got := principal.LooksLikeAccessToken(secret.NewString(bearer)); got != want {
			t.Errorf("%q: %t", bearer, got)
		}
	}
}

// Who calls with an access token is that for every service that the call comes to.
func TestServiceKeyPassesSubjectsOn(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	key, _ := newKey(t, func() time.Time { return now })
	user := principal.Principal{Kind: principal.User, ID: id.New(id.User), Organization: acme, Scopes: []string{principal.AllScopes}, By: id.New(id.Client)}
	account := user
	account.Kind, account.ID = principal.ServiceAccount, id.New(id.ServiceAccount)
	for _, caller := range []principal.Principal{user, account} {
		for way, mint := range map[string]func() (secret.String, error){
			"passed on": func() (secret.String, error) { return key.Mint("authz", audience, &caller) },
			"forwarded": func() (secret.String, error) { return key.Forward("authz", "us-east", audience, caller) },
		} {
			bearer, err := mint()
			if err != nil {
				t.Fatal(err)
			}
			got, err := key.Verify(bearer, audience)
			if err != nil {
				t.Fatalf("%v, %s: %v", caller.Kind, way, err)
			}
			if got.Subject() != caller.ID || got.Scope() != caller.Scope() || got.By != caller.By || got.Organization != acme || !got.Counted() ||
				!slices.Equal(got.Scopes, caller.Scopes) || got.Actor().String() != caller.Actor().String() {
				t.Errorf("%v, %s: %+v", caller.Kind, way, got)
			}
		}
	}
	for name, change := range map[string]func(*principal.Principal){
		"with a level":           func(p *principal.Principal) { p.Level = commonv1.Level_LEVEL_READ },
		"by nobody":              func(p *principal.Principal) { p.By = "" },
		"an account for a user":  func(p *principal.Principal) { p.ID = account.ID },
		"on behalf of a user":    func(p *principal.Principal) { p.OnBehalfOf = id.New(id.User) },
		"an API token by others": func(p *principal.Principal) { p.Kind, p.Level = principal.APIToken, commonv1.Level_LEVEL_READ },
	} {
		caller := user
		change(&caller)
		bearer, err := key.Mint("authz", audience, &caller)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.Verify(bearer, audience); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhoActsWithAnAccessToken(t *testing.T) {
	t.Parallel()
	for kind, want := range map[principal.Kind]logv1.ActorKind{
		principal.User: logv1.ActorKind_ACTOR_KIND_USER, principal.ServiceAccount: logv1.ActorKind_ACTOR_KIND_SERVICE_ACCOUNT,
	} {
		p := principal.Principal{Kind: kind, ID: "x", By: "cli_1", Via: "authz"}
		if a := p.Actor(); a.GetKind() != want || a.GetId() != "x" || a.GetVia() != "cli_1" {
			t.Errorf("%v", a)
		}
		if got, want := p.Scope(), kind.String()+":x/cli_1"; got != want {
			t.Errorf("scope %q, want %q", got, want)
		}
	}
}

func TestWithout(t *testing.T) {
	t.Parallel()
	ctx := principal.With(context.Background(), principal.Principal{Kind: principal.User, ID: "x"})
	if p, ok := principal.From(principal.Without(ctx)); ok || p.ID != "" {
		t.Errorf("%+v", p)
	}
	if _, ok := principal.From(ctx); !ok {
		t.Error("the control has no caller")
	}
}
