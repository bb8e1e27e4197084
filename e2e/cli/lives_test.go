package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
)

const (
	sharedModel = `model
  schema 1.1
type user
type group
  relations
    define member: [user]
type note
  relations
    define viewer: [user, group#member]
`
	privateModel = `model
  schema 1.1
type user
type group
  relations
    define member: [user]
type note
  relations
    define viewer: [user]
    define can_print: viewer
`
)

// publish returns a model's id.
func publish(t *testing.T, d *harness.Dev, name, path string) string {
	t.Helper()
	answer := one(t, expect(t, d.Run(t, "model", "publish", "--name", name, path, "--json"), 0))
	model, _ := answer["model"].(map[string]any)
	id, _ := model["id"].(string)
	return id
}

func openOrganization(t *testing.T, d *harness.Dev, slug string) string {
	t.Helper()
	organization, _ := one(t, expect(t, d.Run(t, "org", "create", slug, "--json"), 0))["organization"].(map[string]any)
	id, _ := organization["id"].(string)
	return id
}

func testLives(t *testing.T, d *harness.Dev) {
	dir := t.TempDir()
	shared, private := writeFile(t, dir, "shared.fga", sharedModel), writeFile(t, dir, "private.fga", privateModel)
	old, next := publish(t, d, "notes", shared), publish(t, d, "notes", private)
	org, elsewhere := openOrganization(t, d, "notes"), openOrganization(t, d, "elsewhere")

	contains(t, expect(t, d.Run(t, "model", "state", old, "active"), 0), old, "notes  active", "revision", "in the background", "meridian model rollout notes")
	contains(t, expect(t, d.Run(t, "model", "rollout", "notes"), 0), "notes  nobody had to be moved  moved 0  left 0")
	contains(t, expect(t, d.Run(t, "model", "assign", "--line", "notes", "-o", org), 0), "assigned   "+old)
	contains(t, expect(t, d.Run(t, "model", "assigned", "-o", org), 0), "model     "+old, "line      notes", "revision  ")
	if answer := one(t, expect(t, d.Run(t, "model", "assigned", "-o", org, "--json"), 0)); answer["model"] != old || answer["line"] != "notes" {
		t.Errorf("the answer is %v", answer)
	}
	contains(t, expect(t, d.Run(t, "model", "state", next, "canary", "--percent", "0", "--organizations", elsewhere), 0), "canary 0 % + 1")
	contains(t, expect(t, d.Run(t, "model", "list"), 0), "STATE", "active", "canary 0 % + 1")
	contains(t, expect(t, d.Run(t, "model", "state", next, "canary", "--percent", "0.01", "--organizations", elsewhere+","+elsewhere), 0), "canary 0.01 % + 1")
	answer := one(t, expect(t, d.Run(t, "model", "state", next, "retired", "--json"), 0))
	if m, _ := answer["model"].(map[string]any); m["state"] != "MODEL_STATE_RETIRED" {
		t.Errorf("the answer is %v", answer)
	}

	// A diff without loss, with loss, of files, and of two models without any
	// organization.
	expect(t, d.Run(t, "rel", "write", "note:a#viewer@user:anna", "-o", org), 0)
	out := expect(t, d.Run(t, "model", "diff", next, "-o", org, "--fully-consistent"), 0)
	contains(t, out, "note#viewer\n- define viewer: [user, group#member]\n+ define viewer: [user]\n", "note#can_print\n+ define can_print: viewer\n", "0 of 1 relationships")
	if strings.Contains(out, "\x1b") {
		t.Errorf("colours without a terminal: %q", out)
	}
	expect(t, d.Run(t, "rel", "write", "note:a#viewer@group:staff#member", "-o", org), 0)
	for _, args := range [][]string{{next}, {private}, {old, next}, {old, private}} {
		r := d.Run(t, append([]string{"model", "diff", "-o", org, "--fully-consistent"}, args...)...)
		contains(t, expect(t, r, 1), "1 × note#viewer@group#member", "allows only user", "note:a#viewer@group:staff#member", "1 of 2 relationships")
	}
	lost := one(t, expect(t, d.Run(t, "model", "diff", private, "-o", org, "--fully-consistent", "--json"), 1))
	if lost["orphaned"] != "1" || lost["changes"] == nil {
		t.Errorf("the diff is %v", lost)
	}
	contains(t, expect(t, d.Run(t, "model", "diff", old, shared), 0), "no definition differs")

	for _, wrong := range []struct {
		args []string
		want []string
	}{
		{[]string{"model", "assign", next, "-o", org}, []string{"retired", "MODEL_STATE"}},
		{[]string{"model", "assign", "--line", "nots", "-o", org}, []string{"NOT_FOUND"}},
		{[]string{"model", "rollout", "nots"}, []string{"no model has this name", "NOT_FOUND"}},
		{[]string{"model", "assigned", "-o", elsewhere}, []string{"MODEL_NOT_ASSIGNED"}},
		{[]string{"model", "assign"}, []string{"a model or --line", "meridian model assign --help"}},
		{[]string{"model", "assign", old, "--line", "notes"}, []string{"a model or --line"}},
		{[]string{"model", "state", old, "retired"}, []string{"MODEL_IN_USE"}},
		{[]string{"model", "state", old, "draft"}, []string{"INVALID_FIELD"}},
		{[]string{"model", "state", old, "activ"}, []string{"canary, active or retired"}},
		{[]string{"model", "state", next, "canary"}, []string{"--organizations, --percent"}},
		{[]string{"model", "state", next, "active", "--percent", "5"}, []string{"for canary only"}},
		{[]string{"model", "state", next, "canary", "--percent", "101"}, []string{"from 0 to 100"}},
		{[]string{"model", "state", next, "canary", "--percent", "0.001"}, []string{"steps of 0.01"}},
		{[]string{"model", "diff", "absent.fga", "-o", org}, []string{"absent.fga"}},
		{[]string{"model", "diff", writeFile(t, dir, "wrong.fga", badModel), "-o", org}, []string{"MODEL_INVALID", "wrong.fga"}},
	} {
		r := d.Run(t, wrong.args...)
		expect(t, r, 2)
		contains(t, r.Stderr, wrong.want...)
	}

	expect(t, d.Run(t, "model", "state", next, "active"), 0)
	testRollout(t, d, org, old, next)
	r := d.Run(t, "model", "assign", next, "-o", org)
	expect(t, r, 2)
	contains(t, r.Stderr, "MODEL_ORPHANS")
	contains(t, expect(t, d.Run(t, "model", "assign", next, "--allow-orphans", "-o", org), 0), "assigned   "+next)
	expect(t, d.Run(t, "log", "verify", org), 0)
}

// testRollout waits until the roll-out that leaves org behind is finished.
func testRollout(t *testing.T, d *harness.Dev, org, old, next string) {
	t.Helper()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		if finished, _ := one(t, expect(t, d.Run(t, "model", "rollout", "notes", "--json"), 0))["finished"].(bool); finished {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the roll-out does not end")
		case <-look.C:
		}
	}
	contains(t, expect(t, d.Run(t, "model", "rollout", "notes"), 0), "notes  finished  moved 0  left 1", "LEFT", org, old, next,
		"MODEL_ORPHANS: 1 stored", "meridian model diff "+next+" --organization "+org)
}

func testRoles(t *testing.T, d *harness.Dev) {
	contains(t, expect(t, d.Run(t, "role", "show", "backup-operator"), 0), "Backup operator", "  service:prod#can_manage_backups\n")
	contains(t, expect(t, d.Run(t, "role", "assignments", "backup-operator"), 0), "SUBJECT", "service_account:ci")

	contains(t, expect(t, d.Run(t, "role", "create", "ops", "--name", "Operations", "--permission", "service:prod#can_scale"), 0), "created    ops", "revision")
	contains(t, expect(t, d.Run(t, "role", "assign", "ops", "user:zoe"), 0), "assigned   ops to user:zoe")
	contains(t, expect(t, d.Run(t, "role", "assign", "ops", "user:guest", "--expires", "1d12h"), 0), "assigned   ops to user:guest")
	expect(t, d.Run(t, "role", "unassign", "ops", "user:guest"), 0)
	expect(t, d.Run(t, "check", "user:zoe", "can_scale", "service:prod", "--fully-consistent"), 0)
	contains(t, expect(t, d.Run(t, "role", "update", "ops", "--permission", "service:prod#can_query"), 0), "updated    ops")
	expect(t, d.Run(t, "check", "user:zoe", "can_scale", "service:prod", "--fully-consistent"), 1)
	expect(t, d.Run(t, "check", "user:zoe", "can_query", "service:prod", "--fully-consistent"), 0)
	expect(t, d.Run(t, "role", "update", "ops", "--description", "night shift"), 0)
	role, _ := one(t, expect(t, d.Run(t, "role", "show", "ops", "--json"), 0))["role"].(map[string]any)
	if granted, _ := role["permissions"].([]any); role["name"] != "Operations" || role["description"] != "night shift" || len(granted) != 1 {
		t.Errorf("the role is %v", role)
	}
	contains(t, expect(t, d.Run(t, "role", "list"), 0), "ROLE", "backup-operator", "ops", "night shift")
	if all := lines(t, expect(t, d.Run(t, "role", "list", "--json"), 0)); len(all) != 2 || all[1]["id"] != "ops" {
		t.Errorf("the roles are %v", all)
	}
	contains(t, expect(t, d.Run(t, "role", "unassign", "ops", "user:zoe"), 0), "unassigned ops from user:zoe")
	if all := lines(t, expect(t, d.Run(t, "role", "assignments", "ops", "--json"), 0)); len(all) != 0 {
		t.Errorf("the assignments are %v", all)
	}
	expect(t, d.Run(t, "role", "update", "ops", "--no-permissions"), 0)
	contains(t, expect(t, d.Run(t, "role", "delete", "ops"), 0), "deleted    ops")
	for _, wrong := range []struct {
		args []string
		want []string
	}{
		{[]string{"role", "show", "ops"}, []string{"no such role", "NOT_FOUND"}},
		{[]string{"role", "create", "Ops"}, []string{"role", "INVALID_FIELD"}},
		{[]string{"role", "create", "x", "--permission", "service:prod"}, []string{"type:id#relation"}},
		{[]string{"role", "create", "x", "--permission", "service:prod#can_delete"}, []string{"RELATIONSHIP_FORBIDDEN"}},
		{[]string{"role", "create", "backup-operator"}, []string{"ALREADY_EXISTS"}},
		{[]string{"role", "assign", "backup-operator", "user:zoe", "--expires", "tomorrow"}, []string{"--expires", "2h or 30d", "2027-01-31T18:00:00Z"}},
		{[]string{"role", "assign", "backup-operator", "user:zoe", "--for", "-1h"}, []string{"--for"}},
	} {
		r := d.Run(t, wrong.args...)
		expect(t, r, 2)
		contains(t, r.Stderr, wrong.want...)
	}
}
