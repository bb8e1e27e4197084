package workset_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/e2e/load/workset"
)

func readTuples(t *testing.T, dir string) []workset.Tuple {
	t.Helper()
	var all []workset.Tuple
	if err := workset.EachTuple(dir, func(one workset.Tuple) error {
		all = append(all, one)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestReadTiny(t *testing.T) {
	const dir = "testdata/tiny"
	wantTuples := []workset.Tuple{
		{
			Object: workset.Object{Type: "group", ID: "eng"}, Relation: "member",
			Subject: workset.Subject{Type: "user", ID: "ann"},
		},
		{
			Object: workset.Object{Type: "service", ID: "web"}, Relation: "editor",
			Subject: workset.Subject{Type: "group", ID: "eng", Relation: "member"},
		},
		{
			Object: workset.Object{Type: "dashboard", ID: "sales"}, Relation: "viewer",
			Subject: workset.Subject{Type: "user", ID: "*"},
		},
	}
	if diff := cmp.Diff(wantTuples, readTuples(t, dir)); diff != "" {
		t.Error("tuples", diff)
	}

	checks, err := workset.ReadChecks(dir)
	if err != nil {
		t.Fatal(err)
	}
	web := workset.Object{Type: "service", ID: "web"}
	if diff := cmp.Diff([]workset.Check{
		{Subject: workset.Subject{Type: "user", ID: "ann"}, Permission: "can_edit", Object: web, Expected: true, Kind: "group"},
		{Subject: workset.Subject{Type: "user", ID: "bob"}, Permission: "can_edit", Object: web, Kind: "group"},
	}, checks); diff != "" {
		t.Error("checks", diff)
	}

	lists, err := workset.ReadLists(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]workset.List{{
		Subject: workset.Subject{Type: "user", ID: "ann"}, Permission: "can_select", ObjectType: "table",
		Count: 2, Digest: workset.Digest([]string{"b", "a"}),
	}}, lists); diff != "" {
		t.Error("lists", diff)
	}

	probes, err := workset.ReadProbes(dir)
	if err != nil {
		t.Fatal(err)
	}
	bob, orders := workset.Subject{Type: "user", ID: "bob"}, workset.Object{Type: "table", ID: "orders"}
	if diff := cmp.Diff([]workset.Probe{{
		Tuple: workset.Tuple{Object: orders, Relation: "reader", Subject: bob},
		Check: workset.Check{Subject: bob, Permission: "can_select", Object: orders, Kind: "probe"},
	}}, probes); diff != "" {
		t.Error("probes", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	const checks = "subject_type,subject_id,permission,object_type,object_id,expected,kind\n"
	for name, c := range map[string]struct {
		text, want string
	}{
		"nothing":         {"", "checks.csv: read header"},
		"other columns":   {strings.Replace(checks, "kind", "sort", 1), "columns are"},
		"a missing field": {checks + "user,ann,can_edit,service,web,true\n", "line 2"},
		"no such answer":  {checks + "user,ann,can_edit,service,web,true,group\nuser,ann,can_edit,service,web,yes,group\n", `line 3: expected is "yes"`},
		"an open quote":   {checks + "user,\"ann,can_edit\n", "checks.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "checks.csv"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := workset.ReadChecks(dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := workset.ReadLists(t.TempDir()); err == nil {
		t.Error("an absent file is no error")
	}
}
