package principal_test

import (
	"testing"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
)

const (
	check = "/meridian.authz.v1.CheckService/Check"
	acme  = "org_00000000000000000000000001"
	other = "org_00000000000000000000000002"
)

func TestAuthorize(t *testing.T) {
	t.Parallel()
	token := func(organization string, level commonv1.Level) principal.Principal {
		return principal.Principal{Kind: principal.APIToken, ID: "tok_1", Organization: organization, Level: level}
	}
	const (
		readLevel, writeLevel, adminLevel = commonv1.Level_LEVEL_READ, commonv1.Level_LEVEL_WRITE, commonv1.Level_LEVEL_ADMIN
		platform, organization, service   = commonv1.Scope_SCOPE_PLATFORM, commonv1.Scope_SCOPE_ORGANIZATION, commonv1.Scope_SCOPE_SERVICE
		ok                                = commonv1.Reason_REASON_UNSPECIFIED
		denied, absent                    = commonv1.Reason_ACCESS_DENIED, commonv1.Reason_NOT_FOUND
		closed                            = commonv1.Reason_ORGANIZATION_STATE
	)
	own := principal.Principal{Kind: principal.Service, ID: "authz", Level: adminLevel}
	suspended := token(acme, adminLevel)
	suspended.Closed = "suspended"
	passed := token(acme, readLevel)
	passed.Via = "authz"
	for name, c := range map[string]struct {
		who    principal.Principal
		access *commonv1.Access
		names  string
		want   commonv1.Reason
	}{
		"nobody":                                              {principal.Principal{Level: adminLevel}, &commonv1.Access{Scope: platform, Level: readLevel}, "", commonv1.Reason_TOKEN_MISSING},
		"no option, platform admin":                           {token("", adminLevel), nil, "", denied},
		"no option, service":                                  {own, nil, "", denied},
		"option without scope":                                {token("", adminLevel), &commonv1.Access{Level: readLevel}, "", denied},
		"option without level":                                {token("", adminLevel), &commonv1.Access{Scope: platform}, "", denied},
		"service option without level":                        {own, &commonv1.Access{Scope: service}, "", denied},
		"platform, platform token":                            {token("", readLevel), &commonv1.Access{Scope: platform, Level: readLevel}, "", ok},
		"platform, level too low":                             {token("", readLevel), &commonv1.Access{Scope: platform, Level: adminLevel}, "", denied},
		"platform, organization token":                        {token(acme, adminLevel), &commonv1.Access{Scope: platform, Level: readLevel}, "", denied},
		"organization, its token":                             {token(acme, writeLevel), &commonv1.Access{Scope: organization, Level: writeLevel}, acme, ok},
		"organization, level too low":                         {token(acme, readLevel), &commonv1.Access{Scope: organization, Level: writeLevel}, acme, denied},
		"organization, platform token":                        {token("", adminLevel), &commonv1.Access{Scope: organization, Level: adminLevel}, acme, ok},
		"organization, another's token":                       {token(other, adminLevel), &commonv1.Access{Scope: organization, Level: readLevel}, acme, absent},
		"organization, another's, level too low":              {token(other, readLevel), &commonv1.Access{Scope: organization, Level: adminLevel}, acme, absent},
		"no organization named, platform token":               {token("", adminLevel), &commonv1.Access{Scope: organization, Level: adminLevel}, "", ok},
		"no organization named, organization's":               {token(acme, adminLevel), &commonv1.Access{Scope: organization, Level: adminLevel}, "", denied},
		"organization, suspended":                             {suspended, &commonv1.Access{Scope: organization, Level: readLevel}, acme, closed},
		"another organization, suspended":                     {suspended, &commonv1.Access{Scope: organization, Level: readLevel}, other, closed},
		"no option, suspended":                                {suspended, nil, acme, closed},
		"service, a service":                                  {own, &commonv1.Access{Scope: service, Level: readLevel}, "", ok},
		"service, a service for a caller":                     {passed, &commonv1.Access{Scope: service, Level: readLevel}, "", ok},
		"service, platform admin":                             {token("", adminLevel), &commonv1.Access{Scope: service, Level: readLevel}, "", denied},
		"organization, a service":                             {own, &commonv1.Access{Scope: organization, Level: adminLevel}, acme, ok},
		"a service reaches no further than whom it calls for": {passed, &commonv1.Access{Scope: organization, Level: readLevel}, other, absent},
	} {
		err := principal.Authorize(c.who, check, c.access, c.names)
		if c.want == ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	access := &commonv1.Access{Scope: commonv1.Scope_SCOPE_ORGANIZATION, Level: commonv1.Level_LEVEL_READ}
	const service = "meridian.authz.v1.CheckService"
	for name, c := range map[string]struct {
		scopes    []string
		procedure string
		via       string
		want      commonv1.Reason
	}{
		"none":                             {nil, check, "", 0},
		"the procedure":                    {[]string{service + "/Check"}, check, "", 0},
		"the service":                      {[]string{"a.b", service}, check, "", 0},
		"another procedure":                {[]string{service + "/BatchCheck"}, check, "", commonv1.Reason_ACCESS_DENIED},
		"the beginning of the procedure":   {[]string{service + "/Chec"}, check, "", commonv1.Reason_ACCESS_DENIED},
		"the beginning of the service":     {[]string{"meridian.authz.v1.Check"}, check, "", commonv1.Reason_ACCESS_DENIED},
		"the package":                      {[]string{"meridian.authz.v1"}, check, "", commonv1.Reason_ACCESS_DENIED},
		"empty":                            {[]string{""}, check, "", commonv1.Reason_ACCESS_DENIED},
		"longer than the procedure":        {[]string{service + "/Checks"}, check, "", commonv1.Reason_ACCESS_DENIED},
		"the service, for all of it":       {[]string{service}, service, "", 0},
		"a procedure, for all of it":       {[]string{service + "/Check"}, service, "", commonv1.Reason_ACCESS_DENIED},
		"another, by a service in between": {[]string{"meridian.authz.v1.LookupService"}, check, "authz", 0},
	} {
		p := principal.Principal{Kind: principal.APIToken, ID: "tok_1", Organization: acme, Level: commonv1.Level_LEVEL_ADMIN, Scopes: c.scopes, Via: c.via}
		if err := principal.Authorize(p, c.procedure, access, acme); c.want == 0 && err != nil || c.want != 0 && !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestForeignOrganizationLooksAbsent(t *testing.T) {
	t.Parallel()
	foreign := principal.Authorize(
		principal.Principal{Kind: principal.APIToken, ID: "tok_1", Organization: other, Level: commonv1.Level_LEVEL_ADMIN},
		check, &commonv1.Access{Scope: commonv1.Scope_SCOPE_ORGANIZATION, Level: commonv1.Level_LEVEL_READ}, acme)
	if foreign.Error() != principal.OrganizationNotFound().Error() {
		t.Errorf("%q differs from %q", foreign, principal.OrganizationNotFound())
	}
}
