// Command gen writes a work set: relationships, and questions about them whose
// answers are known. The same flags give the same files.
//
//	go run ./e2e/load/cmd/gen -preset small -out folder
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/e2e/load/workset"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0, 1 for a failure, 2 for wrong flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "gen:", err)
		return 2
	}
	summary, err := workset.Generate(ctx, o.sizes, o.out, bar(stderr))
	if err != nil {
		fmt.Fprintln(stderr, "gen:", err)
		return 1
	}
	if err := o.report(stdout, summary); err != nil {
		fmt.Fprintln(stderr, "gen:", err)
		return 1
	}
	return 0
}

type options struct {
	preset, out string
	json        bool
	sizes       workset.Sizes
}

// parse reads the flags twice: first for the preset, which is the default of
// all others.
func parse(args []string, stderr io.Writer) (options, error) {
	o := options{preset: "small"}
	first := flags(&o, io.Discard)
	if err := first.Parse(args); err != nil && !errors.Is(err, flag.ErrHelp) {
		return o, err
	}
	sizes, err := workset.Preset(o.preset)
	if err != nil {
		return o, err
	}
	o.sizes = sizes
	second := flags(&o, stderr)
	if err := second.Parse(args); err != nil {
		return o, err
	}
	switch {
	case second.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", second.Arg(0))
	case o.out == "":
		return o, errors.New("-out is required")
	}
	return o, nil
}

func flags(o *options, output io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("gen", flag.ContinueOnError)
	f.SetOutput(output)
	f.StringVar(&o.preset, "preset", o.preset, "small (10 thousand tuples), medium (1 million) or large (10 million)")
	f.StringVar(&o.out, "out", o.out, "folder to write (required)")
	f.BoolVar(&o.json, "json", o.json, "print the summary as JSON")
	s := &o.sizes
	f.Uint64Var(&s.Seed, "seed", s.Seed, "seed of the random numbers")
	f.IntVar(&s.Organizations, "orgs", s.Organizations, "organizations")
	f.IntVar(&s.Users, "users", s.Users, "users in an average organization")
	f.IntVar(&s.Groups, "groups", s.Groups, "groups in an average organization")
	f.IntVar(&s.Services, "services", s.Services, "services in an average organization")
	f.IntVar(&s.Databases, "databases", s.Databases, "databases in an average service")
	f.IntVar(&s.Tables, "tables", s.Tables, "tables in a database")
	f.IntVar(&s.Pipes, "pipes", s.Pipes, "pipes in a service")
	f.IntVar(&s.Dashboards, "dashboards", s.Dashboards, "dashboards in an average organization")
	f.IntVar(&s.GuestPercent, "guests", s.GuestPercent, "percent of the grants to users that go to other organizations' users")
	f.IntVar(&s.OpenPercent, "wildcards", s.OpenPercent, "percent of the dashboards that are open to every user")
	f.IntVar(&s.BannedPercent, "banned", s.BannedPercent, "percent of the tables that ban a user")
	f.IntVar(&s.Checks, "checks", s.Checks, "checks to write")
	f.IntVar(&s.Lists, "lists", s.Lists, "lists to write")
	f.IntVar(&s.Probes, "probes", s.Probes, "write-to-visible probes to write")
	f.Float64Var(&s.SizeSkew, "size-skew", s.SizeSkew, "x: an organization's size is proportional to rank^-x")
	f.Float64Var(&s.AskSkew, "zipf", s.AskSkew, "x: an organization's share of the checks is proportional to rank^-x")
	return f
}

func (o options) report(w io.Writer, s workset.Summary) error {
	if o.json {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(s)
	}
	rows := [][2]any{
		{"organizations", s.Organizations},
		{"tuples", s.Tuples},
		{"  in the largest organization", s.LargestTuples},
	}
	for _, relation := range slices.Sorted(maps.Keys(s.TuplesByRelation)) {
		rows = append(rows, [2]any{"  " + relation, s.TuplesByRelation[relation]})
	}
	rows = append(rows, [2]any{"checks", s.Checks}, [2]any{"  true", s.ChecksTrue})
	for _, kind := range slices.Sorted(maps.Keys(s.ChecksByKind)) {
		rows = append(rows, [2]any{"  " + kind, s.ChecksByKind[kind]})
	}
	rows = append(rows, [2]any{"lists", s.Lists}, [2]any{"  objects", s.ListObjects}, [2]any{"probes", s.Probes})
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "%-30v %10v\n", row[0], row[1]); err != nil {
			return fmt.Errorf("print summary: %w", err)
		}
	}
	return nil
}

// bar returns what draws a progress bar on w when w is a terminal, else nil.
func bar(w io.Writer) func(done, of int) {
	const width = 40
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	drawn := -1
	return func(done, of int) {
		if filled := width * done / of; filled != drawn {
			drawn = filled
			fmt.Fprintf(w, "\r[%s%s] %d of %d organizations",
				strings.Repeat("#", filled), strings.Repeat(".", width-filled), done, of)
		}
		if done == of {
			fmt.Fprintln(w)
		}
	}
}
