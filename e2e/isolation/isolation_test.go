// Package isolation_test tries to reach, with the tokens of one organization,
// into another one and into the platform, through every method that there is.
package isolation_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// place is what a request may name.
type place struct {
	organization string
	model        string
	token        string // id of a token
	secret       string
	calls        *atomic.Int64
	// newRole makes a role in an organization and returns its id; so do the others.
	newRole func(organization string) string

	newMember, newGroup, newAccount, newInvitation, newDomain, newToken func(organization string) string
	newUser, newOrganization                                            func() string
	newCredential                                                       func() (user, credential string)
	newClient                                                           func(organization string) *sessionsv1.Client
	newTrust                                                            func(organization string) string
	// emailOf is the address of a user.
	emailOf string
}

func (p place) number() int { return int(p.calls.Add(1)) }
func (p place) key() string { return "isolation-" + strconv.Itoa(p.number()) }

// absent is the id of an organization that nobody made.
const absent = "org_00000000000000000000000000"

// world is a deployment with two organizations.
type world struct {
	URL, AdminToken string

	home, foreign place
	// tokens of home, by level.
	tokens map[commonv1.Level]string
	calls  atomic.Int64
}

// Client calls with the platform's token.
func (w *world) Client() *meridian.Client { return meridian.New(w.URL, w.AdminToken) }

func (w *world) keys() string { return strconv.FormatInt(w.calls.Add(1), 10) }

// limits lets one token change as much as it likes: a fast machine gets through all
// procedures sooner than the preset allows.
const limits = "  limits:\n    manage: {per_second: -1}\n    sign_in: {per_second: -1}\n"

// start starts a node that can do all that there is: send letters, take passkeys, issue
// tokens.
// more is added to its configuration.
func start(t *testing.T, more string) (*world, *harness.Deployment, *harness.Node) {
	t.Helper()
	d, mail := harness.StartDeployment(t), harness.StartMailServer(t)
	node := d.NodeWith(t, "node", mail.Identity(t, "Example Shop", "http://localhost:8080")+"sessions:\n  issuers: [http://localhost:8080]\n"+more, limits)
	node.Start(t)
	return newWorld(t, node.URL(), d.Token), d, node
}

func newWorld(t *testing.T, url, adminToken string) *world {
	t.Helper()
	w := &world{URL: url, AdminToken: adminToken, tokens: map[commonv1.Level]string{}}
	w.home, w.foreign = w.open(t, "home"), w.open(t, "foreign")
	for _, level := range []commonv1.Level{commonv1.Level_LEVEL_READ, commonv1.Level_LEVEL_WRITE, commonv1.Level_LEVEL_ADMIN} {
		_, w.tokens[level] = w.issue(t, w.home.organization, level)
	}
	return w
}

func (w *world) issue(t *testing.T, organization string, level commonv1.Level) (tokenID, secret string) {
	t.Helper()
	made, err := w.Client().Tokens.CreateApiToken(t.Context(), &identityv1.CreateApiTokenRequest{
		Organization: organization, Name: "t", Level: level, IdempotencyKey: "issue-" + w.keys(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetToken().GetId(), made.GetSecret()
}

// open makes an organization with a model, a relationship and a token.
func (w *world) open(t *testing.T, slug string) place {
	t.Helper()
	admin := w.Client()
	created, err := admin.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{
		Slug: slug, Name: slug, IdempotencyKey: slug,
	})
	if err != nil {
		t.Fatal(err)
	}
	p := place{organization: created.GetOrganization().GetId(), calls: &w.calls}
	published, err := admin.Models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
		Name: "documents", Files: []*authzv1.ModelFile{{Path: "m.fga", Content: model}}, IdempotencyKey: "model",
	})
	if err != nil {
		t.Fatal(err)
	}
	p.model = published.GetModel().GetId()
	if _, err = admin.Models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: p.organization, Choice: &authzv1.AssignModelRequest_Model{Model: p.model}, IdempotencyKey: "assign-" + slug,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err = admin.Relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
		Organization: p.organization, IdempotencyKey: "first-" + slug,
		Updates: []*authzv1.RelationshipUpdate{{Operation: authzv1.Operation_OPERATION_CREATE, Relationship: written}},
	}); err != nil {
		t.Fatal(err)
	}
	p.token, p.secret = w.issue(t, p.organization, commonv1.Level_LEVEL_READ)
	p.newRole = func(organization string) string {
		role := "made-" + w.keys()
		// In an absent organization none is made, and none is needed.
		_, err := admin.Roles.CreateRole(t.Context(), &authzv1.CreateRoleRequest{Organization: organization, Role: role, Name: role, IdempotencyKey: role})
		if err != nil && organization != absent {
			t.Error(err)
		}
		return role
	}
	w.populate(t, &p)
	return p
}

func TestIsolation(t *testing.T) {
	w, _, _ := start(t, "")
	for _, m := range methods() {
		request, known := requestOf(string(m.FullName()))
		a := access(m)
		switch {
		case !known:
			t.Errorf("%s has no request in the table: add a valid one", m.FullName())
			continue
		case a.GetLevel() == 0 || a.GetScope() == 0:
			t.Errorf("%s declares no access", m.FullName())
			continue
		}
		// The control: a platform token may. Without it a refusal proves nothing.
		err := call(t.Context(), t, w.URL, w.AdminToken, m, request(w.foreign))
		if a.GetScope() != commonv1.Scope_SCOPE_SERVICE && !answered(m, err) {
			t.Errorf("%s with a platform token: %v; the table's request must be valid", m.FullName(), err)
		}
		t.Run(string(m.FullName()), func(t *testing.T) {
			w.refused(t, connect.CodeUnauthenticated, "", func(token string) error {
				return call(t.Context(), t, w.URL, token, m, request(w.home))
			})
			try := func(p place) func(token string) error {
				return func(token string) error { return call(t.Context(), t, w.URL, token, m, request(p)) }
			}
			switch a.GetScope() {
			case commonv1.Scope_SCOPE_SERVICE:
				w.refused(t, connect.CodePermissionDenied, w.AdminToken, try(w.home))
				w.refused(t, connect.CodePermissionDenied, w.tokens[commonv1.Level_LEVEL_ADMIN], try(w.home))
			case commonv1.Scope_SCOPE_PLATFORM:
				w.refused(t, connect.CodePermissionDenied, w.tokens[commonv1.Level_LEVEL_ADMIN], try(w.home))
				w.refused(t, connect.CodePermissionDenied, w.tokens[commonv1.Level_LEVEL_ADMIN], try(w.foreign))
			default:
				w.apart(t, try)
				w.levels(t, m, try)
				w.foreignIDs(t, m, request)
			}
		})
	}
	t.Run("revision tokens", func(t *testing.T) { w.testRevisions(t) })
	t.Run("cursors", func(t *testing.T) { w.testCursors(t) })
	t.Run("tokens", func(t *testing.T) { w.testTokens(t) })
	t.Run("import", func(t *testing.T) { w.testImport(t) })
	t.Run("AuthZEN", func(t *testing.T) { w.testAuthZEN(t) })
}

func (w *world) refused(t *testing.T, want connect.Code, token string, try func(token string) error) {
	t.Helper()
	err := try(token)
	if got, notAnswer := code(err); notAnswer != nil || got != want {
		t.Errorf("the answer is %s, want %s", outcome(err), want)
	}
}

// apart: another's organization and an absent one are the same to a caller,
// whoever calls.
func (w *world) apart(t *testing.T, try func(p place) func(token string) error) {
	t.Helper()
	nowhere := w.foreign
	nowhere.organization = absent
	for level, token := range w.tokens {
		foreign, missing := try(w.foreign)(token), try(nowhere)(token)
		if got := outcome(foreign); got != "not_found NOT_FOUND: no such organization" {
			t.Errorf("%s in another organization: %s, want not_found", level, got)
		}
		if outcome(foreign) != outcome(missing) {
			t.Errorf("%s: another's organization answers %q, an absent one %q", level, outcome(foreign), outcome(missing))
		}
	}
}

// answered says whether a call was let in and answered.
func answered(m protoreflect.MethodDescriptor, err error) bool {
	want, ok := unfinished[string(m.FullName())]
	return err == nil || ok && meridian.Is(err, want)
}

func (w *world) levels(t *testing.T, m protoreflect.MethodDescriptor, try func(p place) func(token string) error) {
	t.Helper()
	for level, token := range w.tokens {
		if level < access(m).GetLevel() {
			w.refused(t, connect.CodePermissionDenied, token, try(w.home))
		} else if err := try(w.home)(token); !answered(m, err) {
			t.Errorf("%s in its own organization: %s, want an answer", level, outcome(err))
		}
	}
}

// A revision token of another organization tells nothing about that one's log.
func (w *world) testRevisions(t *testing.T) {
	reader := meridian.New(w.URL, w.tokens[commonv1.Level_LEVEL_READ])
	other, err := w.Client().Check(t.Context(), question(w.foreign.organization, ""))
	if err != nil {
		t.Fatal(err)
	}
	own, err := reader.Check(t.Context(), question(w.home.organization, ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Check(t.Context(), question(w.home.organization, own.Revision)); err != nil {
		t.Errorf("its own revision: %v", err)
	}
	_, err = reader.Check(t.Context(), question(w.home.organization, other.Revision))
	if !meridian.Is(err, commonv1.Reason_REVISION_UNKNOWN) {
		t.Errorf("another's revision: %v, want REVISION_UNKNOWN", err)
	}
}

func question(organization, atLeast string) meridian.Question {
	return meridian.Question{Organization: organization, Subject: "user:anna", Permission: "viewer", Resource: "document:plan", AtLeast: atLeast}
}

// A cursor opens nothing that its holder could not list anyway.
func (w *world) testCursors(t *testing.T) {
	admin := w.Client()
	home := meridian.New(w.URL, w.tokens[commonv1.Level_LEVEL_ADMIN])
	_, err := admin.Relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
		Organization: w.foreign.organization, IdempotencyKey: "second",
		Updates: []*authzv1.RelationshipUpdate{{
			Operation:    authzv1.Operation_OPERATION_TOUCH,
			Relationship: &authzv1.Relationship{Resource: "document:secret", Relation: "viewer", Subject: "user:bob"},
		}, {
			Operation:    authzv1.Operation_OPERATION_TOUCH,
			Relationship: &authzv1.Relationship{Resource: "document:plan", Relation: "viewer", Subject: "user:bob"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := admin.Relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{
		Organization: w.foreign.organization, PageSize: 1,
		Freshness: &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}},
	})
	if err != nil || page.GetNextCursor() == "" {
		t.Fatalf("%v, %v", page, err)
	}
	found, err := admin.Lookups.ListSubjects(t.Context(), subjectsOf(w.foreign.organization, ""))
	if err != nil || found.GetNextCursor() == "" {
		t.Fatalf("%v, %v", found, err)
	}
	if listed, err := home.Lookups.ListSubjects(t.Context(), subjectsOf(w.home.organization, found.GetNextCursor())); !meridian.Is(err, commonv1.Reason_INVALID_FIELD) {
		t.Errorf("another's cursor of subjects: %v, %v; want INVALID_FIELD", listed, err)
	}
	answer, err := home.Relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{
		Organization: w.home.organization, Cursor: page.GetNextCursor(),
	})
	if !meridian.Is(err, commonv1.Reason_INVALID_FIELD) {
		t.Errorf("another's cursor of relationships: %v, %v; want INVALID_FIELD", answer, err)
	}
	w.issue(t, w.foreign.organization, commonv1.Level_LEVEL_WRITE)
	tokens, err := admin.Tokens.ListApiTokens(t.Context(), &identityv1.ListApiTokensRequest{Organization: w.foreign.organization, PageSize: 1})
	if err != nil || tokens.GetNextCursor() == "" {
		t.Fatalf("%v, %v", tokens, err)
	}
	listed, err := home.Tokens.ListApiTokens(t.Context(), &identityv1.ListApiTokensRequest{
		Organization: w.home.organization, Cursor: tokens.GetNextCursor(),
	})
	if err == nil {
		for _, token := range listed.GetTokens() {
			if token.GetOrganization() != w.home.organization {
				t.Errorf("another's cursor lists the token %s of another", token.GetId())
			}
		}
	} else if !meridian.Is(err, commonv1.Reason_INVALID_FIELD) {
		t.Errorf("another's cursor of tokens: %v", err)
	}
}

// subjectsOf asks for the first of the viewers of the plan, or for those after.
func subjectsOf(organization, cursor string) *authzv1.ListSubjectsRequest {
	return &authzv1.ListSubjectsRequest{
		Organization: organization, Resource: "document:plan", Permission: "viewer", SubjectType: "user", PageSize: 1, Cursor: cursor,
		Freshness: &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}},
	}
}

// Tokens of others cannot be revoked by naming one's own organization, and
// nobody gives away more than he has.
func (w *world) testTokens(t *testing.T) {
	home := meridian.New(w.URL, w.tokens[commonv1.Level_LEVEL_ADMIN])
	revoke := func(token string) string {
		_, err := home.Tokens.RevokeApiToken(t.Context(), &identityv1.RevokeApiTokenRequest{
			Organization: w.home.organization, Token: token, IdempotencyKey: w.home.key(),
		})
		return outcome(err)
	}
	victim, secret := w.issue(t, w.foreign.organization, commonv1.Level_LEVEL_ADMIN)
	foreign, missing := revoke(victim), revoke("tok_00000000000000000000000000")
	if foreign != missing || foreign == "ok" {
		t.Errorf("revoking another's token answers %q, an absent one %q; want the same refusal", foreign, missing)
	}
	other := meridian.New(w.URL, secret)
	if _, err := other.Check(t.Context(), question(w.foreign.organization, "")); err != nil {
		t.Errorf("another's token after the attempt: %v", err)
	}
	_, err := home.Tokens.CreateApiToken(t.Context(), &identityv1.CreateApiTokenRequest{
		Name: "platform", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: w.home.key(),
	})
	if !meridian.Is(err, commonv1.Reason_ACCESS_DENIED) {
		t.Errorf("a platform token made by an organization's: %v, want ACCESS_DENIED", err)
	}
	_, err = home.Tokens.ListApiTokens(t.Context(), &identityv1.ListApiTokensRequest{})
	if !meridian.Is(err, commonv1.Reason_ACCESS_DENIED) {
		t.Errorf("the platform's tokens listed by an organization's: %v, want ACCESS_DENIED", err)
	}
}

// The organization of a stream is that of its first message.
func (w *world) testImport(t *testing.T) {
	for name, organizations := range map[string][]string{
		"another's in the second message": {w.home.organization, w.foreign.organization},
		"none in the first":               {""},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := meridian.New(w.URL, w.tokens[commonv1.Level_LEVEL_WRITE]).Relationships.ImportRelationships(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i, organization := range organizations {
				intruder := &authzv1.Relationship{Resource: "document:plan", Relation: "viewer", Subject: "user:intruder-" + strconv.Itoa(i)}
				_ = stream.Send(&authzv1.ImportRelationshipsRequest{ // the answer says why it failed
					Organization: organization, Relationships: []*authzv1.Relationship{intruder},
				})
			}
			if _, err := stream.CloseAndReceive(); err == nil {
				t.Error("the import was accepted")
			}
		})
	}
	intruder := meridian.Question{Organization: w.foreign.organization, Subject: "user:intruder-1", Permission: "viewer", Resource: "document:plan"}
	answer, err := w.Client().Checks.Check(t.Context(), &authzv1.CheckRequest{
		Organization: intruder.Organization, Subject: intruder.Subject, Permission: intruder.Permission, Resource: intruder.Resource,
		Freshness: &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}},
	})
	if err != nil || answer.GetDecision() != authzv1.Decision_DECISION_DENY {
		t.Errorf("the intruder in the other organization: %v, %v; want a deny", answer, err)
	}
}
