// Command census measures what calls about organizations and people cost with
// more and more of them: it starts a deployment on this machine, copies rows into
// its tables step by step, measures at each step through its API, prints a table,
// and removes everything.
//
//	go run ./e2e/census/cmd -sizes 1000/10000,10000/100000,100000/1000000 -out census
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/e2e/census"
)

const examples = `
Examples:
  go run ./e2e/census/cmd -out census          # up to 100 000 organizations and 1 000 000 users: about 3 minutes, 6 GiB of disk
  go run ./e2e/census/cmd -small               # 1 000 and 10 000: less than a minute
  go run ./e2e/census/cmd -from census         # runs nothing: the tables of the kept run again
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	sizes       []census.Size
	calls, slow int
	out, from   string
}

// run returns the exit code: 0, 1 for a failure or a wrong answer, 2 for wrong
// flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "census:", err)
		return 2
	}
	if err := o.do(ctx, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "census:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("census", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, "Measures calls about organizations and people with more and more of them.\n\n")
		f.PrintDefaults()
		fmt.Fprint(stderr, examples)
	}
	sizes := f.String("sizes", "1000/10000,10000/100000,100000/1000000", "organizations/users, ascending; a deployment grows from one to the next")
	small := f.Bool("small", false, "the smallest of the sizes only, and fewer calls: to see that it works")
	f.IntVar(&o.calls, "calls", 400, "calls of each kind, at each size")
	f.IntVar(&o.slow, "slow", 100, "calls of those that hash a password")
	f.StringVar(&o.out, "out", "", "also keep tables and figures as e2e/census/results/NAME.md and NAME.json")
	f.StringVar(&o.from, "from", "", "start nothing: print the tables of a kept run again, a name under e2e/census/results")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.sizes, err = parseSizes(*sizes); err != nil {
		return o, err
	}
	if *small {
		o.sizes, o.calls, o.slow = o.sizes[:1], min(o.calls, 60), min(o.slow, 10)
	}
	// Each round has as many.
	o.calls, o.slow = o.calls-o.calls%rounds, o.slow-o.slow%rounds
	switch {
	case f.NArg() > 0:
		return o, errors.New("flags only: there is an argument too many")
	case o.calls < rounds || o.slow < rounds:
		return o, fmt.Errorf("-calls and -slow must be %d or more", rounds)
	case strings.ContainsAny(o.out+o.from, `/\`):
		return o, errors.New("-out and -from are names, not paths")
	}
	return o, nil
}

// parseSizes reads pairs of organizations and users. A user is in one organization
// or more, and a page in the middle needs some pages.
func parseSizes(text string) (sizes []census.Size, err error) {
	wrong := fmt.Errorf("-sizes: %q must be organizations/users as 1000/10000, with commas, ascending, from %d/%d on and up to 10 million",
		text, leastOrganizations, leastUsers)
	before := census.Size{Organizations: leastOrganizations - 1, Users: leastUsers - 1}
	for part := range strings.SplitSeq(text, ",") {
		left, right, found := strings.Cut(strings.TrimSpace(part), "/")
		organizations, err := strconv.Atoi(left)
		users, failed := strconv.Atoi(right)
		if err != nil || failed != nil || !found || organizations <= before.Organizations || users <= before.Users || max(organizations, users) > 10_000_000 {
			return nil, wrong
		}
		before = census.Size{Organizations: organizations, Users: users}
		sizes = append(sizes, before)
	}
	return sizes, nil
}

const (
	leastOrganizations = 500
	leastUsers         = 5000
)

func (o options) do(ctx context.Context, stdout, stderr io.Writer) error {
	root, err := root(ctx)
	if err != nil {
		return err
	}
	results := filepath.Join(root, "e2e", "census", "results")
	if o.from != "" {
		kept, err := read(filepath.Join(results, o.from+".json"))
		if err != nil {
			return err
		}
		_, err = io.WriteString(stdout, census.Report(kept))
		return err
	}
	b := &bench{o: o, root: root, stderr: stderr, began: time.Now()}
	if err := b.all(ctx); err != nil {
		return err
	}
	text := census.Report(b.run)
	figures, err := json.MarshalIndent(b.run, "", "  ")
	if err != nil {
		return err
	}
	if o.out != "" {
		err = errors.Join(os.MkdirAll(results, 0o755), //nolint:gosec // part of the repository
			os.WriteFile(filepath.Join(results, o.out+".md"), []byte(text), 0o644),            //nolint:gosec // part of the repository
			os.WriteFile(filepath.Join(results, o.out+".json"), append(figures, '\n'), 0o644)) //nolint:gosec // part of the repository
	}
	_, failed := io.WriteString(stdout, text)
	return errors.Join(err, failed)
}

func read(path string) (census.Run, error) {
	var kept census.Run
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
