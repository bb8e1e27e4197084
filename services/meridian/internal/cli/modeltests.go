package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/pkg/authzcore/modeltest"
)

// modelTestFlags are the flags of model test.
type modelTestFlags struct {
	verbose, coverage bool
	run, root         string
	junit, lcov       string
}

func (a *App) modelTest() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test FILE|FOLDER...", Args: cobra.MinimumNArgs(1),
		Short: "Run a model's tests, without a server",
		Long: `Runs store files in OpenFGA's format, and all *.fga.yaml under folders: check,
list_objects and list_users. A failed assertion is printed with its place, what
is different, and why. Exit code: 0 all pass, 1 some do not, 2 cannot run.`,
		Example: `  meridian model test store.fga.yaml
  meridian model test models/ --coverage --junit junit.xml
  meridian model test store.fga.yaml -v --run 'can_delete'`,
	}
	var f modelTestFlags
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "print what passes, too")
	cmd.Flags().StringVar(&f.run, "run", "", "only assertions whose store/test/question matches this regular expression")
	cmd.Flags().BoolVar(&f.coverage, "coverage", false, "also print which parts of the model no assertion depends on")
	cmd.Flags().StringVar(&f.lcov, "lcov", "", "also write the coverage to this file, as LCOV has it")
	cmd.Flags().StringVar(&f.junit, "junit", "", "also write the results to this file, as JUnit has them")
	cmd.Flags().StringVar(&f.root, "root", "", "folder that all files must lie in (default: that of each store file)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		options := modeltest.Options{Coverage: f.coverage || f.lcov != "", Root: f.root}
		if f.run != "" {
			pattern, err := regexp.Compile(f.run)
			if err != nil {
				return fmt.Errorf("--run: %w", err)
			}
			options.Run = pattern
		}
		report, err := modeltest.Run(cmd.Context(), args, options)
		if _, invalid := errors.AsType[*modeltest.FileError](err); invalid {
			return fmt.Errorf("nothing was run:\n%w", err)
		}
		if err != nil {
			return err
		}
		return a.tested(report, &f)
	}
	return cmd
}

// tested prints and writes a report.
func (a *App) tested(report *modeltest.Report, f *modelTestFlags) error {
	passed, failed, broken := report.Count(modeltest.Pass), report.Count(modeltest.Fail), report.Count(modeltest.Broken)
	if passed+failed+broken == 0 {
		if f.run != "" {
			return fmt.Errorf("no assertion matches --run %s", f.run)
		}
		return errors.New("the files have no assertion")
	}
	if err := toFile(f.junit, report.WriteJUnit); err != nil {
		return err
	}
	if report.Coverage != nil {
		if err := toFile(f.lcov, report.Coverage.WriteLCOV); err != nil {
			return err
		}
	}
	if a.json {
		if err := a.printJSON(report); err != nil {
			return err
		}
	} else {
		p := &testPrinter{w: a.stdout, paint: a.paint(), verbose: f.verbose}
		p.report(report)
		if f.coverage {
			p.coverage(report.Coverage)
		}
	}
	if report.Failed() {
		return errNo
	}
	return nil
}

// toFile writes a file; an empty path means none.
func toFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// testPrinter prints reports as test runners do.
type testPrinter struct {
	w io.Writer
	paint
	verbose bool
}

func (p *testPrinter) report(r *modeltest.Report) {
	var sum time.Duration
	for i := range r.Suites {
		s := &r.Suites[i]
		for j := range s.Cases {
			p.one(&s.Cases[j])
		}
		sum += s.Duration()
		if len(s.Cases) == 0 {
			fmt.Fprintf(p.w, "-     %s  no assertion\n", s.File)
			continue
		}
		mark := p.in(green, "ok   ")
		if s.Count(modeltest.Pass) < len(s.Cases) {
			mark = p.in(red, "FAIL ")
		}
		fmt.Fprintf(p.w, "%s %s  %s  %s\n", mark, s.File, counts(s.Count), p.in(faint, took(s.Duration())))
	}
	if len(r.Suites) > 1 {
		fmt.Fprintf(p.w, "\n%d files: %s in %s\n", len(r.Suites), counts(r.Count), took(sum))
	}
}

// one prints a case; one that passed only when asked to.
func (p *testPrinter) one(c *modeltest.Case) {
	mark := p.in(green, "PASS ")
	switch c.Outcome {
	case modeltest.Fail:
		mark = p.in(red, "FAIL ")
	case modeltest.Broken:
		mark = p.in(red, "ERROR")
	case modeltest.Pass:
		if !p.verbose {
			return
		}
	}
	fmt.Fprintf(p.w, "%s %s  %s: %s  %s\n", mark, c.Place, c.Test, c.Name, p.in(faint, took(c.Duration)))
	for line := range strings.Lines(c.Detail) {
		switch {
		case strings.HasPrefix(line, "- "):
			line = p.in(red, strings.TrimSuffix(line, "\n")) + "\n"
		case strings.HasPrefix(line, "+ "):
			line = p.in(green, strings.TrimSuffix(line, "\n")) + "\n"
		}
		fmt.Fprint(p.w, "      "+line)
	}
	if c.Detail != "" && !strings.HasSuffix(c.Detail, "\n") {
		fmt.Fprintln(p.w)
	}
}

// counts says how many cases ended how.
func counts(count func(modeltest.Outcome) int) string {
	text := fmt.Sprintf("%d passed", count(modeltest.Pass))
	if n := count(modeltest.Fail); n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	if n := count(modeltest.Broken); n > 0 {
		text += fmt.Sprintf(", %d without an answer", n)
	}
	return text
}

func took(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// coverage prints how much is covered and what is not.
func (p *testPrinter) coverage(c *modeltest.Coverage) {
	fmt.Fprintf(p.w, "\ncoverage  %.1f %%: %d of %d branches, %d of %d relations\n",
		c.Percent(), c.Covered, len(c.Branches), c.CoveredRelations, c.Relations)
	first := true
	for i := range c.Branches {
		b := &c.Branches[i]
		if b.Hits > 0 {
			continue
		}
		if first {
			fmt.Fprintln(p.w, "no assertion depends on:")
			first = false
		}
		fmt.Fprintf(p.w, "  %s  %s\n", b.Place, b)
	}
}
