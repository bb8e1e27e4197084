package pglocal

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

func supported() error { return nil }

// attributes: an end with the parent, by the signal quit, a process group of its
// own, and the rights of user when this process has to give up its own.
func attributes(user *account, quit syscall.Signal) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: quit}
	if user != nil {
		a.Credential = &syscall.Credential{Uid: user.uid, Gid: user.gid}
	}
	return a
}

// handleOf returns the path at which a child finds its first inherited file.
func handleOf(string) (path string, inherited bool) { return "/proc/self/fd/3", true }

func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// servesDir says whether the process is a database server that works in dir:
// the current directory of a server is its data directory.
func servesDir(pid int, dir string) bool {
	at, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil {
		return false
	}
	real, err := filepath.EvalSymlinks(dir)
	return err == nil && at == real
}
