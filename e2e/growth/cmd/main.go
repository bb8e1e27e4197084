// Command growth measures what Meridian costs as regions and organizations
// grow: it starts deployments on this machine, fills them step by step, measures
// at each step, prints a table and what follows from it, and removes everything.
// With -simulate it computes from measured costs what cannot be run here.
//
//	go run ./e2e/growth/cmd -regions 1,2,3 -organizations 1000,10000,100000 -limit 20m -out growth
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/e2e/growth"
)

const examples = `
Examples:
  go run ./e2e/growth/cmd -out growth                          # 1, 2 and 3 regions; 1 000, 10 000 and 100 000 organizations
  go run ./e2e/growth/cmd -regions 1,3 -organizations 1000,10000 -limit 5m -out small
  go run ./e2e/growth/cmd -regions 2 -organizations 200 -seconds 2 -json
  go run ./e2e/growth/cmd -simulate -from growth               # runs nothing: computes from results/growth.json
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	regions, organizations []int
	workers, samples, cold int
	limit                  time.Duration
	seconds, idle          time.Duration
	simulate, json         bool
	out, from              string
}

// run returns the exit code: 0, 1 for a failure, 2 for wrong flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "growth:", err)
		return 2
	}
	if err := o.do(ctx, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "growth:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("growth", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, "Measures what Meridian costs as regions and organizations grow.\n\n")
		f.PrintDefaults()
		fmt.Fprint(stderr, examples)
	}
	regions := f.String("regions", "1,2,3", "numbers of regions; each is a deployment of its own")
	organizations := f.String("organizations", "1000,10000,100000", "numbers of organizations, ascending; a deployment grows from one to the next")
	f.DurationVar(&o.limit, "limit", 20*time.Minute, "how long organizations are created in one deployment; what was reached by then is measured, and nothing is extrapolated")
	f.DurationVar(&o.seconds, "seconds", 8*time.Second, "how long each measure of a rate takes")
	f.DurationVar(&o.idle, "idle", 20*time.Second, "how long the cost without load is measured")
	f.IntVar(&o.workers, "workers", 32, "calls at once while organizations are created; each waits for the database most of the time")
	f.IntVar(&o.samples, "samples", 90, "writes for the lag, and organizations that are asked about in a closed loop")
	f.IntVar(&o.cold, "cold", 400, "organizations that are asked about for the first time, at each step")
	f.BoolVar(&o.json, "json", false, "print the figures as JSON instead of tables")
	f.StringVar(&o.out, "out", "", "also keep tables and figures as e2e/growth/results/NAME.md and NAME.json")
	f.BoolVar(&o.simulate, "simulate", false, "start nothing: compute what larger deployments need, from the costs of the kept run -from, or of growth")
	f.StringVar(&o.from, "from", "", "start nothing: print the tables of a kept run again, a name under e2e/growth/results")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.regions, err = numbers(*regions); err != nil || slices.Max(o.regions) > len(regionNames()) {
		return o, fmt.Errorf("-regions: %q must be numbers from 1 to %d, with commas", *regions, len(regionNames()))
	}
	if o.organizations, err = numbers(*organizations); err != nil || !slices.IsSorted(o.organizations) {
		return o, fmt.Errorf("-organizations: %q must be ascending numbers from 1 on, with commas", *organizations)
	}
	if o.simulate && o.from == "" {
		o.from = "growth"
	}
	switch {
	case f.NArg() > 0:
		return o, errors.New("flags only: there is an argument too many")
	case o.workers < 1 || o.samples < 1 || o.cold < 1 || o.seconds <= 0 || o.idle <= 0 || o.limit <= 0:
		return o, errors.New("-workers, -samples, -cold, -seconds, -idle and -limit must be more than 0")
	case strings.ContainsAny(o.out+o.from, `/\`):
		return o, errors.New("-out and -from are names, not paths")
	}
	return o, nil
}

func numbers(text string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 {
			return []int{0}, fmt.Errorf("%q is no number from 1 on", part)
		}
		out = append(out, n)
	}
	return out, nil
}

func (o options) do(ctx context.Context, stdout, stderr io.Writer) error {
	root, err := root(ctx)
	if err != nil {
		return err
	}
	results := filepath.Join(root, "e2e", "growth", "results")
	if o.from != "" {
		kept, err := read(filepath.Join(results, o.from+".json"))
		if err != nil {
			return err
		}
		text := growth.Report(kept)
		if o.simulate {
			text = growth.Planet(growth.CostsOf(kept.Steps))
		}
		_, err = io.WriteString(stdout, text)
		return err
	}
	b := &bench{o: o, root: root, stderr: stderr, began: time.Now()}
	if err := b.all(ctx); err != nil && len(b.run.Steps) == 0 {
		return err
	} else if err != nil {
		b.warnf("ended early: %v", err)
	}
	b.run.Machine = machine(ctx, root)
	text := growth.Report(b.run)
	figures, err := json.MarshalIndent(b.run, "", "  ")
	if err != nil {
		return err
	}
	figures = append(figures, '\n')
	if o.out != "" {
		err = errors.Join(os.MkdirAll(results, 0o755), //nolint:gosec // part of the repository
			os.WriteFile(filepath.Join(results, o.out+".md"), []byte(text), 0o644), //nolint:gosec // part of the repository
			os.WriteFile(filepath.Join(results, o.out+".json"), figures, 0o644))    //nolint:gosec // part of the repository
	}
	printed := []byte(text)
	if o.json {
		printed = figures
	}
	_, failed := stdout.Write(printed)
	return errors.Join(err, failed, b.failed)
}

func read(path string) (growth.Run, error) {
	var kept growth.Run
	content, err := os.ReadFile(path)
	if err != nil {
		return kept, err
	}
	if err := json.Unmarshal(content, &kept); err != nil {
		return kept, fmt.Errorf("%s: %w", path, err)
	}
	return kept, nil
}

func root(ctx context.Context) (string, error) {
	work, err := output(exec.CommandContext(ctx, "go", "env", "GOWORK"))
	if err != nil || work == "" {
		return "", errors.Join(errors.New("run it inside the repository: there is no go.work"), err)
	}
	return filepath.Dir(work), nil
}

// output runs a command to its end and returns what it printed.
func output(cmd *exec.Cmd) (string, error) {
	text, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(text)), err
}
