package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/load/workset"
)

func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	var stdout, stderr bytes.Buffer
	args := []string{"-preset", "medium", "-orgs", "3", "-checks", "90", "-lists", "5", "-probes", "6", "-out", dir, "--json"}
	if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var summary workset.Summary
	if err := json.Unmarshal(stdout.Bytes(), &summary); err != nil {
		t.Fatal(err)
	}
	checks, err := workset.ReadChecks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Organizations != 3 || summary.Checks != 90 || len(checks) != 90 {
		t.Errorf("%d checks are in the file, and the summary is %+v", len(checks), summary)
	}

	stdout.Reset()
	if code := run(t.Context(), args[:len(args)-1], &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "table#parent") {
		t.Errorf("exit code %d, output %q", code, &stdout)
	}
}

func TestRunRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"no folder":          {nil, 2},
		"an unknown preset":  {[]string{"-preset", "huge", "-out", dir}, 2},
		"an unknown flag":    {[]string{"-size", "1", "-out", dir}, 2},
		"an argument":        {[]string{"-out", dir, "small"}, 2},
		"no organizations":   {[]string{"-orgs", "0", "-out", dir}, 1},
		"a file in the way":  {[]string{"-out", "main.go"}, 1},
		"help is no failure": {[]string{"-h"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), c.args, &stdout, &stderr); code != c.code || stderr.Len() == 0 {
				t.Errorf("exit code %d, want %d; it says %q", code, c.code, &stderr)
			}
		})
	}
}
