package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/home/hometest"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/rpc"
)

func TestClientLife(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	request := &sessionsv1.CreateClientRequest{Organization: org, Settings: app(), IdempotencyKey: "1"}
	made, err := f.clients.CreateClient(f.ctx, request)
	c := made.GetClient()
	if err != nil || !id.Valid(id.Client, c.GetId()) || !strings.HasPrefix(made.GetSecret(), "mcs_") || len(made.GetSecret()) != 47 ||
		len(c.GetSecrets()) != 1 || !id.Valid(id.ClientSecret, c.GetSecrets()[0].GetId()) || c.GetSecrets()[0].GetExpiresAt() != nil {
		t.Fatalf("made %v, %v", made, err)
	}
	if got := c.GetSettings(); got.GetName() != "Console" || got.GetRefreshGraceSeconds() != 10 || got.GetAccessTokenSeconds() != 300 ||
		!slices.Equal(got.GetRedirectUris(), []string{callback}) || len(got.GetGrantTypes()) != 2 {
		t.Errorf("settings %v", got)
	}
	again, err := f.clients.CreateClient(f.ctx, request)
	if err != nil || again.GetSecret() != "" || !proto.Equal(again.GetClient(), c) || again.GetRevision() != made.GetRevision() {
		t.Errorf("repeated: %v, %v; want the client without its secret", again, err)
	}
	f.secretIsNowhere(t, made.GetSecret())
	got, err := f.clients.GetClient(f.ctx, &sessionsv1.GetClientRequest{Organization: org, Client: c.GetId(), AtLeast: made.GetRevision()})
	if err != nil || !proto.Equal(got.GetClient(), c) {
		t.Errorf("read %v, %v; want %v", got, err, c)
	}
	head := f.head(t, org)
	update := &sessionsv1.UpdateClientRequest{
		Organization: org, Client: c.GetId(), Settings: app(public), Disabled: new(true), IdempotencyKey: "2",
	}
	updated, err := f.clients.UpdateClient(f.ctx, update)
	if err != nil || !updated.GetClient().GetDisabled() || len(updated.GetClient().GetSecrets()) != 0 || !proto.Equal(f.get(t, c), updated.GetClient()) {
		t.Errorf("updated: %v, %v", updated, err)
	}
	var kinds []string
	for _, e := range f.events(t, org, head) {
		kinds = append(kinds, string(e.ProtoReflect().Descriptor().Name()))
	}
	if got := strings.Join(kinds, " "); got != "ClientSettingsChanged ClientSecretRevoked ClientDisabled" {
		t.Errorf("events %s", got)
	}
	head = f.head(t, org)
	update.IdempotencyKey = "3"
	if same, err := f.clients.UpdateClient(f.ctx, update); err != nil || same.GetRevision() != updated.GetRevision() || f.head(t, org) != head {
		t.Errorf("the same again: %v, %v; want no event", same, err)
	}
	remove := &sessionsv1.DeleteClientRequest{Organization: org, Client: c.GetId(), IdempotencyKey: "4"}
	gone, err := f.clients.DeleteClient(f.ctx, remove)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.clients.DeleteClient(f.ctx, remove); err != nil || again.GetRevision() != gone.GetRevision() {
		t.Errorf("repeated: %v, %v", again, err)
	}
	remove.IdempotencyKey = "5"
	_, err = f.clients.DeleteClient(f.ctx, remove)
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	f.verifyClients(t, org)
}

// secretIsNowhere looks for a secret, and for what its random bits are in other texts,
// in all that was written.
func (f *fixture) secretIsNowhere(t *testing.T, secret string) {
	t.Helper()
	var found int
	err := f.db.Pool().QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM log.idempotency WHERE position($1::BYTEA IN outcome) > 0) +
		(SELECT count(*) FROM log.events e WHERE position($2 IN e::TEXT) > 0) +
		(SELECT count(*) FROM sessions.client_secrets s WHERE position($1::BYTEA IN hash) > 0) +
		(SELECT count(*) FROM sessions.clients c WHERE position($3 IN c::TEXT) > 0)`,
		[]byte(secret), fmt.Sprintf("%x", secret), secret).Scan(&found)
	if err != nil || found != 0 {
		t.Errorf("a secret was stored %d times, %v", found, err)
	}
	var stored []byte
	err = f.db.Pool().QueryRow(t.Context(), `SELECT hash FROM sessions.client_secrets`).Scan(&stored)
	if err != nil || len(stored) != 32 {
		t.Errorf("%d bytes are stored, %v", len(stored), err)
	}
}

// The platform's clients are in its log, which the first one opens.
func TestClientsOfThePlatform(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	theirs := f.create(t, org, app())
	first, second := f.create(t, "", app()), f.create(t, "", machine(""))
	if head := f.head(t, id.Platform); head != 4 {
		t.Errorf("the platform's log has %d events, want 4", head)
	}
	list, err := f.clients.ListClients(f.ctx, &sessionsv1.ListClientsRequest{})
	if err != nil || len(list.GetClients()) != 2 || list.GetClients()[0].GetId() != first.GetClient().GetId() || list.GetClients()[1].GetId() != second.GetClient().GetId() {
		t.Errorf("listed %v, %v", list, err)
	}
	_, err = f.clients.GetClient(f.ctx, &sessionsv1.GetClientRequest{Client: theirs.GetClient().GetId()})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	if asked := f.identity.asked(); asked[principal.Service] != 1 {
		t.Errorf("identity was asked %v, want once about the organization", asked)
	}
	f.verifyClients(t, "")
	f.verifyClients(t, org)
}

func TestClientsThatCannotBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org, other := f.organization(t), f.organization(t)
	account, foreign := f.identity.account(org), f.identity.account(other)
	made := f.create(t, org, machine(account)).GetClient()
	kept := proto.CloneOf(made)
	heads := f.head(t, org)
	for name, tc := range map[string]struct {
		settings *sessionsv1.ClientSettings
		reason   commonv1.Reason
		field    string
	}{
		"none":                              {nil, commonv1.Reason_INVALID_FIELD, "settings"},
		"codes lead nowhere":                {app(func(s *sessionsv1.ClientSettings) { s.RedirectUris = nil }), commonv1.Reason_INVALID_FIELD, "settings.redirect_uris"},
		"O19 a script":                      {app(func(s *sessionsv1.ClientSettings) { s.RedirectUris = []string{"javascript:alert(1)"} }), commonv1.Reason_INVALID_FIELD, "settings.redirect_uris[0]"},
		"O13 a public machine":              {machineOf(public), commonv1.Reason_INVALID_FIELD, "settings.grant_types"},
		"keys that are none":                {app(signing("{}")), commonv1.Reason_INVALID_FIELD, "settings.jwks"},
		"a private key":                     {app(signing(jwks(t, true))), commonv1.Reason_INVALID_FIELD, "settings.jwks"},
		"no keys":                           {app(signing("")), commonv1.Reason_INVALID_FIELD, "settings.jwks"},
		"a service account that is not":     {machine(id.New(id.ServiceAccount)), commonv1.Reason_NOT_FOUND, "settings.service_account"},
		"another organization's account":    {machine(foreign), commonv1.Reason_NOT_FOUND, "settings.service_account"},
		"a service account of an app":       {app(func(s *sessionsv1.ClientSettings) { s.ServiceAccount = account }), commonv1.Reason_INVALID_FIELD, "settings.service_account"},
		"a name that is drawn as nothing":   {app(func(s *sessionsv1.ClientSettings) { s.Name = "  " }), commonv1.Reason_INVALID_FIELD, "settings.name"},
		"an idle time that never is over":   {app(func(s *sessionsv1.ClientSettings) { s.RefreshIdleSeconds, s.RefreshAbsoluteSeconds = 9, 8 }), commonv1.Reason_INVALID_FIELD, "settings.refresh_idle_seconds"},
		"a resource that is no place":       {app(func(s *sessionsv1.ClientSettings) { s.Resources = []string{"api"} }), commonv1.Reason_INVALID_FIELD, "settings.resources[0]"},
		"logout that leads to plain http":   {app(func(s *sessionsv1.ClientSettings) { s.PostLogoutRedirectUris = []string{"http://app.example"} }), commonv1.Reason_INVALID_FIELD, "settings.post_logout_redirect_uris[0]"},
		"refresh tokens without their code": {machineOf(refreshing), commonv1.Reason_INVALID_FIELD, "settings.grant_types"},
	} {
		_, err := f.clients.CreateClient(f.ctx, &sessionsv1.CreateClientRequest{Organization: org, Settings: tc.settings, IdempotencyKey: f.key()})
		t.Run("create/"+name, func(t *testing.T) { wantFault(t, err, tc.reason, tc.field) })
		if tc.settings == nil {
			continue
		}
		_, err = f.clients.UpdateClient(f.ctx, &sessionsv1.UpdateClientRequest{
			Organization: org, Client: made.GetId(), Settings: tc.settings, IdempotencyKey: f.key(),
		})
		t.Run("update/"+name, func(t *testing.T) { wantFault(t, err, tc.reason, tc.field) })
	}
	// A service account is an organization's.
	_, err := f.clients.CreateClient(f.ctx, &sessionsv1.CreateClientRequest{Settings: machine(account), IdempotencyKey: f.key()})
	wantFault(t, err, commonv1.Reason_INVALID_FIELD, "settings.service_account")
	if got := f.get(t, made); !proto.Equal(got, kept) || f.head(t, org) != heads {
		t.Errorf("a refusal changed something: %v", got)
	}
	f.create(t, org, app(signing(jwks(t, false)))) // the control
	f.verifyClients(t, org)
}

func machineOf(change func(*sessionsv1.ClientSettings)) *sessionsv1.ClientSettings {
	s := machine("")
	change(s)
	return s
}

func refreshing(s *sessionsv1.ClientSettings) {
	s.GrantTypes = append(s.GrantTypes, sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN)
}

// changes are all calls that change a client, and what they need of an organization.
func (f *fixture) changes(org, name, secret string) map[string]func(ctx context.Context) error {
	update := func(settings *sessionsv1.ClientSettings, disabled *bool) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := f.clients.UpdateClient(ctx, &sessionsv1.UpdateClientRequest{
				Organization: org, Client: name, Settings: settings, Disabled: disabled, IdempotencyKey: f.key(),
			})
			return err
		}
	}
	return map[string]func(ctx context.Context) error{
		"update": update(app(func(s *sessionsv1.ClientSettings) { s.Name = f.key() }), nil),
		"both":   update(app(), new(true)),
		"enable": update(nil, new(false)),
		"add": func(ctx context.Context) error {
			_, err := f.clients.AddClientSecret(ctx, &sessionsv1.AddClientSecretRequest{Organization: org, Client: name, IdempotencyKey: f.key()})
			return err
		},
		"disable": update(nil, new(true)),
		"revoke": func(ctx context.Context) error {
			_, err := f.clients.RevokeClientSecret(ctx, &sessionsv1.RevokeClientSecretRequest{
				Organization: org, Client: name, Secret: secret, IdempotencyKey: f.key(),
			})
			return err
		},
		"delete": func(ctx context.Context) error {
			_, err := f.clients.DeleteClient(ctx, &sessionsv1.DeleteClientRequest{Organization: org, Client: name, IdempotencyKey: f.key()})
			return err
		},
	}
}

// In an organization that is not open, only what takes away is possible.
func TestClientsOfClosedOrganizations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for state, word := range map[identityv1.OrganizationState]string{
		identityv1.OrganizationState_ORGANIZATION_STATE_SUSPENDED: "suspended",
		identityv1.OrganizationState_ORGANIZATION_STATE_DELETING:  "deleting",
		identityv1.OrganizationState_ORGANIZATION_STATE_DELETED:   "deleted",
	} {
		org := f.organization(t)
		made := f.create(t, org, app()).GetClient()
		f.identity.put(org, state)
		calls := f.changes(org, made.GetId(), made.GetSecrets()[0].GetId())
		calls["create"] = func(ctx context.Context) error {
			_, err := f.clients.CreateClient(ctx, &sessionsv1.CreateClientRequest{Organization: org, Settings: app(), IdempotencyKey: f.key()})
			return err
		}
		head := f.head(t, org)
		for _, name := range []string{"create", "update", "both", "enable", "add"} {
			err := calls[name](f.ctx)
			wantFault(t, err, commonv1.Reason_ORGANIZATION_STATE, "")
			if refusal, ok := fault.As(err); !ok || refusal.Meta["state"] != word {
				t.Errorf("%s: state %v, want %s", name, refusal.Meta, word)
			}
		}
		if f.head(t, org) != head {
			t.Errorf("%s: a refusal was recorded", word)
		}
		for _, name := range []string{"disable", "revoke", "delete"} {
			if err := calls[name](f.ctx); err != nil {
				t.Errorf("%s: %s: %v", word, name, err)
			}
		}
		f.verifyClients(t, org)
	}
}

// What is asked of identity is asked in this service's own name, and an identity that
// is away holds up nothing that takes away.
func TestIdentityIsAsked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	made := f.create(t, org, machine(f.identity.account(org))).GetClient()
	if asked := f.identity.asked(); len(asked) != 1 || asked[principal.Service] != 2 {
		t.Errorf("asked by %v, want by the service twice", asked)
	}
	f.identity.leave(true)
	calls := f.changes(org, made.GetId(), made.GetSecrets()[0].GetId())
	for _, name := range []string{"update", "add"} {
		if refusal, ok := fault.As(calls[name](f.ctx)); !ok || refusal.Kind != fault.Unavailable {
			t.Errorf("%s without identity: %v", name, refusal)
		}
	}
	for _, name := range []string{"disable", "revoke", "delete"} {
		if err := calls[name](f.ctx); err != nil {
			t.Errorf("%s without identity: %v", name, err)
		}
	}
}

// Another's client and one that is absent are refused with the same words, and so is
// an absent organization.
func TestClientsOfOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org, other := f.organization(t), f.organization(t)
	theirs := f.create(t, other, app()).GetClient()
	secret := theirs.GetSecrets()[0].GetId()
	calls := func(organization, name string) map[string]func(context.Context) error {
		all := f.changes(organization, name, secret)
		all["get"] = func(ctx context.Context) error {
			_, err := f.clients.GetClient(ctx, &sessionsv1.GetClientRequest{Organization: organization, Client: name})
			return err
		}
		return all
	}
	head := f.head(t, other)
	foreign, absent, ofPlatform := calls(org, theirs.GetId()), calls(org, id.New(id.Client)), calls("", theirs.GetId())
	nowhere := calls(id.New(id.Organization), theirs.GetId())
	for name := range foreign {
		theirs, none, platform := foreign[name](f.ctx), absent[name](f.ctx), ofPlatform[name](f.ctx)
		if !fault.Is(theirs, commonv1.Reason_NOT_FOUND) || fmt.Sprint(theirs) != fmt.Sprint(none) || fmt.Sprint(theirs) != fmt.Sprint(platform) {
			t.Errorf("%s: another's: %v; absent: %v; of the platform: %v", name, theirs, none, platform)
		}
		wantFault(t, nowhere[name](f.ctx), commonv1.Reason_NOT_FOUND, "")
	}
	gone := id.New(id.Organization)
	_, err := f.clients.CreateClient(f.ctx, &sessionsv1.CreateClientRequest{Organization: gone, Settings: app(), IdempotencyKey: f.key()})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	_, err = f.clients.ListClients(f.ctx, &sessionsv1.ListClientsRequest{Organization: gone})
	wantFault(t, err, commonv1.Reason_NOT_FOUND, "")
	// The secret of a client is not another client's to revoke.
	own := f.create(t, other, app()).GetClient()
	revoke := &sessionsv1.RevokeClientSecretRequest{Organization: other, Client: own.GetId(), Secret: secret, IdempotencyKey: f.key()}
	if _, err := f.clients.RevokeClientSecret(f.ctx, revoke); err != nil || len(f.get(t, theirs).GetSecrets()) != 1 || len(f.get(t, own).GetSecrets()) != 1 {
		t.Errorf("revoked another client's secret: %v", err)
	}
	if f.head(t, other) != head+2 {
		t.Error("more than the new client was recorded in the other organization's log")
	}
	f.verifyClients(t, other)
}

func TestListClients(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org, other := f.organization(t), f.organization(t)
	f.create(t, other, app())
	var want, got []string
	for range 5 {
		want = append(want, f.create(t, org, app()).GetClient().GetId())
	}
	for cursor := ""; ; {
		page, err := f.clients.ListClients(f.ctx, &sessionsv1.ListClientsRequest{Organization: org, PageSize: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.GetClients() {
			got = append(got, c.GetId())
			if len(c.GetSecrets()) != 1 {
				t.Errorf("%s has %d secrets", c.GetId(), len(c.GetSecrets()))
			}
		}
		if cursor = page.GetNextCursor(); cursor == "" {
			break
		}
		_, err = f.clients.ListClients(f.ctx, &sessionsv1.ListClientsRequest{Organization: other, Cursor: cursor})
		wantFault(t, err, commonv1.Reason_INVALID_FIELD, "cursor")
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	_, err := f.clients.ListClients(f.ctx, &sessionsv1.ListClientsRequest{Organization: org, AtLeast: "forged"})
	wantFault(t, err, commonv1.Reason_REVISION_MALFORMED, "at_least")
	_, err = f.clients.GetClient(f.ctx, &sessionsv1.GetClientRequest{Organization: org, Client: want[0], AtLeast: "forged"})
	wantFault(t, err, commonv1.Reason_REVISION_MALFORMED, "at_least")
}

func TestClientLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org, other := f.organization(t), f.organization(t)
	_, err := f.db.Pool().Exec(t.Context(),
		`INSERT INTO sessions.clients (client_id, organization_id, settings, disabled, home_region, created_at)
		 SELECT 'cli_' || n, $1, '{}', false, 'eu-west', now() FROM generate_series(1, $2) AS n`, org, client.Limit-1)
	if err != nil {
		t.Fatal(err)
	}
	f.create(t, org, app())
	_, err = f.clients.CreateClient(f.ctx, &sessionsv1.CreateClientRequest{Organization: org, Settings: app(), IdempotencyKey: f.key()})
	wantFault(t, err, commonv1.Reason_LIMIT_REACHED, "clients")
	f.create(t, other, app())
}

func TestNobodyMakesNoClient(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	_, err := f.clients.CreateClient(t.Context(), &sessionsv1.CreateClientRequest{Organization: org, Settings: app(), IdempotencyKey: f.key()})
	wantFault(t, err, commonv1.Reason_TOKEN_MISSING, "")
	request := &sessionsv1.CreateClientRequest{Organization: org, Settings: app(), IdempotencyKey: "one key"}
	if _, err := f.clients.CreateClient(f.ctx, request); err != nil {
		t.Fatal(err)
	}
	request.Settings.Name = "another"
	_, err = f.clients.CreateClient(f.ctx, request)
	wantFault(t, err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED, "")
}

// Rows follow an organization to its new home when they are written.
func TestClientsMove(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	stays, follows := f.create(t, org, app()).GetClient(), f.create(t, org, app()).GetClient()
	f.append(t, eventlog.Append{Log: org, Expected: eventlog.AnyHead, MoveTo: "us-east", Events: []proto.Message{
		&identityeventv1.OrganizationHomeMoved{Organization: org, From: region, To: "us-east"},
	}})
	added, err := f.clients.AddClientSecret(f.ctx, &sessionsv1.AddClientSecretRequest{Organization: org, Client: follows.GetId(), IdempotencyKey: f.key()})
	if err != nil || len(added.GetClient().GetSecrets()) != 2 {
		t.Fatalf("%v, %v", added, err)
	}
	made := f.create(t, org, app()).GetClient()
	for name, want := range map[string]string{stays.GetId(): region, follows.GetId(): "us-east", made.GetId(): "us-east"} {
		var elsewhere int
		err := f.db.Pool().QueryRow(t.Context(), `SELECT
			(SELECT count(*) FROM sessions.clients WHERE client_id = $1 AND home_region <> $2) +
			(SELECT count(*) FROM sessions.client_secrets WHERE client_id = $1 AND home_region <> $2)`, name, want).Scan(&elsewhere)
		if err != nil || elsewhere != 0 {
			t.Errorf("%d rows of %s are not in %s, %v", elsewhere, name, want, err)
		}
	}
	f.verifyClients(t, org)
}

// Whoever adds a write sends it home.
func TestClientWritesAreSentHome(t *testing.T) {
	t.Parallel()
	hometest.Complete(t, sessionsv1connect.ClientServiceName, func(ways *home.Router) any {
		return rpc.ClientsAtHome(&rpc.Clients{}, ways)
	})
}

// Settings have one form on the wire, in the contract and in events: the fields have
// the same numbers and names, and enums are numbers.
func TestSettingsHaveOneForm(t *testing.T) {
	t.Parallel()
	form := func(fields protoreflect.FieldDescriptors) (out []string) {
		for i := range fields.Len() {
			field := fields.Get(i)
			kind := field.Kind()
			if kind == protoreflect.EnumKind {
				kind = protoreflect.Int32Kind
			}
			out = append(out, fmt.Sprint(field.Number(), " ", field.Name(), " ", kind, " ", field.Cardinality(), " ", field.HasPresence()))
		}
		return out
	}
	for _, pair := range [][2]proto.Message{
		{&sessionsv1.ClientSettings{}, &eventv1.ClientSettings{}}, {&sessionsv1.TrustSettings{}, &eventv1.TrustSettings{}},
	} {
		contract := form(pair[0].ProtoReflect().Descriptor().Fields())
		events := form(pair[1].ProtoReflect().Descriptor().Fields())
		if !slices.Equal(contract, events) {
			t.Errorf("the contract has\n%v\nevents have\n%v", contract, events)
		}
	}
}
