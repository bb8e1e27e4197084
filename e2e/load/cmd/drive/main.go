// Command drive loads a work set into a running authorization service and
// measures it in a closed loop: each worker asks its next question when it has
// the answer to the one before. It prints one line of JSON for each run, and
// fails when an answer was wrong.
//
//	go run ./e2e/load/cmd/drive -mode load    -workset set -state state.json -url … -token …
//	go run ./e2e/load/cmd/drive -mode check   -workset set -state state.json -url … -token … -workers 8 -seconds 10
//	go run ./e2e/load/cmd/drive -mode visible -workset set -state state.json -url … -token …
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/result"
	"github.com/meridian-iam/meridian/e2e/load/target"
	"github.com/meridian-iam/meridian/e2e/load/usage"
)

func main() {
	// The questions stay in memory: looking at them again and again would take
	// processor time from what is measured.
	debug.SetGCPercent(800)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0, 1 for a failure or a wrong answer, 2 for wrong
// flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "drive:", err)
		return 2
	}
	if err := drive(ctx, o, stdout); err != nil {
		fmt.Fprintln(stderr, "drive:", err)
		return 1
	}
	return 0
}

// drive runs one measure and prints its result.
func drive(ctx context.Context, o options, stdout io.Writer) error {
	r := &result.Result{
		Target: o.target, Label: o.label, Mode: o.mode, WorkSet: o.workset, Workers: o.workers, Read: o.read, Hot: o.hot,
		At: time.Now().UTC().Format(time.RFC3339),
	}
	stop, err := profile(o.profile)
	if err != nil {
		return err
	}
	if err := errors.Join(measure(ctx, o, r), stop()); err != nil {
		return err
	}
	if o.who.Server != 0 {
		r.ServerBytes = usage.Resident(o.who.Server)
	}
	if o.who.Database != 0 {
		r.DatabaseBytes = usage.Proportional(o.who.Database)
	}
	if err := json.NewEncoder(stdout).Encode(r); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	switch {
	case r.Wrong > 0:
		return fmt.Errorf("%d answers were wrong, the last one: %s", r.Wrong, r.LastWrong)
	case r.Errors > 0:
		return fmt.Errorf("%d calls failed, the last one: %s", r.Errors, r.LastError)
	case r.Ops == 0:
		return errors.New("no call ended in the measured time: measure longer")
	}
	return nil
}

// measure runs the mode.
func measure(ctx context.Context, o options, r *result.Result) error {
	switch o.mode {
	case modeEmbedded:
		return embedded(ctx, o, r)
	case modeEmbeddedList:
		return embeddedList(ctx, o, r)
	}
	t, err := o.open()
	if err != nil {
		return err
	}
	defer t.Close()
	if o.mode == modeLoad {
		return load(ctx, t, o, r)
	}
	if err := t.Restore(ctx); err != nil {
		return err
	}
	run := map[string]func(context.Context, target.Target, options, *result.Result) error{
		modeCheck: check, modeBatch: batch, modeList: list, modeVisible: visible,
	}
	return run[o.mode](ctx, t, o, r)
}

// profile writes a processor profile of this program until stop is called.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}
