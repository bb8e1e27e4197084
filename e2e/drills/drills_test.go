// Package drills_test does every drill in its short form, and shows that drills
// notice when a promise is broken.
package drills_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// report is what these tests read of a drill's report.
type report struct {
	Drill   string   `json:"drill"`
	Verdict string   `json:"verdict"`
	Reasons []string `json:"reasons"`

	Functions []struct {
		Name      string `json:"name"`
		Attempts  int    `json:"attempts"`
		Succeeded int    `json:"succeeded"`
	} `json:"functions"`
	RPO struct {
		Acknowledged int `json:"acknowledged_events"`
		Missing      int `json:"missing_events"`
	} `json:"rpo"`
	Verification struct {
		ForbiddenAllows int `json:"forbidden_allows"`
		History         struct {
			Models []struct {
				Model      string `json:"model"`
				Operations int    `json:"operations"`
				Verdict    string `json:"verdict"`
			} `json:"models"`
		} `json:"history"`
	} `json:"verification"`
}

// drill runs `meridian drill` and returns the reports and the exit code.
func drill(t *testing.T, args ...string) ([]report, int) {
	t.Helper()
	args = append([]string{"drill", "--short", "--json"}, args...)
	cmd := exec.CommandContext(t.Context(), harness.Binary(t), args...)
	cmd.Env = harness.Environment()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatalf("meridian %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	var reports []report
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var r report
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			return reports, cmd.ProcessState.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
}

// violated are the models of which a history is wrong.
func (r report) violated() []string {
	var out []string
	for _, m := range r.Verification.History.Models {
		if m.Verdict == "violated" {
			out = append(out, m.Model)
		}
	}
	return out
}

func TestDrills(t *testing.T) {
	t.Parallel()
	reports, code := drill(t, "all")
	if len(reports) != 9 || code != 0 {
		t.Errorf("%d reports, exit code %d; want all 9 drills, and 0", len(reports), code)
	}
	for _, r := range reports {
		if r.Verdict != "passed" {
			t.Errorf("%s %s: %q", r.Drill, r.Verdict, r.Reasons)
		}
		if r.RPO.Acknowledged < 50 || r.RPO.Missing != 0 {
			t.Errorf("%s: %d writes acknowledged, %d missing", r.Drill, r.RPO.Acknowledged, r.RPO.Missing)
		}
		for _, f := range r.Functions {
			if f.Succeeded == 0 {
				t.Errorf("%s: %s never succeeded in %d attempts", r.Drill, f.Name, f.Attempts)
			}
		}
		for _, m := range r.Verification.History.Models {
			if m.Operations == 0 {
				t.Errorf("%s: the history of %s is empty", r.Drill, m.Model)
			}
		}
	}
}

// A system that breaks its promises must not pass. The programs that the drill
// runs were built with a check switched off.
func TestDrillsNotice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		off, drill string
		violated   []string
	}{
		{"token-wait,idempotency", "relay-crash", []string{"relationships", "revisions", "idempotency keys"}},
		{"gap-check", "region-loss", []string{"relationships"}},
	} {
		t.Run(tc.off, func(t *testing.T) {
			binary := sabotaged(t, tc.off)
			reports, code := drill(t, tc.drill, "--binary", binary)
			if len(reports) != 1 || code != 1 || reports[0].Verdict != "failed" {
				t.Fatalf("%+v, exit code %d", reports, code)
			}
			got := strings.Join(reports[0].violated(), ", ")
			for _, want := range tc.violated {
				if !strings.Contains(got, want) {
					t.Errorf("violated: %s; want %s", got, want)
				}
			}
		})
	}
}

// sabotaged builds a program with something switched off.
func sabotaged(t *testing.T, off string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "meridian")
	const module = "github.com/meridian-iam/meridian/"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary,
		"-ldflags", "-X "+module+"pkg/sabotage.off="+off, module+"services/meridian")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}
