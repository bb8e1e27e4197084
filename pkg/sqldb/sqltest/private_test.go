package sqltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	t.Parallel()
	gone := exec.CommandContext(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	for name, stays := range map[string]bool{
		folderPrefix + strconv.Itoa(gone.Process.Pid) + "-1": false,
		folderPrefix + strconv.Itoa(os.Getpid()) + "-1":      true,
		folderPrefix + "word":                                true,
		"other-" + strconv.Itoa(gone.Process.Pid):            true,
	} {
		if err := os.MkdirAll(filepath.Join(temporary, name, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(filepath.Join(temporary, name)); (err == nil) != stays {
				t.Errorf("%s: stays %v, want %v", name, err == nil, stays)
			}
		}()
	}
	sweep(temporary)
}
