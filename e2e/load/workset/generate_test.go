package workset_test

import (
	"context"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/e2e/load/workset"
)

func sizes(t *testing.T) workset.Sizes {
	t.Helper()
	s, err := workset.Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	s.Organizations, s.Checks, s.Lists, s.Probes = 4, 2000, 20, 20
	return s
}

func generate(t *testing.T, s workset.Sizes) (dir string, summary workset.Summary) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "new", "folder")
	summary, err := workset.Generate(t.Context(), s, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, summary
}

// contents is every file of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func TestGenerateSameSeedSameBytes(t *testing.T) {
	s := sizes(t)
	first, _ := generate(t, s)
	second, _ := generate(t, s)
	if diff := cmp.Diff(contents(t, first), contents(t, second)); diff != "" {
		t.Error(diff)
	}
	s.Seed++
	third, _ := generate(t, s)
	for name, text := range contents(t, third) {
		if text == contents(t, first)[name] {
			t.Errorf("%s is the same with another seed", name)
		}
	}
}

// More questions must leave the tuples as they are.
func TestGenerateTuplesDoNotDependOnQuestions(t *testing.T) {
	s := sizes(t)
	few, _ := generate(t, s)
	s.Checks, s.Lists, s.Probes = 3000, 1, 3
	many, _ := generate(t, s)
	if contents(t, few)["tuples.csv"] != contents(t, many)["tuples.csv"] {
		t.Error("tuples.csv differs")
	}
}

func TestGeneratePresetSmall(t *testing.T) {
	s, err := workset.Preset("small")
	if err != nil {
		t.Fatal(err)
	}
	_, got := generate(t, s)
	if got.Tuples < 8_000 || got.Tuples > 13_000 {
		t.Errorf("%d tuples, want about 10,000", got.Tuples)
	}
	if share := float64(got.ChecksTrue) / float64(got.Checks); share < 0.45 || share > 0.55 {
		t.Errorf("%.2f of the checks are true, want about half", share)
	}
	for kind, percent := range map[string]int{"direct": 20, "group": 25, "deep": 30, "exclusion": 15, "wildcard": 10} {
		if share := 100 * got.ChecksByKind[kind] / got.Checks; share < percent-2 || share > percent+2 {
			t.Errorf("%d %% of the checks are %s, want %d", share, kind, percent)
		}
	}
	if got.Lists != 200 || got.Probes != 500 || got.ListObjects == 0 {
		t.Errorf("%d lists of %d objects and %d probes, want 200 of some and 500", got.Lists, got.ListObjects, got.Probes)
	}
}

// All answers must be those of an oracle that sees the whole work set at once.
func TestGenerateAnswers(t *testing.T) {
	dir, _ := generate(t, sizes(t))
	tuples := readTuples(t, dir)
	oracle := workset.NewOracle(tuples)
	checks, err := workset.ReadChecks(dir)
	if err != nil {
		t.Fatal(err)
	}
	yes := make(map[string]int)
	no := make(map[string]int)
	for _, c := range checks {
		if oracle.Allows(c.Subject.ID, c.Permission, c.Object) != c.Expected {
			t.Errorf("%s %s %s: expected is %v", c.Subject, c.Permission, c.Object, c.Expected)
		}
		if c.Expected {
			yes[c.Kind]++
		} else {
			no[c.Kind]++
		}
	}
	if len(yes) != 5 || len(no) != 5 {
		t.Errorf("true checks are %v and false ones %v, want all five kinds in both", yes, no)
	}

	lists, err := workset.ReadLists(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lists {
		var ids []string
		for _, one := range tuples {
			if one.Object.Type == "table" && one.Relation == "parent" && oracle.Allows(l.Subject.ID, l.Permission, one.Object) {
				ids = append(ids, one.Object.ID)
			}
		}
		if len(ids) != l.Count || workset.Digest(ids) != l.Digest {
			t.Errorf("%s selects %d tables, want %d", l.Subject, len(ids), l.Count)
		}
	}

	probes, err := workset.ReadProbes(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]workset.Tuple, 0, len(tuples)+len(probes))
	all = append(all, tuples...)
	for _, p := range probes {
		all = append(all, p.Tuple)
	}
	after := workset.NewOracle(all)
	for _, p := range probes {
		if oracle.Allows(p.Check.Subject.ID, p.Check.Permission, p.Check.Object) {
			t.Errorf("%s may select %s before the write", p.Check.Subject, p.Check.Object)
		}
		if !after.Allows(p.Check.Subject.ID, p.Check.Permission, p.Check.Object) {
			t.Errorf("%s may not select %s after the write", p.Check.Subject, p.Check.Object)
		}
	}
}

// The format is a contract with other tools: it is spelled out here once more.
func TestGenerateFormat(t *testing.T) {
	dir, _ := generate(t, sizes(t))
	const (
		word   = `^[a-z_]+$`
		id     = `^[a-z0-9-]+$`
		answer = `^(true|false)$`
	)
	for name, columns := range map[string][][2]string{
		"tuples.csv": {
			{"object_type", word},
			{"object_id", id},
			{"relation", word},
			{"subject_type", word},
			{"subject_id", `^(\*|[a-z0-9-]+)$`},
			{"subject_relation", `^(member)?$`},
		},
		"checks.csv": {
			{"subject_type", `^user$`},
			{"subject_id", id},
			{"permission", word},
			{"object_type", word},
			{"object_id", id},
			{"expected", answer},
			{"kind", `^(direct|group|deep|exclusion|wildcard)$`},
		},
		"lists.csv": {
			{"subject_type", `^user$`},
			{"subject_id", id},
			{"permission", `^can_select$`},
			{"object_type", `^table$`},
			{"expected_count", `^[0-9]+$`},
			{"expected_digest", `^[0-9a-f]{16}$`},
		},
		"probes.csv": {{"user_id", id}, {"relation", `^reader$`}, {"object_type", `^table$`}, {"object_id", id}},
	} {
		rows, err := csv.NewReader(strings.NewReader(contents(t, dir)[name])).ReadAll()
		if err != nil {
			t.Fatal(name, err)
		}
		for n, column := range columns {
			if rows[0][n] != column[0] {
				t.Errorf("%s: column %d is %q, want %q", name, n, rows[0][n], column[0])
			}
			rule := regexp.MustCompile(column[1])
			for line, row := range rows[1:] {
				if len(row) != len(columns) || !rule.MatchString(row[n]) {
					t.Fatalf("%s line %s: %q breaks %s", name, strconv.Itoa(line+2), row, rule)
				}
			}
		}
		if len(rows) < 10 {
			t.Errorf("%s has %d rows", name, len(rows))
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	for name, change := range map[string]func(*workset.Sizes){
		"no organization":   func(s *workset.Sizes) { s.Organizations = 0 },
		"a percent of 101":  func(s *workset.Sizes) { s.BannedPercent = 101 },
		"a negative number": func(s *workset.Sizes) { s.Checks = -1 },
		"a negative skew":   func(s *workset.Sizes) { s.AskSkew = -0.5 },
	} {
		t.Run(name, func(t *testing.T) {
			s := sizes(t)
			change(&s)
			dir := filepath.Join(t.TempDir(), "set")
			if _, err := workset.Generate(t.Context(), s, dir, nil); err == nil {
				t.Error("no error")
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Error("a folder was made")
			}
		})
	}
	if _, err := workset.Preset("huge"); err == nil {
		t.Error("preset huge is no error")
	}
}

// A work set that was stopped half-way must not look like one.
func TestGenerateStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err := workset.Generate(ctx, sizes(t), dir, func(done, of int) {
		if done == 2 && of == 4 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that it was stopped", err)
	}
	if left := contents(t, dir); len(left) != 0 {
		t.Errorf("%d files are left", len(left))
	}
}
