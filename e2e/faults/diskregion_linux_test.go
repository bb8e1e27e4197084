package faults_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
)

const east, west = "us-east", "eu-west"

// The disk of one region's NATS is full: its streams take no writes. Commits need
// no stream and go on; the other region's relay publishes what this one cannot.
// NATS gives up a stream that it could not write until its server starts again,
// which is the operator's to do, and the test's.
// It is not parallel: two regions are enough for the machine.
func TestDiskOfOneRegionFull(t *testing.T) {
	dir := t.TempDir()
	disk := smallDisk(t, filepath.Join(dir, "regions", west, "nats"), "64m")
	d := harness.StartDev(t, dir, "--regions", east+","+west)
	t.Cleanup(func() { d.Stop(t) })
	o := openAt(t, meridian.New(d.Regions[west], d.AdminToken), "full", west)
	far := organization{id: o.id, client: meridian.New(d.Regions[east], d.AdminToken)}
	w := startWriters(t, o, "region")
	w.acknowledged(t, 50)

	remove := fill(t, disk)
	w.acknowledged(t, 50)
	for i := range 10 {
		user := fmt.Sprintf("user:region-full-%d", i)
		revision, err := o.write(t.Context(), user)
		if err != nil {
			t.Fatalf("a write while the disk is full: %s", describe(err))
		}
		w.note(user, revision, nil)
		for _, reader := range []organization{o, far} {
			if allowed, err := reader.check(t.Context(), user, revision, 0); err != nil || !allowed {
				t.Errorf("%s at its revision: %v, %s", user, allowed, describe(err))
			}
			if _, err := reader.check(t.Context(), user, "", time.Second); err != nil {
				t.Errorf("a check within a second: %s", describe(err))
			}
		}
	}
	instead := "log." + east + "." + o.id + ".>"
	harness.Eventually(t, "the other region publishes instead", func() error {
		if count(t, d, east, instead) == 0 {
			return errTooFew
		}
		return nil
	})

	remove()
	restartNATS(t, d, west)
	home := "log." + west + "." + o.id + ".>"
	before := count(t, d, west, home)
	harness.Eventually(t, "the region publishes again", func() error {
		if now := count(t, d, west, home); now <= before {
			return fmt.Errorf("%d events: %w", now, errTooFew)
		}
		return nil
	})
	w.acknowledged(t, 50)
	w.end()
	for user, err := range w.errors {
		t.Errorf("%s: %s; writes need no NATS", user, describe(err))
	}
	w.settle(t, far)
	for _, region := range []string{east, west} {
		harness.Eventually(t, "all copies are equal in "+region, func() error {
			r := d.Run(t, "--region", region, "log", "verify")
			if r.Code != 0 || !strings.Contains(r.Stdout, " 0 with a difference") {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
}

// count is how many messages of a subject a region's own stream has; 0 when it
// does not answer.
func count(t *testing.T, d *harness.Dev, region, subject string) uint64 {
	t.Helper()
	conn, err := nats.Connect(d.BusURL(t, region))
	if err != nil {
		return 0
	}
	defer conn.Close()
	js, err := conn.JetStream()
	if err != nil {
		return 0
	}
	stream := "LOG_" + strings.ReplaceAll(strings.ToUpper(region), "-", "_")
	info, err := js.StreamInfo(stream, &nats.StreamInfoRequest{SubjectsFilter: subject})
	if err != nil {
		return 0
	}
	messages := uint64(0)
	for _, n := range info.State.Subjects {
		messages += n
	}
	return messages
}

// restartNATS does what an operator does.
func restartNATS(t *testing.T, d *harness.Dev, region string) {
	t.Helper()
	config := d.RegionFile(region, "nats.conf")
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, command := range commands {
		args, err := os.ReadFile(command)
		if err != nil || !bytes.Contains(args, []byte("\x00nats\x00--config\x00"+config+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(command)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed != 1 {
		t.Fatalf("%d servers of %s", killed, region)
	}
	server := harness.Start(t, "nats", "--config", config)
	harness.Eventually(t, "NATS serves again", func() error {
		if !strings.Contains(server.Output(), "serves on") {
			return fmt.Errorf("%w: %s", errTooFew, server.Output())
		}
		return nil
	})
}
