package browsertest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/browsertest"
)

// running returns the parents of all processes that have not ended.
func running(t *testing.T) map[int]int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	parents := map[int]int{}
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended in the meantime
		}
		// The name, in parentheses, may hold anything.
		fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(string(fields[1]))
		if state := fields[0][0]; state != 'Z' && state != 'X' {
			parents[pid] = parent
		}
	}
	return parents
}

// below returns the processes below one.
func below(parents map[int]int, root int) []int {
	var out []int
	for pid := range parents {
		for at, known := parents[pid], true; known; at, known = parents[at] {
			if at == root {
				out = append(out, pid)
				break
			}
		}
	}
	return out
}

// Nothing runs on when the test has ended.
func TestProcessesEnd(t *testing.T) {
	var started []int
	t.Run("test", func(t *testing.T) {
		browsertest.Open(t).Page(t).Goto("about:blank")
		started = below(running(t), os.Getpid())
	})
	if len(started) < 3 {
		t.Fatalf("%d processes: there must be a browser, a page and a driver", len(started))
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		left := 0
		now := running(t)
		for _, pid := range started {
			if _, alive := now[pid]; alive {
				left++
			}
		}
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d processes run on", left, len(started))
		}
	}
	t.Logf("%d processes have ended", len(started))
}
