// Package history_test lets many clients do whatever can be done with people, in
// random order and at once, and then asks whether what is kept is what happened.
package history_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// unlimited lifts the limit that one token has on changes.
const unlimited = "  limits:\n    manage: {per_second: 100000, burst: 100000}\n    read: {per_second: 100000, burst: 100000}\n"

const (
	commands      = 10_000
	workers       = 8
	organizations = 6
	model         = `model
  schema 1.1
type user
type service_account
type group
  relations
    define member: [user, service_account, group#member]
type organization
  relations
    define member: [user]
    define admin: [user]
    define service_account: [service_account]
`
)

// from repeats the commands of a run; how its clients meet differs all the same.
var from = flag.Uint64("from", 0, "the seed of the commands; 0 takes another each time")

// 10,000 random commands on users, memberships, groups, service accounts,
// invitations, domains, tokens and organizations, with erasures in the middle: every
// log verifies, and authz says what identity says.
func TestRandomHistory(t *testing.T) {
	d := harness.StartDeployment(t)
	node := d.NodeWith(t, "node", "", unlimited)
	node.Start(t)
	seed := *from
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("commands of -args -from %d", seed)
	w := newWorld(t, node.Client(d.Token))
	var done atomic.Int64
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			actor := &actor{world: w, t: t, random: rand.New(rand.NewPCG(seed, uint64(worker)))}
			for done.Add(1) <= commands && !t.Failed() {
				actor.act()
			}
		})
	}
	wait.Wait()
	w.report(t)
	result := harness.Command{Args: []string{"--url", node.URL(), "log", "verify"}, Env: []string{"MERIDIAN_TOKEN=" + d.Token}}.Run(t)
	if result.Code != 0 {
		t.Fatalf("log verify: %d\n%s%s", result.Code, result.Stdout, result.Stderr)
	}
	t.Log(lastLines(result.Stdout+result.Stderr, 3))
	w.agrees(t)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// world is what the actors know of.
type world struct {
	client        *meridian.Client
	organizations []string
	key           atomic.Int64

	mu       sync.Mutex
	users    []string
	groups   map[string][]string
	accounts map[string][]string
	invited  map[string][]string
	outcomes map[string]map[string]int
}

func newWorld(t *testing.T, client *meridian.Client) *world {
	t.Helper()
	w := &world{
		client: client, groups: map[string][]string{}, accounts: map[string][]string{}, invited: map[string][]string{},
		outcomes: map[string]map[string]int{},
	}
	published, err := w.client.Models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
		Name: "people", Files: []*authzv1.ModelFile{{Path: "m.fga", Content: model}}, IdempotencyKey: w.next(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range organizations {
		made, err := w.client.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{
			Slug: fmt.Sprintf("history-%d", i), Name: "History", IdempotencyKey: w.next(),
		})
		if err != nil {
			t.Fatal(err)
		}
		organization := made.GetOrganization().GetId()
		w.organizations = append(w.organizations, organization)
		if _, err := w.client.Models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
			Organization: organization, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}, IdempotencyKey: w.next(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) next() string { return fmt.Sprint("history-", w.key.Add(1)) }

// count remembers how a command ended.
func (w *world) count(name, outcome string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outcomes[name] == nil {
		w.outcomes[name] = map[string]int{}
	}
	w.outcomes[name][outcome]++
}

func (w *world) report(t *testing.T) {
	t.Helper()
	for name, outcomes := range w.outcomes {
		t.Logf("%-22s %v", name, outcomes)
		if outcomes["ok"] == 0 {
			t.Errorf("%s never succeeded: the history proves nothing about it", name)
		}
	}
}

// refusals are what a command may meet: what it was about is gone, or a rule holds.
var refusals = []commonv1.Reason{
	commonv1.Reason_NOT_FOUND, commonv1.Reason_ALREADY_EXISTS, commonv1.Reason_USER_ERASED, commonv1.Reason_USER_SUSPENDED,
	commonv1.Reason_LAST_ADMINISTRATOR, commonv1.Reason_GROUP_CYCLE, commonv1.Reason_GROUP_TOO_DEEP, commonv1.Reason_INVITATION_STATE,
	commonv1.Reason_ORGANIZATION_STATE, commonv1.Reason_LIMIT_REACHED, commonv1.Reason_RATE_LIMITED,
}

// agrees compares identity's members and groups with what authz answers from its
// graphs.
func (w *world) agrees(t *testing.T) {
	t.Helper()
	compared := 0
	for _, organization := range w.organizations {
		want := w.relationships(t, organization)
		got := map[string]bool{}
		for cursor := ""; ; {
			page, err := w.client.Relationships.ReadRelationships(t.Context(), &authzv1.ReadRelationshipsRequest{
				Organization: organization, PageSize: 1000, Cursor: cursor,
				Freshness: &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.GetRelationships() {
				got[r.GetResource()+"#"+r.GetRelation()+"@"+r.GetSubject()] = true
			}
			if cursor = page.GetNextCursor(); cursor == "" {
				break
			}
		}
		for relationship := range want {
			if !got[relationship] {
				t.Errorf("identity says %s, authz does not", relationship)
			}
		}
		for relationship := range got {
			if !want[relationship] {
				t.Errorf("authz says %s, identity does not", relationship)
			}
		}
		compared += len(want)
	}
	if compared < 50 {
		t.Errorf("only %d relationships were compared: this proves nothing", compared)
	}
	t.Logf("%d relationships are the same in identity and authz", compared)
}

// relationships are those that an organization's people are, by the declared
// mapping.
func (w *world) relationships(t *testing.T, organization string) map[string]bool {
	t.Helper()
	all, paused := map[string]bool{}, map[string]bool{}
	each(t, func(cursor string) (string, error) {
		page, err := w.client.Memberships.ListMembers(t.Context(), &identityv1.ListMembersRequest{Organization: organization, PageSize: 200, Cursor: cursor})
		for _, m := range page.GetMemberships() {
			if m.GetState() != identityv1.MembershipState_MEMBERSHIP_STATE_ACTIVE {
				paused[m.GetUser()] = true
				continue
			}
			all["organization:"+organization+"#member@user:"+m.GetUser()] = true
			if m.GetRole() == identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN {
				all["organization:"+organization+"#admin@user:"+m.GetUser()] = true
			}
		}
		return page.GetNextCursor(), err
	})
	each(t, func(cursor string) (string, error) {
		page, err := w.client.ServiceAccounts.ListServiceAccounts(t.Context(), &identityv1.ListServiceAccountsRequest{Organization: organization, PageSize: 200, Cursor: cursor})
		for _, a := range page.GetServiceAccounts() {
			if a.GetDisabled() {
				paused[a.GetId()] = true
				continue
			}
			all["organization:"+organization+"#service_account@service_account:"+a.GetId()] = true
		}
		return page.GetNextCursor(), err
	})
	each(t, func(cursor string) (string, error) {
		page, err := w.client.Groups.ListGroups(t.Context(), &identityv1.ListGroupsRequest{Organization: organization, PageSize: 200, Cursor: cursor})
		for _, g := range page.GetGroups() {
			w.membersOf(t, organization, g.GetId(), paused, all)
		}
		return page.GetNextCursor(), err
	})
	return all
}

func (w *world) membersOf(t *testing.T, organization, group string, paused, all map[string]bool) {
	t.Helper()
	each(t, func(cursor string) (string, error) {
		page, err := w.client.Groups.ListGroupMembers(t.Context(), &identityv1.ListGroupMembersRequest{Organization: organization, Group: group, PageSize: 200, Cursor: cursor})
		for _, member := range page.GetMembers() {
			if paused[member] {
				continue
			}
			subject := map[string]string{"usr": "user:" + member, "svc": "service_account:" + member, "grp": "group:" + member + "#member"}[member[:3]]
			all["group:"+group+"#member@"+subject] = true
		}
		return page.GetNextCursor(), err
	})
}

// each goes through the pages of a list.
func each(t *testing.T, page func(cursor string) (next string, err error)) {
	t.Helper()
	for cursor := ""; ; {
		next, err := page(cursor)
		if err != nil {
			t.Fatal(err)
		}
		if cursor = next; cursor == "" {
			return
		}
	}
}
