package pglocal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal/cockroachtest"
)

// dirVariable makes the test binary a parent of a database: it starts one in the
// directory, prints "<pid> <url>" and stops it in order when its input ends.
const dirVariable = "MERIDIAN_PGLOCAL_TEST_DIR"

func TestMain(m *testing.M) {
	if code, was := cockroachtest.Main(); was {
		os.Exit(code)
	}
	if dir := os.Getenv(dirVariable); dir != "" {
		if err := parent(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func parent(dir string) error {
	server, err := pglocal.Start(context.Background(), pglocal.Options{Dir: dir})
	if err != nil {
		return err
	}
	fmt.Println(server.PID(), server.URL().Reveal())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return server.Stop(context.Background())
}

// separate is a database whose parent is another process.
type separate struct {
	cmd   *exec.Cmd
	stdin io.Closer
	pid   int
	url   string
}

// startSeparate runs the test binary again as a parent of a database; as is nil
// for the same user.
func startSeparate(t *testing.T, binary, dir string, as *syscall.Credential) *separate {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), dirVariable+"="+dir)
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("read what the other process says: %v", err)
	}
	number, address, _ := strings.Cut(strings.TrimSpace(line), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("the other process says %q", line)
	}
	return &separate{cmd: cmd, stdin: stdin, pid: pid, url: address}
}

func TestKilledParentLeavesNoServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := startSeparate(t, os.Args[0], dir, nil)
	execute(t, other.url, "CREATE TABLE kept (n INT); INSERT INTO kept VALUES (7)")
	if err := other.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.cmd.Wait() // killed
	waitFor(t, "the server to end", func() bool { return !running(other.pid) })
	server := start(t, pglocal.Options{Dir: dir, Fast: true})
	if got := number(t, server.URL().Reveal(), "SELECT n FROM kept"); got != 7 {
		t.Fatalf("after the crash the table holds %d, want 7", got)
	}
}

func TestSignalsOfTheTerminalDoNotReachTheServer(t *testing.T) {
	t.Parallel()
	server := start(t, pglocal.Options{Dir: t.TempDir(), Fast: true})
	group, err := syscall.Getpgid(server.PID())
	if err != nil {
		t.Fatal(err)
	}
	if group == syscall.Getpgrp() {
		t.Fatal("the server is in this process's group: Ctrl-C would stop it first")
	}
}

// TestOrdinaryUser runs a parent that is not root, whoever runs the tests.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	as, binary, dir := ordinary(t)
	other := startSeparate(t, binary, dir, as)
	if got := number(t, other.url, "SELECT 1"); got != 1 {
		t.Fatalf("got %d", got)
	}
	info, err := os.Stat(filepath.Join("/proc", strconv.Itoa(other.pid)))
	if err != nil {
		t.Fatal(err)
	}
	if info.Sys().(*syscall.Stat_t).Uid == 0 {
		t.Fatal("the server runs as root")
	}
	if err := other.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.cmd.Wait(); err != nil {
		t.Fatalf("orderly stop: %v", err)
	}
	if running(other.pid) {
		t.Fatal("the server still runs after an orderly stop")
	}
}

// ordinary returns how to run as a user who is not root: the credential (nil for
// the user who runs the tests), a binary and a directory that this user can use.
func ordinary(t *testing.T) (*syscall.Credential, string, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil, os.Args[0], t.TempDir()
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := atoi(t, nobody.Uid), atoi(t, nobody.Gid)
	dir, err := os.MkdirTemp("", "meridian-pglocal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "parent.test")
	if err := os.WriteFile(binary, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, binary, filepath.Join(dir, "db")
}

func TestStalePIDFileOfALiveStranger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, pglocal.Options{Dir: dir, Fast: true})
	owner := ownerOf(t, first.PID())
	stop(t, first)
	stranger := exec.CommandContext(t.Context(), "cat")
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	stranger.Dir = "/"
	input, err := stranger.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "postgresql", "data", "postmaster.pid")
	if err := os.WriteFile(file, []byte(strconv.Itoa(stranger.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, pglocal.Options{Dir: dir, Fast: true})
	if got := number(t, second.URL().Reveal(), "SELECT 1"); got != 1 {
		t.Fatalf("got %d", got)
	}
	if !running(stranger.Process.Pid) {
		t.Fatal("the stranger was ended")
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stranger.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestLeftOverServerIsStopped starts while a server without a parent runs in the
// directory. Such a server cannot be made by killing the parent here, since the
// kernel ends it; so it is started by its own program.
func TestLeftOverServerIsStopped(t *testing.T) {
	t.Parallel()
	_, _, dir := ordinary(t)
	first := start(t, pglocal.Options{Dir: dir, Fast: true})
	owner, program := ownerOf(t, first.PID()), programOf(t, first.PID())
	stop(t, first)
	left := exec.CommandContext(t.Context(), program, "-D", "/proc/self/fd/3/data",
		"-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1", "-p", freePort(t))
	handle, err := os.Open(filepath.Join(dir, "postgresql"))
	if err != nil {
		t.Fatal(err)
	}
	left.ExtraFiles = []*os.File{handle}
	left.Dir = "/"
	left.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "postgresql", "data", "postmaster.pid")
	waitFor(t, "the left-over server", func() bool {
		content, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(content), "ready")
	})
	second := start(t, pglocal.Options{Dir: dir, Fast: true})
	if err := left.Wait(); err != nil {
		t.Fatalf("the left-over server ended with %v", err)
	}
	if got := number(t, second.URL().Reveal(), "SELECT 1"); got != 1 {
		t.Fatalf("got %d", got)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

func programOf(t *testing.T, pid int) string {
	t.Helper()
	program, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// ownerOf returns the credential of a process; nil when it is this user's.
func ownerOf(t *testing.T, pid int) *syscall.Credential {
	t.Helper()
	info, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid)))
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
}

// running says whether a process exists and is no zombie.
func running(pid int) bool {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	bound := time.NewTimer(30 * time.Second)
	defer bound.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-bound.C:
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
