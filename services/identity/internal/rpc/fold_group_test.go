package rpc_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// A row that the log does not say is found, in every table of groups and service
// accounts.
func TestVerifyFindsRowsOfGroups(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	outer, inner, bot := p.group(t, org, "outer"), p.group(t, org, "inner"), p.account(t, org, "bot")
	p.mustChange(t, org, outer, []string{inner, bot}, nil)
	p.verify(t, org)
	for name, tc := range map[string]struct{ change, undo, want string }{
		"a name": {
			`UPDATE identity.groups SET name = 'x' WHERE name = 'inner'`, `UPDATE identity.groups SET name = 'inner' WHERE name = 'x'`, "group row",
		},
		"a name key": {
			`UPDATE identity.groups SET name_key = 'x' WHERE name = 'inner'`, `UPDATE identity.groups SET name_key = 'inner' WHERE name = 'inner'`, "group row",
		},
		"a number of members": {
			`UPDATE identity.groups SET members = members + 1`, `UPDATE identity.groups SET members = members - 1`, "group row",
		},
		"a member": {
			`UPDATE identity.group_members SET member_id = 'usr_x' WHERE member_id LIKE 'svc_%'`,
			`UPDATE identity.group_members SET member_id = '` + bot + `' WHERE member_id = 'usr_x'`, "row of member",
		},
		"a member too few": {
			`DELETE FROM identity.group_members WHERE member_id LIKE 'svc_%'`,
			`INSERT INTO identity.group_members VALUES ('` + org + `', '` + outer + `', '` + bot + `', 'eu-west')`, "rows of group members",
		},
		"a group too many": {
			`INSERT INTO identity.groups SELECT organization_id, 'grp_x', name, 'z', description, members, home_region, created_at FROM identity.groups LIMIT 1`,
			`DELETE FROM identity.groups WHERE group_id = 'grp_x'`, "group row",
		},
		"a service account": {
			`UPDATE identity.service_accounts SET disabled = true`, `UPDATE identity.service_accounts SET disabled = false`, "service account row",
		},
		"a service account too few": {
			`UPDATE identity.service_accounts SET organization_id = 'x'`, `UPDATE identity.service_accounts SET organization_id = '` + org + `'`, "service account rows",
		},
		"a count of groups": {
			`UPDATE identity.counts SET number = 9 WHERE kind = 'groups'`, `UPDATE identity.counts SET number = 2 WHERE kind = 'groups'`, "9 groups counted",
		},
		"a count of groups in groups": {
			`UPDATE identity.counts SET number = 9 WHERE kind = 'nestings'`, `UPDATE identity.counts SET number = 1 WHERE kind = 'nestings'`, "9 nestings counted",
		},
		"a count of service accounts": {
			`DELETE FROM identity.counts WHERE kind = 'service_accounts'`,
			`INSERT INTO identity.counts VALUES ('` + org + `', 'service_accounts', 1, 'eu-west')`, "0 service_accounts counted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			exec := func(statement string) {
				if _, err := p.db.Pool().Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			exec(tc.change)
			v := &eventlog.Verifier{Store: p.log, Folds: []eventlog.Fold{store.Fold{}}}
			result, err := v.Verify(t.Context(), org, nil)
			if err != nil || !strings.Contains(result.Difference.GetDetail(), tc.want) {
				t.Errorf("difference %v, %v; want %q", result.Difference, err, tc.want)
			}
			exec(tc.undo)
			p.verify(t, org)
		})
	}
}
