package sqldb

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//nolint:gochecknoglobals // the test binary's flag
var update = flag.Bool("update", false, "rewrite the goldens in testdata")

func TestLocalityStatements(t *testing.T) {
	t.Parallel()
	three := []string{"us-east1", "asia-south1", "europe-west1"}
	for name, p := range map[string]placement{
		"first_run":         {database: "meridian", cluster: three},
		"regions_of_choice": {database: "meridian", primary: "europe-west1", regions: three, cluster: append(slices.Clone(three), "us-west1")},
		"half_done": {
			database: "meridian", primary: "europe-west1", regions: []string{"europe-west1"}, cluster: three,
			placed: append([]string{"authz.models"}, rowTables()[:8]...),
		},
		"hostile_names": {database: `a"b`, cluster: []string{`r'1`, `r"2`, `r\3`}, placed: append(rowTables()[1:], globalTables()...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(p.statements(), ";\n") + ";\n"
			golden := filepath.Join("testdata", "localities_"+name+".sql")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestNoLocalities(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]placement{
		"single node":   {database: "meridian"},
		"one region":    {database: "meridian", cluster: []string{"a"}},
		"two regions":   {database: "meridian", primary: "a", regions: []string{"a", "b"}, cluster: []string{"a", "b"}},
		"all is placed": {database: "meridian", cluster: []string{"a", "b", "c"}, placed: append(rowTables(), globalTables()...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := p.statements(); len(got) > 0 {
				t.Fatalf("got %q, want nothing", got)
			}
		})
	}
}
