package authz_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

func (f *fixture) snapshot(org string) string { return filepath.Join(f.dir, "graphs", org+".graph") }

// seeded is an organization with one readable document, whose graph is loaded.
func (f *fixture) seeded(t testing.TB) (org, token string) {
	t.Helper()
	org = f.organization(t)
	token = f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	f.answers(t, org, token)
	return org, token
}

func (f *fixture) answers(t testing.TB, org, token string) {
	t.Helper()
	if allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token)); err != nil || !allowed {
		t.Fatalf("check: %v, %v; want allow", allowed, err)
	}
}

// A stopped service leaves snapshots; a started one goes on from them, and
// without any of them from the log.
func TestRestart(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.seeded(t)
	other, _ := f.seeded(t)
	f.stopService()
	if _, err := os.Stat(f.snapshot(org)); err != nil {
		t.Fatalf("no snapshot: %v", err)
	}
	good, err := os.ReadFile(f.snapshot(org))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(f.snapshot(other))
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1
	for name, content := range map[string][]byte{
		"whole": good, "truncated": good[:len(good)-1], "half": good[:len(good)/2], "empty": {},
		"bit flipped": flipped, "of another organization": foreign, "garbage": []byte("not a snapshot"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(f.snapshot(org), content, 0o600); err != nil {
				t.Fatal(err)
			}
			f.startService(t)
			f.answers(t, org, token)
			f.stopService()
		})
	}
	t.Run("none", func(t *testing.T) {
		if err := os.Remove(f.snapshot(org)); err != nil {
			t.Fatal(err)
		}
		f.startService(t)
		f.answers(t, org, token)
	})
}

// A snapshot of another log of the same organization, which was made at the same
// place, is not believed.
func TestSnapshotOfAnotherLog(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, token := f.seeded(t)
	f.stopService()
	names := authzcore.NewNames()
	compiled, err := authzcore.Compile(names, []authzcore.File{{Path: "model.fga", Content: model}})
	if err != nil {
		t.Fatal(err)
	}
	graph := authzcore.NewGraph(names)
	var changes []authzcore.Change
	for _, resource := range []string{"document:plan", "document:secret"} {
		r := authzcore.Relationship{Resource: resource, Relation: "reader", Subject: "user:anna"}
		changes = append(changes, authzcore.Change{Relationship: r})
	}
	if err := graph.Apply(3, changes, compiled); err != nil {
		t.Fatal(err)
	}
	var foreign bytes.Buffer
	if err := graph.View().WriteSnapshot(&foreign, authzcore.Header{Organization: org, Hash: [32]byte{1}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.snapshot(org), foreign.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f.startService(t)
	f.answers(t, org, token)
	if allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:secret", atLeast(token)); err != nil || allowed {
		t.Errorf("what only the other log has: %v, %v; want deny", allowed, err)
	}
}

// Graphs come and go under questions, and no question notices.
func TestEvictionUnderQuestions(t *testing.T) {
	f := newFixture(t, authz.Config{IdleAfter: time.Nanosecond})
	org, first := f.seeded(t)
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(first))
				if err != nil || !allowed {
					t.Errorf("check while graphs are evicted: %v, %v", allowed, err)
					return
				}
			}
		})
	}
	began := time.Now()
	evicted := 0
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for evicted < 5 && time.Since(began) < 30*time.Second {
		<-look.C
		// A snapshot that is written again is one of a graph that was let go.
		if err := os.Remove(f.snapshot(org)); err == nil {
			evicted++
			f.write(t, org, touch, relationship("document:other", "reader", fmt.Sprintf("user:%d", evicted)))
		}
	}
	close(stop)
	wait.Wait()
	if evicted < 5 {
		t.Errorf("%d graphs were evicted, want 5", evicted)
	}
}

func TestGraphTooLarge(t *testing.T) {
	f := newFixture(t, authz.Config{MaxGraphBytes: 1})
	org := f.organization(t)
	f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	_, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", nil)
	wantReason(t, err, commonv1.Reason_GRAPH_TOO_LARGE)
}

func TestExplain(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	f.write(t, org, touch, relationship("group:staff", "member", "user:anna"))
	token := f.write(t, org, touch, relationship("document:plan", "reader", "group:staff#member"))
	answer, err := f.checks.Explain(t.Context(), &authzv1.ExplainRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", Freshness: atLeast(token),
	})
	if err != nil || answer.GetDecision() != authzv1.Decision_DECISION_ALLOW {
		t.Fatalf("explain: %v, %v", answer, err)
	}
	found := map[string]bool{}
	var walk func(s *authzv1.Step)
	walk = func(s *authzv1.Step) {
		found[s.GetRelationship()] = true
		for _, under := range s.GetSteps() {
			walk(under)
		}
	}
	walk(answer.GetRoot())
	for _, r := range []string{"document:plan#reader@group:staff#member", "group:staff#member@user:anna"} {
		if !found[r] {
			t.Errorf("the path does not name %s: %v", r, answer.GetRoot())
		}
	}
}
