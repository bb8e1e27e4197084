package usage_test

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/usage"
)

// burn uses processor time until the kernel has counted some.
func burn(counted func() bool) {
	for n := 1; !counted(); n++ {
		for range 1_000_000 {
			n ^= n << 1
		}
	}
}

// What this process uses is the driver's, and neither the server's nor anybody
// else's.
func TestMark(t *testing.T) {
	who := usage.Who{}
	from := who.Now()
	before := usage.Process(os.Getpid())
	burn(func() bool { return usage.Process(os.Getpid())-before >= 300*time.Millisecond })
	c := who.Now().Since(from)
	if c.Driver < 0.05 || c.Server != 0 || c.Database != 0 || c.Foreign < -0.2 {
		t.Errorf("cores are %+v", c)
	}
	if all := usage.Machine(); all < usage.Process(os.Getpid()) {
		t.Errorf("the machine used %v, less than this process", all)
	}
}

// A family's time holds that of children that have ended, and its memory that
// of those that run.
func TestFamily(t *testing.T) {
	before, alone := usage.Family(os.Getpid()), usage.Process(os.Getpid())
	child := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	children := usage.Family(os.Getpid()) - before - (usage.Process(os.Getpid()) - alone)
	if used := child.ProcessState.UserTime(); children < used/2 || used == 0 {
		t.Errorf("the family used %v more than this process, its child alone %v", children, used)
	}
	if usage.Resident(os.Getpid()) < 1<<20 || usage.Proportional(os.Getpid()) < 1<<20 {
		t.Errorf("this process has %d bytes, its family %d", usage.Resident(os.Getpid()), usage.Proportional(os.Getpid()))
	}
}

// A child is found, with what it was called with.
func TestChildren(t *testing.T) {
	child := exec.CommandContext(t.Context(), "sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	if !slices.Contains(usage.Children(os.Getpid()), child.Process.Pid) {
		t.Errorf("the child %d is none of %v", child.Process.Pid, usage.Children(os.Getpid()))
	}
	got := usage.Command(child.Process.Pid)
	for len(got) == 0 && t.Context().Err() == nil { // the kernel is about to write what it was started with
		runtime.Gosched()
		got = usage.Command(child.Process.Pid)
	}
	if !slices.Equal(got, []string{"sleep", "60"}) {
		t.Errorf("its command is %q", got)
	}
}

func TestNoProcess(t *testing.T) {
	const none = 1 << 30
	if usage.Process(none) != 0 || usage.Family(none) != 0 || usage.Resident(none) != 0 || usage.Proportional(none) != 0 ||
		usage.Children(none) != nil || usage.Command(none) != nil {
		t.Error("a process that is not there used something")
	}
}
