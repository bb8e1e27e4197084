// Package journeys_test walks through a development deployment as users do.
package journeys_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// demoChecks are questions about the demo organization, with their answers.
var demoChecks = []struct {
	subject, permission, resource string
	allowed                       bool
}{
	{"user:olivia", "can_delete", "organization:acme", true},
	{"user:ada", "can_delete", "organization:acme", false},
	{"user:ada", "can_manage_members", "organization:acme", true},
	{"user:anna", "can_select", "table:orders", true},
	{"user:anna", "can_select", "table:salaries", false}, // analysts are banned
	{"user:dana", "can_select", "table:salaries", true},  // data is in engineering
	{"user:mallory", "can_run", "pipe:orders-from-kafka", false},
	{"user:ed", "can_run", "pipe:orders-from-kafka", true},
	{"service_account:ci", "can_manage_backups", "service:prod", true}, // a custom role
	{"service_account:ci", "can_scale", "service:prod", false},
	{"user:stranger", "can_view", "dashboard:status", true}, // public
	{"user:stranger", "can_view", "dashboard:revenue", false},
	{"user:mia", "can_receive", "alert:revenue-drop", false}, // muted
	{"user:bill", "can_manage_billing", "organization:acme", true},
	{"user:mia", "can_run", "query:top-customers", false}, // shared, but without the service
	{"user:anna", "can_run", "query:top-customers", true},
}

func TestDemoAnswers(t *testing.T) {
	d := harness.StartDev(t, t.TempDir())
	client := d.Client()
	for _, q := range demoChecks {
		name := q.subject + " " + q.permission + " " + q.resource
		decision, err := client.Check(t.Context(), meridian.Question{
			Organization: d.Organization, Subject: q.subject, Permission: q.permission, Resource: q.resource,
		})
		if err != nil || decision.Allowed != q.allowed {
			t.Errorf("%s: %+v, %v; want allowed %v", name, decision, err, q.allowed)
		}
		explained, err := client.Checks.Explain(t.Context(), &authzv1.ExplainRequest{
			Organization: d.Organization, Subject: q.subject, Permission: q.permission, Resource: q.resource,
		})
		if err != nil || (explained.GetDecision() == authzv1.Decision_DECISION_ALLOW) != q.allowed || explained.GetRoot() == nil {
			t.Errorf("explain %s: %v, %v; want allowed %v", name, explained, err, q.allowed)
		}
	}
}

func TestWriteIsVisibleWithItsToken(t *testing.T) {
	d := harness.StartDev(t, t.TempDir())
	client := d.Client()
	relationship := &authzv1.Relationship{Resource: "table:orders", Relation: "reader", Subject: "user:zoe"}
	question := meridian.Question{Organization: d.Organization, Subject: "user:zoe", Permission: "can_select", Resource: "table:orders"}
	for i := range 200 {
		operation, want := authzv1.Operation_OPERATION_CREATE, authzv1.Effect_EFFECT_CREATED
		if i%2 == 1 {
			operation, want = authzv1.Operation_OPERATION_DELETE, authzv1.Effect_EFFECT_DELETED
		}
		written, err := client.Relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
			Organization: d.Organization, IdempotencyKey: fmt.Sprintf("write-%d", i),
			Updates: []*authzv1.RelationshipUpdate{{Operation: operation, Relationship: relationship}},
		})
		if err != nil || len(written.GetEffects()) != 1 || written.GetEffects()[0] != want {
			t.Fatalf("write %d: %v, %v; want %v", i, written, err, want)
		}
		question.AtLeast = written.GetRevision()
		decision, err := client.Check(t.Context(), question)
		if err != nil || decision.Allowed != (i%2 == 0) {
			t.Fatalf("check after write %d: %+v, %v", i, decision, err)
		}
	}
}

func TestDataSurvivesStopAndKill(t *testing.T) {
	dir := t.TempDir()
	first := harness.StartDev(t, dir)
	write := func(d *harness.Dev, user string) string {
		t.Helper()
		written, err := d.Client().Relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
			Organization: d.Organization, IdempotencyKey: user,
			Updates: []*authzv1.RelationshipUpdate{{
				Operation:    authzv1.Operation_OPERATION_CREATE,
				Relationship: &authzv1.Relationship{Resource: "table:orders", Relation: "reader", Subject: user},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return written.GetRevision()
	}
	sees := func(d *harness.Dev, user, revision string) {
		t.Helper()
		decision, err := d.Client().Check(t.Context(), meridian.Question{
			Organization: d.Organization, Subject: user, Permission: "can_select", Resource: "table:orders", AtLeast: revision,
		})
		if err != nil || !decision.Allowed {
			t.Errorf("%s after the restart: %+v, %v", user, decision, err)
		}
	}
	stopped := write(first, "user:before-stop")
	if took := first.Stop(t); took > 5*time.Second {
		t.Errorf("Ctrl-C took %v, want at most 5 s", took)
	}
	second := harness.StartDev(t, dir)
	if second.Organization != first.Organization || second.AdminToken != first.AdminToken {
		t.Error("the restart made a new organization or token")
	}
	sees(second, "user:before-stop", stopped)
	killed := write(second, "user:before-kill")
	second.Kill(t)
	third := harness.StartDev(t, dir)
	sees(third, "user:before-stop", stopped)
	sees(third, "user:before-kill", killed)
	if r := third.Run(t, "log", "verify"); r.Code != 0 || !strings.Contains(r.Stdout, "0 with a difference") {
		t.Errorf("log verify: %+v", r)
	}
}

func TestPlainHTTP(t *testing.T) {
	d := harness.StartDev(t, t.TempDir())
	body := map[string]string{
		"organization": d.Organization, "subject": "user:anna", "permission": "can_select", "resource": "table:orders",
	}
	content, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+"/meridian.authz.v1.CheckService/Check", bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, answer
	}
	if status, answer := ask(d.AdminToken); status != http.StatusOK || answer["decision"] != "DECISION_ALLOW" {
		t.Errorf("with a token: %d %v", status, answer)
	}
	if status, answer := ask(""); status != http.StatusUnauthorized || answer["code"] != "unauthenticated" {
		t.Errorf("without a token: %d %v", status, answer)
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d", path, res.StatusCode)
		}
	}
}

func TestTokensReachTheirOrganizationOnly(t *testing.T) {
	d := harness.StartDev(t, t.TempDir())
	admin := d.Client()
	other, err := admin.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{
		Slug: "hooli", Name: "Hooli", IdempotencyKey: "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := admin.Tokens.CreateApiToken(t.Context(), &identityv1.CreateApiTokenRequest{
		Organization: other.GetOrganization().GetId(), Name: "hooli", Level: commonv1.Level_LEVEL_ADMIN, IdempotencyKey: "2",
	})
	if err != nil {
		t.Fatal(err)
	}
	foreign := meridian.New(d.URL, made.GetSecret())
	question := meridian.Question{Organization: d.Organization, Subject: "user:anna", Permission: "can_select", Resource: "table:orders"}
	_, err = foreign.Check(t.Context(), question)
	if !meridian.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("check in another organization: %v, want NOT_FOUND", err)
	}
	absent := question
	absent.Organization = "org_00000000000000000000000000"
	_, absentErr := admin.Check(t.Context(), absent)
	if err == nil || absentErr == nil || err.Error() != absentErr.Error() {
		t.Errorf("another's organization: %v; an absent one: %v; want the same text", err, absentErr)
	}
	_, err = foreign.Organizations.ListOrganizations(t.Context(), &identityv1.ListOrganizationsRequest{})
	if !meridian.Is(err, commonv1.Reason_ACCESS_DENIED) {
		t.Errorf("platform call with an organization's token: %v, want ACCESS_DENIED", err)
	}
	// Its own token, revoked, is refused within a second.
	if _, err := admin.Tokens.RevokeApiToken(t.Context(), &identityv1.RevokeApiTokenRequest{
		Organization: other.GetOrganization().GetId(), Token: made.GetToken().GetId(), IdempotencyKey: "3",
	}); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	harness.Eventually(t, "the revoked token is refused", func() error {
		_, err := foreign.Organizations.GetOrganization(t.Context(), &identityv1.GetOrganizationRequest{Organization: other.GetOrganization().GetId()})
		if meridian.Is(err, commonv1.Reason_TOKEN_REJECTED) {
			return nil
		}
		return errStillAccepted
	})
	if took := time.Since(revoked); took > time.Second {
		t.Errorf("the revoked token was accepted for %v", took)
	}
}

var errStillAccepted = errors.New("still accepted")

// A stream that was opened with a token writes nothing more once the token is
// revoked.
func TestRevokedTokenEndsItsStreams(t *testing.T) {
	d := harness.StartDev(t, t.TempDir())
	admin := d.Client()
	made, err := admin.Tokens.CreateApiToken(t.Context(), &identityv1.CreateApiTokenRequest{
		Organization: d.Organization, Name: "importer", Level: commonv1.Level_LEVEL_WRITE, IdempotencyKey: "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	importer := meridian.New(d.URL, made.GetSecret())
	stream, err := importer.Relationships.ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(user string) {
		_ = stream.Send(&authzv1.ImportRelationshipsRequest{
			Organization:  d.Organization,
			Relationships: []*authzv1.Relationship{{Resource: "table:orders", Relation: "reader", Subject: user}},
		})
	}
	question := meridian.Question{Organization: d.Organization, Subject: "user:early", Permission: "can_select", Resource: "table:orders"}
	send(question.Subject)
	harness.Eventually(t, "the first message is committed", func() error {
		if decision, err := admin.Check(t.Context(), question); err != nil || !decision.Allowed {
			return errStillAccepted
		}
		return nil
	})
	if _, err := admin.Tokens.RevokeApiToken(t.Context(), &identityv1.RevokeApiTokenRequest{
		Organization: d.Organization, Token: made.GetToken().GetId(), IdempotencyKey: "2",
	}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the revoked token is refused", func() error {
		if _, err := importer.Check(t.Context(), question); meridian.Is(err, commonv1.Reason_TOKEN_REJECTED) {
			return nil
		}
		return errStillAccepted
	})
	send("user:late")
	if _, err := stream.CloseAndReceive(); !meridian.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("the stream of a revoked token: %v, want TOKEN_REJECTED", err)
	}
	question.Subject = "user:late"
	if decision, err := admin.Check(t.Context(), question); err != nil || decision.Allowed {
		t.Errorf("what was sent after the revocation: %+v, %v; want deny", decision, err)
	}
}
