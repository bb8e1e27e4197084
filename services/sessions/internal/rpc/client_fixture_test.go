package rpc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/id"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const callback = "https://app.example/callback"

// app is an application that signs people in; change changes it.
func app(change ...func(*sessionsv1.ClientSettings)) *sessionsv1.ClientSettings {
	s := &sessionsv1.ClientSettings{
		Name: "Console", Authentication: sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC,
		GrantTypes:   []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE, sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN},
		RedirectUris: []string{callback}, Scopes: []string{"openid", "profile"},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

// machine is one that gets tokens for itself, or for a service account.
func machine(account string) *sessionsv1.ClientSettings {
	return app(func(s *sessionsv1.ClientSettings) {
		s.GrantTypes = []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS}
		s.RedirectUris, s.ServiceAccount = nil, account
	})
}

func public(s *sessionsv1.ClientSettings) {
	s.Authentication = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE
}

func signing(jwks string) func(*sessionsv1.ClientSettings) {
	return func(s *sessionsv1.ClientSettings) {
		s.Authentication, s.Jwks = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT, jwks
	}
}

// jwks is a JWK Set of a key, public or private.
func jwks(t *testing.T, private bool) string {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: pair.Public(), KeyID: "1"}
	if private {
		key.Key = pair
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (f *fixture) create(t *testing.T, org string, settings *sessionsv1.ClientSettings) *sessionsv1.CreateClientResponse {
	t.Helper()
	made, err := f.clients.CreateClient(f.ctx, &sessionsv1.CreateClientRequest{Organization: org, Settings: settings, IdempotencyKey: f.key()})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (f *fixture) get(t *testing.T, c *sessionsv1.Client) *sessionsv1.Client {
	t.Helper()
	got, err := f.clients.GetClient(f.ctx, &sessionsv1.GetClientRequest{Organization: c.GetOrganization(), Client: c.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetClient()
}

// verifyClients compares an owner's rows with what its log says.
func (f *fixture) verifyClients(t *testing.T, org string) {
	t.Helper()
	log := org
	if org == "" {
		log = id.Platform
	}
	said := map[string]*client.State{}
	for _, event := range f.events(t, log, 0) {
		about, ok := event.(interface{ GetClient() string })
		if !ok {
			continue
		}
		if said[about.GetClient()] == nil {
			said[about.GetClient()] = &client.State{}
		}
		if said[about.GetClient()].Apply(event); said[about.GetClient()].ID == "" {
			delete(said, about.GetClient())
		}
	}
	rows, err := store.ListClients(t.Context(), f.db.Pool(), org, "", client.Limit)
	if err != nil || len(rows) != len(said) {
		t.Errorf("%d rows, the log says %d: %v", len(rows), len(said), err)
	}
	for _, row := range rows {
		if want := said[row.ID]; want == nil || !row.Equal(*want) || len(row.Stored) != len(row.Secrets) {
			t.Errorf("row %+v, the log says %+v", row, want)
		}
	}
}
