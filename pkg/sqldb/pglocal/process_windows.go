package pglocal

import (
	"errors"
	"os"
	"syscall"
)

func supported() error {
	return errors.New("a local database cannot be started on Windows: give a database URL instead")
}

func attributes(*account, syscall.Signal) *syscall.SysProcAttr { return nil }

func handleOf(path string) (string, bool) { return path, false }

func lockFile(*os.File) error { return nil }

func servesDir(int, string) bool { return false }
