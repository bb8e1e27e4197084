package browsertest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// start starts a process in a group of its own, and ends the group with the test.
func start(t testing.TB, c *exec.Cmd) error {
	c.SysProcAttr = attributes()
	c.WaitDelay = time.Second
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		// The kernel ends the process with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait() // how it ended is of no interest: it was killed
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("run %s: %w", c.Path, err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	return nil
}

// newProfile makes a folder that is gone after the test. Processes that were
// killed may still write into it for a moment, so its removal is repeated.
func newProfile(t testing.TB) (string, error) {
	profile, err := os.MkdirTemp("", "browsertest")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() {
		const patience = 10 * time.Second
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		enough := time.After(patience)
		for {
			err := os.RemoveAll(profile)
			if err == nil {
				return
			}
			select {
			case <-again.C:
			case <-enough:
				t.Errorf("browser: remove the profile: %v", err)
				return
			}
		}
	})
	return profile, nil
}
