package pglocal

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

func supported() error { return nil }

// attributes: a process group of its own, and the rights of user when this
// process has to give up its own.
func attributes(user *account, _ syscall.Signal) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if user != nil {
		a.Credential = &syscall.Credential{Uid: user.uid, Gid: user.gid}
	}
	return a
}

// handleOf returns the path itself: there is no /proc here.
func handleOf(path string) (string, bool) { return path, false }

func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// servesDir says whether the process is a database server of dir: its command
// line names the directory.
func servesDir(pid int, dir string) bool {
	out, err := exec.Command("/bin/ps", "-p", strconv.Itoa(pid), "-o", "command=").Output()
	return err == nil && strings.Contains(string(out), dir)
}
