package project_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/relay"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// The environment of the process that is killed.
const (
	envDatabase = "CRASH_DATABASE"
	envBus      = "CRASH_BUS"
	envLogs     = "CRASH_LOGS"
	envPoint    = "CRASH_POINT"
	envCount    = "CRASH_COUNT"
)

// TestMain runs this binary as the process that is killed when it is started so.
func TestMain(m *testing.M) {
	if os.Getenv(envPoint) != "" {
		if err := victim(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The places where the victim kills itself; "outside" is a kill by the test.
var points = []string{
	"after commit", "before publish", "after publish", "before mark", "after mark", "in projection", "outside",
}

// bomb kills this process at the n-th call for its point.
type bomb struct {
	point string
	left  atomic.Int64
}

func (b *bomb) pass(point string) {
	if point == b.point && b.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// victim commits, relays and projects until it dies. It prints each commit that
// was acknowledged.
func victim(ctx context.Context) error {
	count, err := strconv.Atoi(os.Getenv(envCount))
	if err != nil {
		return err
	}
	b := &bomb{point: os.Getenv(envPoint)}
	b.left.Store(int64(count))
	db, err := sqldb.Open(ctx, sqldb.Config{URL: secret.NewString(os.Getenv(envDatabase))})
	if err != nil {
		return err
	}
	shared, err := bus.Open(ctx, bus.Config{URL: os.Getenv(envBus), Region: region}, quiet())
	if err != nil {
		return err
	}
	store := eventlog.New(eventlog.Config{DB: db, Region: region})
	r := relay.New(relay.Config{
		DB: db, Store: store, Bus: shared, Region: region, Holder: rand.Text(), Page: 5,
		Sweep: 5 * time.Millisecond, Lease: 100 * time.Millisecond,
		Hooks: relay.Hooks{
			BeforePublish: func(eventlog.Recorded) error { b.pass("before publish"); return nil },
			AfterPublish:  func(eventlog.Recorded) { b.pass("after publish") },
			BeforeMark:    func([]eventlog.Pending) { b.pass("before mark") },
			AfterMark:     func([]eventlog.Pending) { b.pass("after mark") },
		},
	})
	broken := make(chan error, 3)
	go func() { broken <- r.Run(ctx) }()
	go func() {
		broken <- project.RunRows(ctx, project.Config{Bus: shared, DB: db, Store: store},
			&seen{hook: func() { b.pass("in projection") }})
	}()
	go func() { broken <- write(ctx, db, store, r, b) }()
	return <-broken
}

func write(ctx context.Context, db *sqldb.DB, store *eventlog.Store, r *relay.Relay, b *bomb) error {
	for {
		for log := range strings.SplitSeq(os.Getenv(envLogs), ",") {
			n := 1 + mathrand.IntN(3)
			if err := commit(ctx, db, store, log, n); err != nil {
				return err
			}
			head, err := store.Head(ctx, db.Pool(), log)
			if err != nil {
				return err
			}
			fmt.Println(log, head.Sequence)
			b.pass("after commit")
			r.Nudge(region)
		}
	}
}

// kill runs the victim until it is dead and returns what it acknowledged.
func kill(t *testing.T, f *fixture, server *external, logs []string, point string) map[string]uint64 {
	t.Helper()
	count := 1 + mathrand.IntN(40)
	if point == "in projection" {
		count = 1 + mathrand.IntN(60)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDatabase+"="+f.url.Reveal(), envBus+"="+server.URL(),
		envLogs+"="+strings.Join(logs, ","), envPoint+"="+point, envCount+"="+strconv.Itoa(count))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	acknowledged := map[string]uint64{}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		log, digits, _ := strings.Cut(lines.Text(), " ")
		sequence, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			t.Fatalf("victim said %q", lines.Text())
		}
		acknowledged[log] = sequence
		if point == "outside" && n == count {
			_ = cmd.Process.Kill()
		}
	}
	err = cmd.Wait()
	if !watchdog.Stop() {
		t.Fatalf("%s: the victim did not die", point)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("%s: the victim ended by itself: %v", point, err)
	}
	return acknowledged
}

// Killed anywhere, nothing is lost, nothing is repeated, and all copies agree.
func TestKilledAnywhere(t *testing.T) {
	f := newFixture(t)
	createSeen(t, f.db)
	server := serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	logs := []string{newLog(), newLog(), newLog()}
	follower := f.follow(t)
	replicas, attachments := map[string]*replica{}, map[string]*project.Attachment{}
	for _, log := range logs {
		replicas[log] = newReplica(t, 0)
		attachments[log] = follower.Attach(log, 0, replicas[log].apply)
	}
	acknowledged := map[string]uint64{}
	for range 2 {
		for _, point := range points {
			for log, sequence := range kill(t, f, server, logs, point) {
				if sequence <= acknowledged[log] {
					t.Fatalf("%s: %d was acknowledged after %d", log, sequence, acknowledged[log])
				}
				acknowledged[log] = sequence
			}
		}
	}
	f.relay(t)
	f.relay(t) // two at once
	f.rows(t, &seen{})
	f.drained(t)
	for _, log := range logs {
		head, err := f.store.Head(t.Context(), f.db.Pool(), log)
		if err != nil {
			t.Fatal(err)
		}
		if head.Sequence < acknowledged[log] || acknowledged[log] == 0 {
			t.Fatalf("%s: %d was acknowledged, the head is %d", log, acknowledged[log], head.Sequence)
		}
		f.sound(t, log, head.Sequence)
		replicas[log].wait(attachments[log], head.Sequence)
		until(t, "the rows are complete", func() bool { return f.rowsOf(t, log) == head.Sequence })
		t.Logf("%s: %d events, %d acknowledged", log, head.Sequence, acknowledged[log])
	}
	noHalts(t, f)
}
