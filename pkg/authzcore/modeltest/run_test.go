package modeltest_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/pkg/authzcore/modeltest"
)

const wrong = "testdata/wrong/store.fga.yaml"

// wrongDetails are what the two wrong assertions of the file must say.
var wrongDetails = []string{
	`want false, got true
✓ document:1#viewer  (or)
└─ ✓ document:1#viewer  (computed)
   └─ ✓ document:1#owner  (direct)  document:1#owner@user:anna
`,
	`want true, got false
✗ document:1#viewer  (or)
├─ ✗ document:1#viewer  (direct)
└─ ✗ document:1#viewer  (computed)
   └─ ✗ document:1#owner  (direct)
`,
}

func TestWrongAssertionsFail(t *testing.T) {
	report, err := run(t, wrong)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Failed() || report.Count(modeltest.Pass) != 1 || report.Count(modeltest.Fail) != 2 || report.Count(modeltest.Broken) != 0 {
		t.Errorf("%+v", report)
	}
	cases := report.Suites[0].Cases
	for i, want := range []modeltest.Case{
		{Test: "allowed", Name: "check user:anna owner document:1", Place: modeltest.Place{File: wrong, Line: 18}, Outcome: modeltest.Pass, Want: "true", Got: "true"},
		{Test: "allowed", Name: "check user:anna viewer document:1", Place: modeltest.Place{File: wrong, Line: 19}, Outcome: modeltest.Fail, Want: "false", Got: "true", Detail: wrongDetails[0]},
		{Test: "denied", Name: "check user:zoe viewer document:1", Place: modeltest.Place{File: wrong, Line: 25}, Outcome: modeltest.Fail, Want: "true", Got: "false", Detail: wrongDetails[1]},
	} {
		got := cases[i]
		got.Duration = 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestConditions: a conditional answer is neither true nor false, and says what
// is missing; a value that does not fit is no answer.
func TestConditions(t *testing.T) {
	report, err := run(t, "testdata/wrong/conditions.fga.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cases := report.Suites[0].Cases
	for i, want := range []struct {
		outcome   modeltest.Outcome
		name, got string
		detail    string
	}{
		{
			modeltest.Fail, "check user:anna viewer page:1", "conditional",
			"want false, got conditional: the context lacks level, weight\n" +
				"? page:1#viewer  (direct)  page:1#viewer@user:anna with low, which lacks level, weight\n",
		},
		{
			modeltest.Broken, `check user:anna viewer page:1 with {"level":"many","weight":1}`, "",
			"context: parameter level of condition low: must be a number",
		},
		{
			modeltest.Fail, "list_objects user:anna viewer page", "page:1 (conditional)",
			"want 1, got 1 (- wanted only, + got only)\n- page:1\n+ page:1 (conditional)\nwhy user:anna viewer page:1:\n" +
				"? page:1#viewer  (direct)  page:1#viewer@user:anna with low, which lacks level, weight\n",
		},
	} {
		if c := cases[i]; c.Outcome != want.outcome || c.Name != want.name || c.Got != want.got || c.Detail != want.detail {
			t.Errorf("%+v", c)
		}
	}
	var b strings.Builder
	if err := report.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `tests="3" failures="2" errors="1"`) || strings.Count(b.String(), "<error message=") != 1 {
		t.Error(b.String())
	}
}

// recorder is a *testing.T that keeps what it is told.
type recorder struct {
	name  string
	ctx   context.Context
	lines *[]string
}

// ended is what Fatal ends a recorder's test with.
type ended struct{}

func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Helper()                  {}
func (r *recorder) Error(args ...any)        { *r.lines = append(*r.lines, r.name+": "+fmt.Sprint(args...)) }

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	panic(ended{})
}

func (r *recorder) Run(name string, fn func(*recorder)) bool {
	before := len(*r.lines)
	*r.lines = append(*r.lines, "RUN "+r.name+"/"+name)
	fn(&recorder{name: r.name + "/" + name, ctx: r.ctx, lines: r.lines})
	return len(*r.lines) == before+1
}

// record runs Test as a Go test would and returns what it says.
func record(t *testing.T, o modeltest.Options, paths ...string) (lines []string) {
	t.Helper()
	defer func() {
		if x := recover(); x != nil && x != any(ended{}) {
			panic(x)
		}
	}()
	modeltest.TestWith(&recorder{ctx: t.Context(), lines: &lines}, o, paths...)
	return lines
}

func TestTest(t *testing.T) {
	indent := func(text string) string {
		return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ")
	}
	if diff := cmp.Diff([]string{
		"RUN /wrong",
		"RUN /wrong/allowed",
		"RUN /wrong/allowed/check user:anna owner document:1",
		"RUN /wrong/allowed/check user:anna viewer document:1",
		"/wrong/allowed/check user:anna viewer document:1: " + wrong + ":19: check user:anna viewer document:1\n" + indent(wrongDetails[0]),
		"RUN /wrong/denied",
		"RUN /wrong/denied/check user:zoe viewer document:1",
		"/wrong/denied/check user:zoe viewer document:1: " + wrong + ":25: check user:zoe viewer document:1\n" + indent(wrongDetails[1]),
	}, record(t, modeltest.Options{}, wrong)); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		options modeltest.Options
		path    string
		want    string
	}{
		"nothing matches": {modeltest.Options{Run: regexp.MustCompile("nobody")}, wrong, "no assertion to test"},
		"broken file":     {modeltest.Options{}, "testdata/errors/empty.fga.yaml", "the file is empty"},
		"no file":         {modeltest.Options{}, "testdata/gone", "no such file"},
		"empty folder":    {modeltest.Options{}, t.TempDir(), "has no file *.fga.yaml"},
	} {
		if lines := record(t, c.options, c.path); len(lines) != 1 || !strings.Contains(lines[0], c.want) {
			t.Errorf("%s: %q", name, lines)
		}
	}
}

func TestRunMatches(t *testing.T) {
	report, err := modeltest.Run(t.Context(), []string{wrong}, modeltest.Options{Run: regexp.MustCompile(`^wrong/allowed/.* owner `)})
	if err != nil || len(report.Suites[0].Cases) != 1 || report.Failed() {
		t.Errorf("%+v %v", report, err)
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := modeltest.Run(ctx, []string{wrong}, modeltest.Options{Coverage: true}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRoot: a folder around the store may hold its files.
func TestRoot(t *testing.T) {
	around := t.TempDir()
	write(t, filepath.Join(around, "model.fga"), "model\n  schema 1.1\ntype user\ntype page\n  relations\n    define viewer: [user]\n")
	write(t, filepath.Join(around, "tuples.csv"), "user_type,user_id,relation,object_type,object_id\nuser,anna,viewer,page,1\n")
	file := filepath.Join(around, "tests", "store.fga.yaml")
	write(t, file, "model_file: ../model.fga\ntuple_file: ../tuples.csv\ntests:\n"+
		"  - check:\n      - {user: 'user:anna', object: 'page:1', assertions: {viewer: true}}\n")
	if report, err := modeltest.Run(t.Context(), []string{file}, modeltest.Options{Root: around}); err != nil || report.Count(modeltest.Pass) != 1 {
		t.Error(report, err)
	}
	if _, err := run(t, file); err == nil || !strings.Contains(err.Error(), "outside the store's folder") {
		t.Error(err)
	}
	if _, err := modeltest.Run(t.Context(), []string{file}, modeltest.Options{Root: t.TempDir()}); err == nil {
		t.Error("the store lies outside the root")
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBounds: files that are too large are refused, not read.
func TestBounds(t *testing.T) {
	const model = "model: |\n  model\n    schema 1.1\n  type user\n  type page\n    relations\n      define viewer: [user]\n"
	var rows strings.Builder
	rows.WriteString("user_type,user_id,relation,object_type,object_id\n")
	for i := range 100_001 {
		fmt.Fprintf(&rows, "user,u%d,viewer,page,1\n", i)
	}
	list := func(typ string) string { // 317 * 317 is more than 100,000
		var ids []string
		for i := range 317 {
			ids = append(ids, fmt.Sprintf("'%s:%d'", typ, i))
		}
		return "[" + strings.Join(ids, ", ") + "]"
	}
	for name, c := range map[string]struct{ store, tuples, want string }{
		"bytes":      {model + "#" + strings.Repeat("x", 4<<20), "", "has more than 4194304 bytes"},
		"tuples":     {model + "tuple_file: tuples.csv\n", rows.String(), "tuples.csv:100002: a store has at most 100000 tuples"},
		"files":      {model + "tuple_files:\n" + strings.Repeat("  - tuples.csv\n", 100), "user_type,user_id,relation,object_type,object_id\nuser,a,viewer,page,1\n", "a store has at most 100 files"},
		"assertions": {model + "tests:\n  - check:\n      - users: " + list("user") + "\n        objects: " + list("page") + "\n        assertions: {viewer: true}\n", "", "a store has at most 100000 assertions"},
	} {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "store.fga.yaml"), c.store)
		write(t, filepath.Join(folder, "tuples.csv"), c.tuples)
		if _, err := run(t, folder); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

// junit is the shape that readers of JUnit's XML agree on.
type junit struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Suites   []struct {
		Name     string  `xml:"name,attr"`
		Tests    int     `xml:"tests,attr"`
		Failures int     `xml:"failures,attr"`
		Errors   int     `xml:"errors,attr"`
		Time     float64 `xml:"time,attr"`
		Cases    []struct {
			Name    string  `xml:"name,attr"`
			Class   string  `xml:"classname,attr"`
			Time    float64 `xml:"time,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func TestJUnit(t *testing.T) {
	report, err := run(t, wrong, "testdata/good/checks.fga.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := report.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), xml.Header) {
		t.Error("no header")
	}
	var got junit
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 2 || got.Tests != 19 || got.Failures != 2 {
		t.Fatal(b.String())
	}
	checks, wrongs := got.Suites[0], got.Suites[1]
	if checks.Name != "checks" || checks.Tests != len(checks.Cases) || checks.Tests != 16 || checks.Failures != 0 || checks.Time <= 0 {
		t.Errorf("%+v", checks)
	}
	if wrongs.Tests != 3 || wrongs.Failures != 2 || wrongs.Errors != 0 || wrongs.Cases[0].Failure != nil {
		t.Errorf("%+v", wrongs)
	}
	failed := wrongs.Cases[1]
	if failed.Name != "allowed: check user:anna viewer document:1" || failed.Class != "wrong" || failed.Failure == nil ||
		!strings.Contains(failed.Failure.Text, wrong+":19") || !strings.Contains(failed.Failure.Text, "want false, got true\n") {
		t.Errorf("%+v", failed)
	}
}

const covered = "testdata/coverage/store.fga.yaml"

func coverage(t *testing.T, paths ...string) *modeltest.Coverage {
	t.Helper()
	report, err := modeltest.Run(t.Context(), paths, modeltest.Options{Coverage: true})
	if err != nil || report.Failed() {
		t.Fatal(report, err)
	}
	return report.Coverage
}

// branches lists the branches with their lines and hits.
func branches(c *modeltest.Coverage) []string {
	var out []string
	for _, b := range c.Branches {
		out = append(out, fmt.Sprintf("%d %s %d", b.Line, b.String(), b.Hits))
	}
	return out
}

// TestCoverageOfConditions: a subject with a condition and one without are two
// branches, and so are a store's tuple and the test's instead of it.
func TestCoverageOfConditions(t *testing.T) {
	if diff := cmp.Diff([]string{
		"8 page#viewer  assigns [user] 3",
		"8 page#viewer  assigns [user with in_time] 8",
		"8 page#viewer  assigns [user:* with from_office] 2",
		"9 page#editor  requires [user with in_time] 2",
		"9 page#editor  assigns [user with in_time] 1",
		"9 page#editor  requires viewer 0",
	}, branches(coverage(t, "testdata/good/conditions.fga.yaml"))); diff != "" {
		t.Error(diff)
	}
}

func TestCoverage(t *testing.T) {
	c := coverage(t, covered)
	if diff := cmp.Diff([]string{
		"10 team#member  assigns [user] 1",
		"10 team#member  assigns [team#member] 0",
		"14 page#team  assigns [team] 1",
		"15 page#editor  assigns [user] 2",
		"17 page#blocked  assigns [user] 1",
		"18 page#blocked  assigns [user:*] 0",
		"20 page#viewer  assigns [user] 1",
		"20 page#viewer  assigns [team#member] 0",
		"20 page#viewer  grants editor 2",
		"20 page#viewer  grants member from team 1",
		"21 page#can_read  grants viewer 3",
		"21 page#can_read  excludes blocked 1",
		"22 page#can_share  requires editor 1",
		"22 page#can_share  requires viewer or member from team 0",
		"22 page#can_share  grants viewer 1",
		"22 page#can_share  grants member from team 0",
		"23 page#can_delete  grants editor 0",
	}, branches(c)); diff != "" {
		t.Error(diff)
	}
	if c.Covered != 11 || c.Relations != 8 || c.CoveredRelations != 7 || fmt.Sprintf("%.1f", c.Percent()) != "64.7" {
		t.Errorf("%+v", c)
	}
}

// TestCoverageIsShared: stores with the same model cover it together, and the
// questions are answered by the whole model again afterwards.
func TestCoverageIsShared(t *testing.T) {
	alone := coverage(t, "testdata/good/files.fga.yaml")
	both := coverage(t, "testdata/good/files.fga.yaml", "testdata/good/lists.fga.yaml")
	if len(alone.Branches) != len(both.Branches) || both.Covered < alone.Covered {
		t.Errorf("%+v\n%+v", alone, both)
	}
	if first, again := coverage(t, "testdata/good"), coverage(t, "testdata/good"); cmp.Diff(first, again) != "" {
		t.Error(cmp.Diff(first, again))
	}
}

func TestLCOV(t *testing.T) {
	var b strings.Builder
	if err := coverage(t, covered).WriteLCOV(&b); err != nil {
		t.Fatal(err)
	}
	count, sums := map[string]int{}, map[string]int{}
	for line := range strings.Lines(b.String()) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		count[key]++
		if n, err := strconv.Atoi(value); err == nil {
			sums[key] = n
		}
		if key == "SF" && value != covered {
			t.Error(line)
		}
	}
	if count["SF"] != 1 || count["FN"] != 8 || count["FNDA"] != 8 || count["BRDA"] != 17 || count["DA"] != sums["LF"] ||
		count["end_of_record"] != 1 || sums["FNH"] != 7 || sums["BRH"] != 11 || sums["LH"] != 7 {
		t.Errorf("%v %v\n%s", count, sums, b.String())
	}
	if !strings.Contains(b.String(), "DA:21,3\n") || !strings.Contains(b.String(), "DA:23,0\n") {
		t.Error(b.String())
	}
}
