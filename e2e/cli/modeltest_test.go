package cli_test

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

const storeHead = `name: pages
model: |
  model
    schema 1.1
  type user
  type page
    relations
      define editor: [user]
      define viewer: [user] or editor
tuples:
  - {user: "user:anna", relation: editor, object: "page:1"}
tests:
  - name: reading
    check:
      - users: [user:anna, user:zoe]
        object: page:1
`

const wrongStore = storeHead + "        assertions:\n          viewer: true\n"

// rightStore asks about one user only.
var rightStore = strings.Replace(wrongStore, ", user:zoe", "", 1)

// TestModelTest needs no server.
func TestModelTest(t *testing.T) {
	dir := t.TempDir()
	right, wrong := writeFile(t, dir, "right.fga.yaml", rightStore), writeFile(t, dir, "wrong.fga.yaml", wrongStore)

	quiet := expect(t, harness.Run(t, "model", "test", right), 0)
	contains(t, quiet, "ok    "+right+"  1 passed")
	if strings.Contains(quiet, "PASS") || strings.Contains(quiet, "\x1b") {
		t.Errorf("not quiet: %q", quiet)
	}
	contains(t, expect(t, harness.Run(t, "model", "test", right, "-v"), 0),
		"PASS  "+right+":18  reading: check user:anna viewer page:1")

	both := expect(t, harness.Run(t, "model", "test", dir), 1)
	contains(t, both, "FAIL  "+wrong+":18  reading: check user:zoe viewer page:1",
		"      want true, got false\n      ✗ page:1#viewer  (or)\n", "ok    "+right, "FAIL  "+wrong+"  1 passed, 1 failed",
		"2 files: 2 passed, 1 failed in ")
	contains(t, expect(t, harness.Run(t, "model", "test", dir, "--run", "anna viewer"), 0), "2 files: 2 passed in ")
	contains(t, expect(t, harness.Run(t, "model", "test", dir, "--run", "zoe"), 1), "-     "+right+"  no assertion")
	contains(t, expect(t, harness.Run(t, "model", "test", right, "--coverage"), 0),
		"coverage  66.7 %: 2 of 3 branches, 2 of 2 relations\nno assertion depends on:\n  "+right+":9  page#viewer  assigns [user]\n")
}

func TestModelTestForMachines(t *testing.T) {
	dir := t.TempDir()
	wrong := writeFile(t, dir, "wrong.fga.yaml", wrongStore)
	junit, lcov := filepath.Join(dir, "junit.xml"), filepath.Join(dir, "lcov.info")
	report := one(t, expect(t, harness.Run(t, "model", "test", wrong, "--json", "--junit", junit, "--lcov", lcov), 1))
	cases, _ := report["suites"].([]any)[0].(map[string]any)["cases"].([]any)
	if len(cases) != 2 {
		t.Fatal(report)
	}
	second, _ := cases[1].(map[string]any)
	if second["outcome"] != "fail" || second["want"] != "true" || second["got"] != "false" || second["line"] != 18.0 || second["file"] != wrong {
		t.Error(second)
	}
	content, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal(content, &suites); err != nil || suites.Tests != 2 || suites.Failures != 1 {
		t.Error(suites, err)
	}
	if content, err = os.ReadFile(lcov); err != nil || !regexp.MustCompile(`(?m)^SF:.*wrong\.fga\.yaml$`).Match(content) {
		t.Errorf("%s %v", content, err)
	}
}

func TestModelTestCannotRun(t *testing.T) {
	dir := t.TempDir()
	right := writeFile(t, dir, "right.fga.yaml", rightStore)
	broken := writeFile(t, dir, "broken.fga.yaml", rightStore+"tets: []\n")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a file with problems": {[]string{broken}, "nothing was run:\n" + broken + `:19:1: a store has no key "tets"`},
		"one among others":     {[]string{dir}, broken + ":19:1: "},
		"no file":              {[]string{filepath.Join(dir, "gone.yaml")}, "no such file"},
		"an empty folder":      {[]string{t.TempDir()}, "has no file *.fga.yaml"},
		"nothing matches":      {[]string{right, "--run", "nobody"}, "no assertion matches --run nobody"},
		"a broken pattern":     {[]string{right, "--run", "("}, "--run: error parsing regexp"},
		"no assertion":         {[]string{writeFile(t, t.TempDir(), "a.yaml", strings.Split(rightStore, "tests:")[0])}, "the files have no assertion"},
		"a folder as output":   {[]string{right, "--junit", dir}, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			r := harness.Run(t, append([]string{"model", "test"}, c.args...)...)
			expect(t, r, 2)
			contains(t, r.Stderr, c.want)
		})
	}
}
