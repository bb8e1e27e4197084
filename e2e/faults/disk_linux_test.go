package faults_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// smallDisk mounts a file system at a folder, which only root may.
func smallDisk(t *testing.T, dir, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount the small disk that this test fills")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fill takes what room is left on a disk; remove gives it back.
func fill(t *testing.T, dir string) (remove func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk ended with %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, t.TempDir(), "256m")
	d := harness.StartDev(t, dir)
	o := open(t, d.Client(), "full")
	w := startWriters(t, o, "disk")
	w.acknowledged(t, 50)
	remove := fill(t, dir)
	w.failed(t, 25*writerCount)
	remove()
	w.acknowledged(t, 50)
	w.end()
	for _, err := range w.errors {
		typed(t, err, commonv1.Reason_DISK_FULL, commonv1.Reason_DATABASE_UNAVAILABLE, commonv1.Reason_OUTCOME_UNKNOWN)
	}
	w.settle(t, o)
	// The stream is on the same disk. NATS gives up a stream that it could not
	// write; the process starts its server again, and the outbox drains.
	drained(t, d.URL)
	verify(t, d.URL, d.AdminToken)
	d.Stop(t)
	d = harness.StartDev(t, dir)
	drained(t, d.URL)
	verify(t, d.URL, d.AdminToken)
}
