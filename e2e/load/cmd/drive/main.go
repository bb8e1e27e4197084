// Command drive loads a work set into a running Meridian and measures it in a
// closed loop: each worker asks its next question when it has the answer to the
// one before. It prints one line of JSON for each run, and fails when an answer
// was wrong.
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
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
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

// The modes.
const (
	modeLoad    = "load"
	modeCheck   = "check"
	modeVisible = "visible"
)

type options struct {
	url          string
	token        secret.String
	mode         string
	workset      string
	organization string
	state        string
	split        bool
	strong       bool
	workers      int
	seconds      int
	warmup       int
	rounds       int
	batch        int
	hot          int
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("drive", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.url, "url", "http://127.0.0.1:8080", "where Meridian answers")
	token := f.String("token", os.Getenv("MERIDIAN_TOKEN"), "platform token with level admin; absent: $MERIDIAN_TOKEN")
	f.StringVar(&o.mode, "mode", modeCheck, "load, check or visible")
	f.StringVar(&o.workset, "workset", "", "folder of the work set (required)")
	f.StringVar(&o.organization, "organization", "", "use this organization; absent: load makes one, and the other modes find it in -state")
	f.StringVar(&o.state, "state", "", "file in which load keeps what the other modes need to know")
	f.BoolVar(&o.split, "split", false, "load: an organization for each one of the work set, instead of one for all")
	read := f.String("read", "fast", "check and visible: fast (minimize_latency) or strong (fully_consistent)")
	f.IntVar(&o.workers, "workers", 8, "calls at the same time")
	f.IntVar(&o.seconds, "seconds", 10, "check: how long to measure")
	f.IntVar(&o.warmup, "warmup", 2, "check: seconds before that")
	f.IntVar(&o.rounds, "rounds", 100, "visible: relationships to write and delete")
	f.IntVar(&o.batch, "batch", 5000, "load: relationships in one message, at most 10000")
	f.IntVar(&o.hot, "hot", 0, "check: ask only the first of this many checks, over and over; 0 asks all")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.token = secret.NewString(*token)
	o.strong = *read == "strong"
	if *read != "fast" && *read != "strong" {
		return o, fmt.Errorf("-read is %q: must be fast or strong", *read)
	}
	return o, o.validate(f.NArg())
}

func (o options) validate(arguments int) error {
	base, err := url.Parse(o.url)
	switch {
	case arguments > 0:
		return errors.New("flags only: there is an argument too many")
	case err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https"):
		return errors.New("-url must be as http://host:port or https://host:port")
	case o.mode != modeLoad && o.mode != modeCheck && o.mode != modeVisible:
		return fmt.Errorf("-mode is %q: must be load, check or visible", o.mode)
	case o.workset == "":
		return errors.New("-workset is required")
	case o.token.IsZero():
		return errors.New("-token is required")
	case o.split && o.organization != "":
		return errors.New("-split and -organization exclude each other")
	case o.state == "" && (o.split || o.mode != modeLoad && o.organization == ""):
		return errors.New("-state is required, to know the organizations")
	}
	for name, n := range map[string]int{"workers": o.workers, "seconds": o.seconds, "rounds": o.rounds, "batch": o.batch} {
		if n < 1 || n > 10_000 {
			return fmt.Errorf("-%s is %d: must be from 1 to 10000", name, n)
		}
	}
	if o.warmup < 0 || o.hot < 0 {
		return errors.New("-warmup and -hot must not be negative")
	}
	return nil
}

// drive runs one measure and prints its result.
func drive(ctx context.Context, o options, stdout io.Writer) error {
	c := newClient(o.url, o.token, o.workers)
	r := &result{
		Mode: o.mode, WorkSet: o.workset, Workers: o.workers, Read: "fast",
		At: time.Now().UTC().Format(time.RFC3339),
	}
	if o.strong {
		r.Read = "strong"
	}
	var err error
	switch o.mode {
	case modeLoad:
		err = load(ctx, c, o, r)
	case modeCheck:
		err = check(ctx, c, o, r)
	case modeVisible:
		err = visible(ctx, c, o, r)
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(r); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	switch {
	case r.Wrong > 0:
		return fmt.Errorf("%d answers were wrong, the last one: %s", r.Wrong, r.LastWrong)
	case r.Errors > 0:
		return fmt.Errorf("%d calls failed, the last one: %s", r.Errors, r.LastError)
	}
	return nil
}
