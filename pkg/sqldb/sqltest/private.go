package sqltest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
)

const folderPrefix = "meridian-sqltest-"

// startPrivate starts the server of this test binary. It ends with the binary.
func startPrivate(ctx context.Context) (secret.String, error) {
	sweep(os.TempDir())
	dir, err := os.MkdirTemp("", folderPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return secret.String{}, err
	}
	started, err := pglocal.Start(ctx, pglocal.Options{Dir: dir, Fast: true})
	if err != nil {
		return secret.String{}, errors.Join(err, os.RemoveAll(dir))
	}
	return started.URL(), nil
}

// sweep removes the directories of test binaries that are gone. Errors do not
// matter: a directory of another user, or one that a dying server still writes
// to, is left to the next sweep.
func sweep(temporary string) {
	found, _ := filepath.Glob(filepath.Join(temporary, folderPrefix+"*")) // the pattern is well-formed
	for _, dir := range found {
		rest := strings.TrimPrefix(filepath.Base(dir), folderPrefix)
		number, _, _ := strings.Cut(rest, "-")
		if pid, err := strconv.Atoi(number); err == nil && pid > 0 && absent(pid) {
			_ = os.RemoveAll(dir)
		}
	}
}

func absent(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return true
	}
	defer func() { _ = process.Release() }()
	err = process.Signal(syscall.Signal(0))
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH)
}
