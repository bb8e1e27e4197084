// Package serve_test runs Meridian as production does: processes of `meridian
// serve` on a database and a NATS server of their own.
package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

const model = `model
  schema 1.1
type user
type document
  relations
    define owner: [user]
    define viewer: [user] or owner
`

// split is a deployment of two processes: identity with the relay, and authz.
type split struct {
	*harness.Deployment
	identity, authz *harness.Node
}

func startSplit(t *testing.T) *split {
	t.Helper()
	s := &split{Deployment: harness.StartDeployment(t)}
	s.identity = s.Node(t, "identity", "services: [identity, relay]\n")
	s.authz = s.Node(t, "authz", "services: [authz]\nidentity_urls: ["+s.identity.URL()+"]\n")
	s.identity.Launch(t)
	s.authz.Launch(t)
	s.identity.Ready(t)
	s.authz.Ready(t)
	return s
}

// organization makes an organization with the model.
func (s *split) organization(t *testing.T, slug string) string {
	t.Helper()
	created, err := s.identity.Client(s.Token).Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{
		Slug: slug, Name: slug, IdempotencyKey: "create-" + slug,
	})
	if err != nil {
		t.Fatal(err)
	}
	models := s.authz.Client(s.Token).Models
	published, err := models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
		Name: "documents", Files: []*authzv1.ModelFile{{Path: "model.fga", Content: model}}, IdempotencyKey: "publish",
	})
	if err != nil {
		t.Fatal(err)
	}
	organization := created.GetOrganization().GetId()
	if _, err := models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: organization, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}, IdempotencyKey: "assign-" + slug,
	}); err != nil {
		t.Fatal(err)
	}
	return organization
}

func write(ctx context.Context, c *meridian.Client, organization, user string) (string, error) {
	written, err := c.Relationships.WriteRelationships(ctx, &authzv1.WriteRelationshipsRequest{
		Organization: organization, IdempotencyKey: "write-" + user,
		Updates: []*authzv1.RelationshipUpdate{{
			Operation:    authzv1.Operation_OPERATION_CREATE,
			Relationship: &authzv1.Relationship{Resource: "document:plan", Relation: "owner", Subject: user},
		}},
	})
	return written.GetRevision(), err
}

func mayView(organization, user, atLeast string) meridian.Question {
	return meridian.Question{
		Organization: organization, Subject: user, Permission: "viewer", Resource: "document:plan", AtLeast: atLeast,
	}
}

// verify checks all logs on both nodes: each knows the rows of its services.
func (s *split) verify(t *testing.T) {
	t.Helper()
	for _, node := range []*harness.Node{s.identity, s.authz} {
		r := harness.Command{
			Args: []string{"--url", node.URL(), "log", "verify"}, Env: []string{"MERIDIAN_TOKEN=" + s.Token},
		}.Run(t)
		if r.Code != 0 || !strings.Contains(r.Stdout, " 0 with a difference") {
			t.Errorf("log verify at %s: %+v", node.Address, r)
		}
	}
}

func TestTwoProcesses(t *testing.T) {
	s := startSplit(t)
	organization := s.organization(t, "acme")
	t.Run("writes are visible with their token", func(t *testing.T) { s.testVisible(t, organization) })
	t.Run("revoked tokens are refused", func(t *testing.T) { s.testRevoked(t, organization) })
	t.Run("tokens are what identity says", func(t *testing.T) { s.testTokens(t, s.organization(t, "globex")) })
	s.testOrder(t, organization) // no subtest: its processes outlive it
	s.verify(t)
	s.testDifference(t, organization)
}

// A row that was changed behind Meridian's back is found, and named.
func (s *split) testDifference(t *testing.T, organization string) {
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: secret.NewString(s.Database.URL), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	removed, err := db.Pool().Exec(t.Context(),
		"DELETE FROM authz.relationships WHERE organization_id = $1 AND subject = 'user:visible-0'", organization)
	if err != nil || removed.RowsAffected() != 1 {
		t.Fatalf("removed %d rows: %v", removed.RowsAffected(), err)
	}
	verify := harness.Command{
		Args: []string{"--url", s.authz.URL(), "log", "verify", organization}, Env: []string{"MERIDIAN_TOKEN=" + s.Token},
	}
	if r := verify.Run(t); r.Code != 1 || !strings.Contains(r.Stdout, organization+"  differs at event") ||
		!strings.Contains(r.Stdout, "(rows)") || !strings.Contains(r.Stdout, "1 with a difference") {
		t.Errorf("log verify: %+v, want exit code 1 and the difference", r)
	}
	verify.Args = append(verify.Args, "--json")
	var found struct {
		Difference struct {
			Copy   string `json:"copy"`
			Detail string `json:"detail"`
		} `json:"difference"`
	}
	r := verify.Run(t)
	if err := json.Unmarshal([]byte(r.Stdout), &found); err != nil || r.Code != 1 || found.Difference.Copy != "rows" || found.Difference.Detail == "" {
		t.Errorf("log verify --json: %+v, %v, want exit code 1 and the difference", r, err)
	}
}

func (s *split) testVisible(t *testing.T, organization string) {
	client := s.authz.Client(s.Token)
	for i := range 50 {
		user := fmt.Sprintf("user:visible-%d", i)
		revision, err := write(t.Context(), client, organization, user)
		if err != nil {
			t.Fatal(err)
		}
		decision, err := client.Check(t.Context(), mayView(organization, user, revision))
		if err != nil || !decision.Allowed {
			t.Fatalf("%s with its revision: %+v, %v", user, decision, err)
		}
	}
}

func (s *split) testRevoked(t *testing.T, organization string) {
	tokens := s.identity.Client(s.Token).Tokens
	for i := range 5 {
		made, err := tokens.CreateApiToken(t.Context(), &identityv1.CreateApiTokenRequest{
			Organization: organization, Name: "product", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: fmt.Sprintf("create-%d", i),
		})
		if err != nil {
			t.Fatal(err)
		}
		product := s.authz.Client(made.GetSecret())
		question := mayView(organization, "user:nobody", "")
		if _, err := product.Check(t.Context(), question); err != nil {
			t.Fatalf("a live token: %v", err)
		}
		if _, err := tokens.RevokeApiToken(t.Context(), &identityv1.RevokeApiTokenRequest{
			Organization: organization, Token: made.GetToken().GetId(), IdempotencyKey: fmt.Sprintf("revoke-%d", i),
		}); err != nil {
			t.Fatal(err)
		}
		revoked := time.Now()
		harness.Eventually(t, "the revoked token is refused by the other process", func() error {
			_, err := product.Check(t.Context(), question)
			if meridian.Is(err, commonv1.Reason_TOKEN_REJECTED) {
				return nil
			}
			return fmt.Errorf("the answer is %w", err)
		})
		if took := time.Since(revoked); took > time.Second {
			t.Errorf("a revoked token was accepted for %v", took)
		}
	}
}

func (s *split) testOrder(t *testing.T, organization string) {
	works := func(user string) {
		t.Helper()
		s.identity.Ready(t)
		s.authz.Ready(t)
		client := s.authz.Client(s.Token)
		var revision string
		harness.Eventually(t, "a write is accepted", func() (err error) {
			revision, err = write(t.Context(), client, organization, user)
			return err
		})
		decision, err := client.Check(t.Context(), mayView(organization, user, revision))
		if err != nil || !decision.Allowed {
			t.Errorf("%s after a restart: %+v, %v", user, decision, err)
		}
	}
	stop := func(n *harness.Node) {
		t.Helper()
		if took := n.StopWith(t, syscall.SIGTERM); took > 5*time.Second {
			t.Errorf("SIGTERM took %v, want at most 5 s", took)
		}
	}
	stop(s.authz)
	s.authz.Launch(t)
	works("user:authz-again")
	stop(s.identity)
	s.identity.Launch(t)
	works("user:identity-again")
	stop(s.identity)
	stop(s.authz)
	s.authz.Launch(t)
	s.identity.Launch(t)
	works("user:authz-first")
	stop(s.authz)
	stop(s.identity)
	s.identity.Launch(t)
	s.authz.Launch(t)
	works("user:identity-first")
}

// Two equal nodes are replaced one after the other while clients call both
// through one address. Every call may be repeated, and the SDK does that: none
// fails.
func TestRollingRestart(t *testing.T) {
	s := startSplit(t)
	organization := s.organization(t, "acme")
	second := s.Node(t, "authz-2", "services: [authz]\nidentity_urls: ["+s.identity.URL()+"]\n")
	second.Start(t)
	balancer := harness.StartProxy(t, s.authz.Address, second.Address)

	var calls, failed atomic.Uint64
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			client := meridian.New("http://"+balancer.Address, s.Token)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				calls.Add(1)
				if err := writeAndCheck(t.Context(), client, organization, fmt.Sprintf("user:%d-%d", w, i)); err != nil {
					failed.Add(1)
					t.Errorf("call %d of worker %d: %v", i, w, err)
					return
				}
			}
		})
	}
	moved := func() {
		before := calls.Load()
		harness.Eventually(t, "calls go on", func() error {
			if calls.Load() < before+40 && failed.Load() == 0 {
				return errTooFew
			}
			return nil
		})
	}
	moved()
	for _, node := range []*harness.Node{s.authz, second, s.authz} {
		if took := node.StopWith(t, syscall.SIGTERM); took > 5*time.Second {
			t.Errorf("SIGTERM took %v, want at most 5 s", took)
		}
		moved()
		node.Start(t)
		moved()
	}
	close(stop)
	workers.Wait()
	t.Logf("%d calls, %d failed", calls.Load(), failed.Load())
	s.verify(t)
}

var (
	errTooFew = errors.New("too few calls were answered")
	errDenied = errors.New("denied")
)

func writeAndCheck(ctx context.Context, c *meridian.Client, organization, user string) error {
	revision, err := write(ctx, c, organization, user)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	decision, err := c.Check(ctx, mayView(organization, user, revision))
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if !decision.Allowed {
		return errDenied
	}
	return nil
}
