package workset_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// relationship reads "table:t#reader@group:g#member".
func relationship(t *testing.T, text string) workset.Tuple {
	t.Helper()
	left, right, ok := strings.Cut(text, "@")
	object, relation, ok2 := strings.Cut(left, "#")
	if !ok || !ok2 {
		t.Fatalf("%q is no relationship", text)
	}
	subject, ofSubject, _ := strings.Cut(right, "#")
	s := thing(subject)
	return workset.Tuple{
		Object: thing(object), Relation: relation,
		Subject: workset.Subject{Type: s.Type, ID: s.ID, Relation: ofSubject},
	}
}

func thing(text string) workset.Object {
	kind, id, _ := strings.Cut(text, ":")
	return workset.Object{Type: kind, ID: id}
}

// Every rule of the model has a line that it allows and one that it does not.
func TestOracle(t *testing.T) {
	var tuples []workset.Tuple
	for _, text := range []string{
		"group:outer#member@group:inner#member",
		"group:inner#member@user:nested",
		"group:ring1#member@group:ring2#member",
		"group:ring2#member@group:ring1#member",
		"group:ring2#member@user:ringer",
		"organization:o#admin@user:boss",
		"organization:o#member@user:staff",
		"service:s#parent@organization:o",
		"service:s#admin@user:root",
		"service:s#editor@group:outer#member",
		"service:s#viewer@user:auditor",
		"service:s#viewer@group:ring1#member",
		"database:d#parent@service:s",
		"database:d#owner@user:dba",
		"database:d#reader@user:analyst",
		"table:t#parent@database:d",
		"table:t#reader@user:guest",
		"table:t#banned@user:boss",
		"pipe:p#parent@service:s",
		"pipe:p#operator@user:loader",
		"dashboard:open#parent@organization:o",
		"dashboard:open#viewer@user:*",
		"dashboard:closed#parent@organization:o",
		"dashboard:closed#viewer@user:guest",
	} {
		tuples = append(tuples, relationship(t, text))
	}
	oracle := workset.NewOracle(tuples)
	for _, c := range []struct {
		object, permission string
		yes, no            string
	}{
		{"organization:o", "member", "staff", "boss nested stranger"},
		{"group:outer", "member", "nested", "ringer"},
		{"group:ring1", "member", "ringer", "nested"},
		{"service:s", "can_admin", "boss root", "staff nested auditor"},
		{"service:s", "can_edit", "boss root nested", "staff auditor"},
		{"service:s", "can_view", "boss root nested staff auditor ringer", "guest dba stranger"},
		{"database:d", "can_write", "boss root nested dba", "staff auditor analyst"},
		{"database:d", "can_read", "boss root nested dba analyst staff auditor", "guest loader"},
		{"table:t", "can_select", "root nested dba analyst staff guest", "boss loader stranger"},
		{"pipe:p", "can_run", "boss root nested loader", "staff auditor dba"},
		{"dashboard:open", "can_view", "staff guest boss stranger", ""},
		{"dashboard:closed", "can_view", "staff guest", "boss stranger"},
		{"table:elsewhere", "can_select", "", "boss staff stranger"},
	} {
		for user := range strings.FieldsSeq(c.yes) {
			if !oracle.Allows(user, c.permission, thing(c.object)) {
				t.Errorf("%s has no %s to %s", user, c.permission, c.object)
			}
		}
		for user := range strings.FieldsSeq(c.no) {
			if oracle.Allows(user, c.permission, thing(c.object)) {
				t.Errorf("%s has %s to %s", user, c.permission, c.object)
			}
		}
	}
}
