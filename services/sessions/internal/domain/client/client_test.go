package client_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

// As the contract numbers them.
const (
	public, basic, signs, issued  = 1, 2, 4, 6
	code, refresh, ownCredentials = 1, 2, 3
	exchanges                     = 5
)

var at = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

func app() *eventv1.ClientSettings {
	return &eventv1.ClientSettings{
		Name: "Console", Authentication: basic, GrantTypes: []int32{code, refresh}, RedirectUris: []string{"https://app.example/callback"},
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change       func(*eventv1.ClientSettings)
		organization string
		field, rule  string
	}{
		"an app":                    {},
		"a machine":                 {change: func(s *eventv1.ClientSettings) { s.GrantTypes, s.RedirectUris = []int32{ownCredentials}, nil }},
		"a name of spaces":          {change: func(s *eventv1.ClientSettings) { s.Name = " \u3000" }, field: "settings.name", rule: "required"},
		"a public app":              {change: func(s *eventv1.ClientSettings) { s.Authentication = public }},
		"codes lead nowhere":        {change: func(s *eventv1.ClientSettings) { s.RedirectUris = nil }, field: "settings.redirect_uris", rule: "required"},
		"a machine with a page":     {change: func(s *eventv1.ClientSettings) { s.GrantTypes = []int32{ownCredentials} }, field: "settings.redirect_uris", rule: "unused"},
		"refresh tokens of nothing": {change: func(s *eventv1.ClientSettings) { s.GrantTypes, s.RedirectUris = []int32{refresh}, nil }, field: "settings.grant_types", rule: "refresh_token"},
		"O13 a public machine": {change: func(s *eventv1.ClientSettings) {
			s.Authentication, s.GrantTypes = public, []int32{code, ownCredentials}
		}, field: "settings.grant_types", rule: "client_credentials"},
		"O18 a public client that exchanges": {change: func(s *eventv1.ClientSettings) {
			s.Authentication, s.GrantTypes, s.Resources = public, []int32{code, exchanges}, []string{"https://api.example"}
		}, field: "settings.grant_types", rule: "token_exchange"},
		"nothing to exchange": {change: func(s *eventv1.ClientSettings) { s.GrantTypes = []int32{code, exchanges} }, field: "settings.resources", rule: "token_exchange"},
		"an API that calls others": {change: func(s *eventv1.ClientSettings) {
			s.GrantTypes, s.RedirectUris, s.Resources = []int32{exchanges}, nil, []string{"https://api.example"}
		}},
		"O19 script as redirect URI":   {change: func(s *eventv1.ClientSettings) { s.RedirectUris = append(s.RedirectUris, "javascript:alert(1)") }, field: "settings.redirect_uris[1]", rule: "scheme"},
		"plain HTTP after logout":      {change: func(s *eventv1.ClientSettings) { s.PostLogoutRedirectUris = []string{"http://app.example"} }, field: "settings.post_logout_redirect_uris[0]", rule: "https"},
		"resource with a fragment":     {change: func(s *eventv1.ClientSettings) { s.Resources = []string{"https://api.example/#a"} }, field: "settings.resources[0]", rule: "fragment"},
		"logouts told over plain HTTP": {change: func(s *eventv1.ClientSettings) { s.BackchannelLogoutUri = "http://app.example/logout" }, field: "settings.backchannel_logout_uri", rule: "https"},
		"a machine told of logouts": {change: func(s *eventv1.ClientSettings) {
			s.GrantTypes, s.RedirectUris, s.BackchannelLogoutUri = []int32{ownCredentials}, nil, "https://app.example/logout"
		}, field: "settings.backchannel_logout_uri", rule: "unused"},
		"an organization's requests to this machine": {
			change:       func(s *eventv1.ClientSettings) { s.BackchannelLogoutUri = "https://localhost:6379/" },
			organization: "org_1", field: "settings.backchannel_logout_uri", rule: "loopback",
		},
		"sessions of logouts that nobody is told": {change: func(s *eventv1.ClientSettings) { s.BackchannelLogoutSessionRequired = true }, field: "settings.backchannel_logout_session_required", rule: "unused"},
		"keys that nobody asks for":               {change: func(s *eventv1.ClientSettings) { s.Jwks = "{}" }, field: "settings.jwks", rule: "private_key_jwt"},
		"a certificate that names nobody":         {change: func(s *eventv1.ClientSettings) { s.Authentication = issued }, field: "settings.certificate_subject", rule: "tls"},
		"a certificate's name for nothing":        {change: func(s *eventv1.ClientSettings) { s.CertificateSubject = "dns:app.example" }, field: "settings.certificate_subject", rule: "tls"},
		"a certificate of a kind that is none": {change: func(s *eventv1.ClientSettings) {
			s.Authentication, s.CertificateSubject = issued, "cn:app"
		}, field: "settings.certificate_subject", rule: "kind"},
		"a certificate of an authority":   {change: func(s *eventv1.ClientSettings) { s.Authentication, s.CertificateSubject = issued, "dns:app.example" }},
		"no keys to verify with":          {change: func(s *eventv1.ClientSettings) { s.Authentication = signs }, field: "settings.jwks", rule: "private_key_jwt"},
		"service account of the platform": {change: func(s *eventv1.ClientSettings) { s.ServiceAccount = "svc_1" }, field: "settings.service_account", rule: "client_credentials"},
		"service account of an app":       {change: func(s *eventv1.ClientSettings) { s.ServiceAccount = "svc_1" }, organization: "org_1", field: "settings.service_account", rule: "client_credentials"},
		"idle longer than all":            {change: func(s *eventv1.ClientSettings) { s.RefreshIdleSeconds, s.RefreshAbsoluteSeconds = 2, 1 }, field: "settings.refresh_idle_seconds", rule: "absolute"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given := app()
			if tc.change != nil {
				tc.change(given)
			}
			before := proto.CloneOf(given)
			got, err := client.Complete(given, tc.organization)
			if !proto.Equal(given, before) {
				t.Error("the request was changed")
			}
			if tc.field == "" {
				if err != nil || got.GetAccessTokenSeconds() != 300 || got.GetRefreshGraceSeconds() != 10 || got.GetIdTokenAlgorithm() != "ES256" {
					t.Errorf("%v, %v", got, err)
				}
				again, err := client.Complete(got, tc.organization)
				if err != nil || !proto.Equal(again, got) {
					t.Errorf("completed twice: %v, %v", again, err)
				}
				return
			}
			f, ok := fault.As(err)
			if !ok || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != tc.field || f.Meta["rule"] != tc.rule {
				t.Errorf("%v, want %s %s", err, tc.field, tc.rule)
			}
		})
	}
	short := app()
	short.RefreshAbsoluteSeconds = 60
	if got, err := client.Complete(short, ""); err != nil || got.GetRefreshIdleSeconds() != 60 {
		t.Errorf("idle of a short life: %v, %v", got, err)
	}
	long := app()
	long.RefreshIdleSeconds = 31_000_000
	if got, err := client.Complete(long, ""); err != nil || got.GetRefreshAbsoluteSeconds() != 31_000_000 {
		t.Errorf("life of a long idle: %v, %v", got, err)
	}
}

// made is a client that was created, with its first secret.
func made(t *testing.T) client.State {
	t.Helper()
	events, err := client.Create{ID: id.New(id.Client), Settings: app(), Secret: "crs_1"}.Decide()
	if err != nil {
		t.Fatal(err)
	}
	return fold(client.State{}, events)
}

func fold(s client.State, events []proto.Message) client.State {
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s := made(t)
	if live := s.Live(at); len(live) != 1 || live[0] != "crs_1" {
		t.Fatalf("live %v", live)
	}
	events, err := client.AddSecret{ID: "crs_2", EndOthers: at.Add(time.Hour), At: at}.Decide(s)
	if s = fold(s, events); err != nil || len(s.Live(at)) != 2 || len(s.Live(at.Add(time.Hour))) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := (client.AddSecret{ID: "crs_3", At: at}).Decide(s); !fault.Is(err, commonv1.Reason_LIMIT_REACHED) {
		t.Errorf("a third: %v", err)
	}
	events, err = client.AddSecret{ID: "crs_3", EndOthers: at.Add(3 * time.Hour), At: at.Add(2 * time.Hour)}.Decide(s)
	if s = fold(s, events); err != nil || len(s.Secrets) != 2 || !s.Secrets["crs_2"].Equal(at.Add(3*time.Hour)) {
		t.Fatalf("what has ended is kept, or lives again: %+v, %v", s, err)
	}
	events, err = client.RevokeSecret{ID: "crs_3"}.Decide(s)
	if s = fold(s, events); err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	if events, err = (client.RevokeSecret{ID: "crs_3"}).Decide(s); err != nil || len(events) != 0 {
		t.Errorf("twice: %v, %v", events, err)
	}
	settings := app()
	settings.Authentication = public
	events, err = client.Update{Settings: settings}.Decide(s)
	if s = fold(s, events); err != nil || len(s.Secrets) != 0 {
		t.Errorf("a public client has secrets: %+v, %v", s, err)
	}
	if _, err := (client.AddSecret{ID: "crs_4", At: at}).Decide(s); !fault.Is(err, commonv1.Reason_CLIENT_SECRETLESS) {
		t.Errorf("secret of a public client: %v", err)
	}
}

// Events change the state that they are applied to, not its copies, and revive nothing.
func TestApply(t *testing.T) {
	t.Parallel()
	before := made(t)
	after := before
	after.Apply(&eventv1.ClientSecretAdded{Client: before.ID, Secret: "crs_2"})
	if len(before.Secrets) != 1 || len(after.Secrets) != 2 {
		t.Errorf("%v and %v", before.Secrets, after.Secrets)
	}
	after.Apply(&eventv1.ClientSecretRevoked{Client: before.ID, Secret: "crs_2"})
	after.Apply(&eventv1.ClientSecretExpiryChanged{Client: before.ID, Secret: "crs_2"})
	if len(after.Secrets) != 1 {
		t.Errorf("a revoked secret is back: %v", after.Secrets)
	}
	read := client.State{ID: before.ID}
	read.Apply(&eventv1.ClientSecretAdded{Client: before.ID, Secret: "crs_1"})
	if len(read.Secrets) != 1 {
		t.Errorf("a state without secrets has %v", read.Secrets)
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	s := made(t)
	on := true
	events, err := client.Update{Settings: app(), Disabled: &on}.Decide(s)
	if s = fold(s, events); err != nil || len(events) != 1 || !s.Disabled {
		t.Errorf("disabled: %v, %v", events, err)
	}
	if events, err = (client.Update{Settings: app(), Disabled: &on}).Decide(s); err != nil || len(events) != 0 {
		t.Errorf("twice: %v, %v", events, err)
	}
	events, err = client.Delete{}.Decide(s)
	if s = fold(s, events); err != nil || s.ID != "" {
		t.Errorf("deleted: %+v, %v", s, err)
	}
	for _, c := range []interface {
		Decide(s client.State) ([]proto.Message, error)
	}{client.Delete{}, client.Update{}, client.AddSecret{}, client.RevokeSecret{}} {
		if _, err := c.Decide(s); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			t.Errorf("%T of nothing: %v", c, err)
		}
	}
	if _, err := (client.Create{ID: id.New(id.Client), Settings: app(), Others: client.Limit}).Decide(); !fault.Is(err, commonv1.Reason_LIMIT_REACHED) {
		t.Errorf("one too many: %v", err)
	}
	if s = fold(made(t), []proto.Message{&eventv1.ClientDisabled{Client: "cli_other"}}); s.Disabled {
		t.Error("another's event counts")
	}
}
