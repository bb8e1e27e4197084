package rpc_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/home/hometest"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/rpc"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// trusting are settings of a trust; change changes them.
func trusting(t *testing.T, account string, change ...func(*sessionsv1.TrustSettings)) *sessionsv1.TrustSettings {
	t.Helper()
	s := &sessionsv1.TrustSettings{
		Name: "Deployer", Issuer: "https://token.actions.githubusercontent.com", Jwks: jwks(t, false), Audience: "https://id.example",
		Subject: "repo:example/app:*", ServiceAccount: account, MaxScopes: []string{"deploy"},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

// trust makes a trust.
func (f *fixture) trust(t *testing.T, organization, account string) string {
	t.Helper()
	made, err := (&rpc.Trusts{Clients: f.clients}).CreateTrust(f.ctx, &sessionsv1.CreateTrustRequest{
		Organization: organization, Settings: trusting(t, account), IdempotencyKey: f.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetTrust().GetId()
}

// A change is one event, counts at once and is idempotent; what cannot be changes
// nothing.
func TestUpdateTrust(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	trusts, org, other := &rpc.Trusts{Clients: f.clients}, f.organization(t), f.organization(t)
	account := f.identity.account(org)
	name := f.trust(t, org, account)
	request := &sessionsv1.UpdateTrustRequest{Organization: org, Trust: name, IdempotencyKey: f.key(), Settings: trusting(t, account, func(s *sessionsv1.TrustSettings) {
		s.Name, s.Jwks, s.JwksUri, s.Audience, s.Subject, s.MaxScopes = "Other", "", "https://keys.example/jwks", "https://id2.example", "repo:example/other:*", []string{"read"}
	})}
	changed, err := trusts.UpdateTrust(f.ctx, request)
	if err != nil || !proto.Equal(changed.GetTrust().GetSettings(), request.GetSettings()) {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if again, err := trusts.UpdateTrust(f.ctx, request); err != nil || !proto.Equal(again, changed) {
		t.Errorf("repeated: %v, %v", again, err)
	}
	head := f.head(t, org)
	request.IdempotencyKey = f.key()
	if same, err := trusts.UpdateTrust(f.ctx, request); err != nil || same.GetRevision() != changed.GetRevision() || f.head(t, org) != head {
		t.Errorf("the same again: %v, %v", same, err)
	}
	got, err := trusts.GetTrust(f.ctx, &sessionsv1.GetTrustRequest{Organization: org, Trust: name, AtLeast: changed.GetRevision()})
	if err != nil || !proto.Equal(got.GetTrust(), changed.GetTrust()) {
		t.Errorf("read %v, %v", got, err)
	}
	keys := func(text string) *sessionsv1.TrustSettings {
		return trusting(t, account, func(s *sessionsv1.TrustSettings) { s.Jwks = text })
	}
	for what, tc := range map[string]struct {
		organization, trust string
		settings            *sessionsv1.TrustSettings
		reason              commonv1.Reason
		field               string
	}{
		"another issuer":         {org, name, trusting(t, account, func(s *sessionsv1.TrustSettings) { s.Issuer = "https://evil.example" }), commonv1.Reason_INVALID_FIELD, "settings.issuer"},
		"everybody at GitHub":    {org, name, trusting(t, account, func(s *sessionsv1.TrustSettings) { s.Subject = "repo:*" }), commonv1.Reason_INVALID_FIELD, "settings.subject"},
		"a private key":          {org, name, keys(jwks(t, true)), commonv1.Reason_INVALID_FIELD, "settings.jwks"},
		"keys in two ways":       {org, name, trusting(t, account, func(s *sessionsv1.TrustSettings) { s.JwksUri = "https://keys.example" }), commonv1.Reason_INVALID_FIELD, "settings.jwks_uri"},
		"no settings":            {org, name, nil, commonv1.Reason_INVALID_FIELD, "settings"},
		"another's account":      {org, name, trusting(t, f.identity.account(other)), commonv1.Reason_NOT_FOUND, "settings.service_account"},
		"none":                   {org, id.New(id.Trust), trusting(t, account), commonv1.Reason_NOT_FOUND, ""},
		"another organization's": {other, name, trusting(t, f.identity.account(other)), commonv1.Reason_NOT_FOUND, ""},
	} {
		_, err := trusts.UpdateTrust(f.ctx, &sessionsv1.UpdateTrustRequest{
			Organization: tc.organization, Trust: tc.trust, Settings: tc.settings, IdempotencyKey: f.key(),
		})
		t.Run(what, func(t *testing.T) { wantFault(t, err, tc.reason, tc.field) })
	}
	f.identity.put(org, identityv1.OrganizationState_ORGANIZATION_STATE_SUSPENDED)
	_, err = trusts.UpdateTrust(f.ctx, &sessionsv1.UpdateTrustRequest{Organization: org, Trust: name, Settings: trusting(t, account), IdempotencyKey: f.key()})
	wantFault(t, err, commonv1.Reason_ORGANIZATION_STATE, "")
	if f.head(t, org) != head {
		t.Error("a refusal changed something")
	}
}

func TestTrustWritesAreSentHome(t *testing.T) {
	t.Parallel()
	hometest.Complete(t, sessionsv1connect.TrustServiceName, func(ways *home.Router) any {
		return rpc.TrustsAtHome(&rpc.Trusts{Clients: &rpc.Clients{}}, ways)
	})
}

func TestTrustLife(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	trusts, org, other := &rpc.Trusts{Clients: f.clients}, f.organization(t), f.organization(t)
	request := &sessionsv1.CreateTrustRequest{Organization: org, Settings: trusting(t, f.identity.account(org)), IdempotencyKey: "1"}
	made, err := trusts.CreateTrust(f.ctx, request)
	if err != nil || !id.Valid(id.Trust, made.GetTrust().GetId()) || !proto.Equal(made.GetTrust().GetSettings(), request.GetSettings()) {
		t.Fatalf("made %v, %v", made, err)
	}
	if again, err := trusts.CreateTrust(f.ctx, request); err != nil || !proto.Equal(again, made) {
		t.Errorf("repeated: %v, %v", again, err)
	}
	second, err := trusts.CreateTrust(f.ctx, &sessionsv1.CreateTrustRequest{Organization: org, Settings: request.GetSettings(), IdempotencyKey: "2"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := trusts.GetTrust(f.ctx, &sessionsv1.GetTrustRequest{Organization: org, Trust: made.GetTrust().GetId(), AtLeast: made.GetRevision()})
	if err != nil || !proto.Equal(got.GetTrust(), made.GetTrust()) {
		t.Errorf("read %v, %v", got, err)
	}
	var names []string
	for cursor := ""; ; {
		list, err := trusts.ListTrusts(f.ctx, &sessionsv1.ListTrustsRequest{Organization: org, PageSize: 1, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range list.GetTrusts() {
			names = append(names, item.GetId())
		}
		if cursor = list.GetNextCursor(); cursor == "" {
			break
		}
	}
	if strings.Join(names, " ") != made.GetTrust().GetId()+" "+second.GetTrust().GetId() {
		t.Errorf("listed %v", names)
	}

	// Another organization has none of it.
	name := made.GetTrust().GetId()
	_, err = trusts.GetTrust(f.ctx, &sessionsv1.GetTrustRequest{Organization: other, Trust: name})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	_, err = trusts.DeleteTrust(f.ctx, &sessionsv1.DeleteTrustRequest{Organization: other, Trust: name, IdempotencyKey: "3"})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	if list, err := trusts.ListTrusts(f.ctx, &sessionsv1.ListTrustsRequest{Organization: other}); err != nil || len(list.GetTrusts()) != 0 {
		t.Errorf("another's list: %v, %v", list, err)
	}

	// What takes away is possible in an organization that is closed.
	f.identity.put(org, identityv1.OrganizationState_ORGANIZATION_STATE_SUSPENDED)
	_, err = trusts.CreateTrust(f.ctx, &sessionsv1.CreateTrustRequest{Organization: org, Settings: request.GetSettings(), IdempotencyKey: "4"})
	wantFault(t, err, commonv1.Reason_ORGANIZATION_STATE, "")
	remove := &sessionsv1.DeleteTrustRequest{Organization: org, Trust: name, IdempotencyKey: "5"}
	gone, err := trusts.DeleteTrust(f.ctx, remove)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := trusts.DeleteTrust(f.ctx, remove); err != nil || again.GetRevision() != gone.GetRevision() {
		t.Errorf("repeated: %v, %v", again, err)
	}
	remove.IdempotencyKey = "6"
	_, err = trusts.DeleteTrust(f.ctx, remove)
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	if rows, err := store.ListTrusts(t.Context(), f.db.Pool(), org, "", 10); err != nil || len(rows) != 1 || rows[0].ID != second.GetTrust().GetId() {
		t.Errorf("rows %v, %v", rows, err)
	}
}

func TestTrustsThatCannotBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	trusts, org, other := &rpc.Trusts{Clients: f.clients}, f.organization(t), f.organization(t)
	account, foreign := f.identity.account(org), f.identity.account(other)
	head := f.head(t, org)
	keys := func(text string) func(*sessionsv1.TrustSettings) {
		return func(s *sessionsv1.TrustSettings) { s.Jwks = text }
	}
	domain := func(s *sessionsv1.TrustSettings) {
		s.Issuer, s.Subject = "spiffe://example.org", "spiffe://example.org/ns/production/*"
	}
	for name, tc := range map[string]struct {
		settings *sessionsv1.TrustSettings
		reason   commonv1.Reason
		field    string
	}{
		"none":                           {nil, commonv1.Reason_INVALID_FIELD, "settings"},
		"everybody at GitHub":            {trusting(t, account, func(s *sessionsv1.TrustSettings) { s.Subject = "repo:*" }), commonv1.Reason_INVALID_FIELD, "settings.subject"},
		"plain HTTP":                     {trusting(t, account, func(s *sessionsv1.TrustSettings) { s.Issuer = "http://cluster.example" }), commonv1.Reason_INVALID_FIELD, "settings.issuer"},
		"a private key":                  {trusting(t, account, keys(jwks(t, true))), commonv1.Reason_INVALID_FIELD, "settings.jwks"},
		"a secret":                       {trusting(t, account, keys(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)), commonv1.Reason_INVALID_FIELD, "settings.jwks"},
		"no keys of a trust domain":      {trusting(t, account, domain, keys("")), commonv1.Reason_INVALID_FIELD, "settings.jwks_uri"},
		"no keys":                        {trusting(t, account, keys(`{"keys":[]}`)), commonv1.Reason_INVALID_FIELD, "settings.jwks"},
		"a JWK Set for a trust domain":   {trusting(t, account, domain), commonv1.Reason_INVALID_FIELD, "settings.jwks"},
		"a service account that is not":  {trusting(t, id.New(id.ServiceAccount)), commonv1.Reason_NOT_FOUND, "settings.service_account"},
		"another organization's account": {trusting(t, foreign), commonv1.Reason_NOT_FOUND, "settings.service_account"},
		"scopes of people":               {trusting(t, account, func(s *sessionsv1.TrustSettings) { s.MaxScopes = []string{"email"} }), commonv1.Reason_INVALID_FIELD, "settings.max_scopes[0]"},
	} {
		_, err := trusts.CreateTrust(f.ctx, &sessionsv1.CreateTrustRequest{Organization: org, Settings: tc.settings, IdempotencyKey: f.key()})
		t.Run(name, func(t *testing.T) { wantFault(t, err, tc.reason, tc.field) })
	}
	if f.head(t, org) != head {
		t.Error("a refusal changed something")
	}
	bundle := strings.Replace(jwks(t, false), `"kty"`, `"use":"jwt-svid","kty"`, 1)
	if _, err := trusts.CreateTrust(f.ctx, &sessionsv1.CreateTrustRequest{
		Organization: org, Settings: trusting(t, account, domain, keys(bundle)), IdempotencyKey: f.key(),
	}); err != nil {
		t.Errorf("the control: %v", err)
	}
}
