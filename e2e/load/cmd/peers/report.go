package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is the tables, one for each measure, in Markdown.
func (b *bench) report(ctx context.Context) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# Meridian beside its peers: work set %s\n\n", b.o.preset)
	b.machine(ctx, &out)
	for _, m := range b.measures() {
		b.table(&out, m)
	}
	return out.String()
}

// measures are the names of what was measured, in the order of the plan.
func (b *bench) measures() []string {
	var names []string
	for _, m := range slices.Concat([]measure{loading}, answers, []measure{visibleFast, visibleToken}) {
		if slices.ContainsFunc(b.rows, func(r row) bool { return r.measure == m.name }) {
			names = append(names, m.name)
		}
	}
	return names
}

// middle is what a system did in a measure: the run whose rate is in the
// middle, with the wrong answers of all.
func (b *bench) middle(system, measure string) (row, bool) {
	var runs []row
	for _, r := range b.rows {
		if r.system == system && r.measure == measure {
			runs = append(runs, r)
		}
	}
	if len(runs) == 0 {
		return row{}, false
	}
	slices.SortStableFunc(runs, func(x, y row) int {
		switch {
		case x.Rate < y.Rate:
			return -1
		case x.Rate > y.Rate:
			return 1
		}
		return 0
	})
	one := runs[len(runs)/2]
	one.Wrong, one.Errors = 0, 0
	for _, r := range runs {
		one.Wrong += r.Wrong
		one.Errors += r.Errors
		if r.failed != "" {
			one.failed = r.failed
		}
	}
	return one, true
}

func (b *bench) table(out *strings.Builder, measure string) {
	fmt.Fprintf(out, "\n## %s\n\n", measure)
	visible := measure == visibleFast.name || measure == visibleToken.name
	fmt.Fprint(out, "| | per s | p50 | p99 | CPU µs each | wrong | × OpenFGA | × OpenFGA, caches | cores: driver, server, database, foreign | |\n")
	fmt.Fprint(out, "|---|--:|--:|--:|--:|--:|--:|--:|---|---|\n")
	plain, hasPlain := b.middle(openFGA, measure)
	cached, hasCached := b.middle(openFGACached, measure)
	for _, system := range []string{openFGA, openFGACached, meridian, noOp, inProcess} {
		r, found := b.middle(system, measure)
		if !found {
			continue
		}
		if r.failed != "" && r.Ops == 0 {
			fmt.Fprintf(out, "| %s | failed | | | | | | | | %s |\n", system, oneLine(r.failed))
			continue
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %d | %s | %s | %.2f, %.2f, %.2f, %.2f | %s |\n", system,
			number(r.Rate), duration(r.Latency.P50), duration(r.Latency.P99), number(r.CPU), r.Wrong,
			ratio(r, plain, hasPlain, visible), ratio(r, cached, hasCached, visible),
			r.Cores.Driver, r.Cores.Server, r.Cores.Database, r.Cores.Foreign, b.notes(r))
	}
}

// ratio is how many times faster than other r is: by rate, or by the median of
// the times until a write was seen.
func ratio(r, other row, found, visible bool) string {
	switch {
	case !found || other.Ops == 0 || r.system == noOp:
		return ""
	case visible:
		return number(other.Latency.P50 / r.Latency.P50)
	default:
		return number(r.Rate / other.Rate)
	}
}

// notes are what only some measures have.
func (b *bench) notes(r row) string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	const mebibyte = 1 << 20
	nothing, found := b.middle(noOp, r.measure)
	switch {
	case r.system == meridian && found && nothing.Ops > 0:
		add("p50 is %s × the no-op's", number(r.Latency.P50/nothing.Latency.P50))
	case r.Mode == "load":
		add("%d relationships in %.1f s", r.Ops, r.Seconds)
		add("server %d MiB, database %d MiB", r.ServerBytes/mebibyte, r.DatabaseBytes/mebibyte)
	case r.Mode == "list" || r.Mode == "embedded-list":
		add("%.0f objects each", r.Objects)
	case r.Write != nil:
		add("the write alone p50 %s, p99 %s", duration(r.Write.P50), duration(r.Write.P99))
		add("a delete seen p50 %s, p99 %s", duration(r.Revoke.P50), duration(r.Revoke.P99))
	case r.Allocations != nil:
		add("%.0f bytes per relationship", r.Bytes)
		add("%.3f allocations each", *r.Allocations)
	}
	if r.failed != "" {
		add("FAILED: %s", oneLine(r.failed))
	}
	return strings.Join(notes, "; ")
}

// machine says where the figures come from.
func (b *bench) machine(ctx context.Context, out *strings.Builder) {
	commit, err := output(gitAt(ctx, b.root, "rev-parse", "--short=12", "HEAD"))
	if err != nil {
		commit = "unknown"
	}
	if changed, err := output(gitAt(ctx, b.root, "status", "--porcelain", "--untracked-files=no")); err == nil && changed != "" {
		commit += ", with changes"
	}
	fmt.Fprintf(out, "%s. %d cores of %s, %s of memory, %s/%s.\n", time.Now().UTC().Format(time.DateOnly),
		runtime.NumCPU(), procLine("/proc/cpuinfo", "model name"), memory(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(out, "%s. Meridian %s. OpenFGA %s. Both on %s of their own.\n", runtime.Version(), commit, openFGAVersion, postgresVersion(ctx))
	fmt.Fprintf(out, "Measured: %s. Checks of the no-op and of Meridian take turns.\n", strings.Join(b.o.systems, ", "))
	fmt.Fprintf(out, "%d runs of %d s for each figure; the run in the middle is shown, with the wrong answers of all.\n", b.o.runs, b.o.seconds)
	fmt.Fprint(out, "Driver, server and database share the machine; \"foreign\" is what anything else used of it.\n")
}

func gitAt(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	return cmd
}

// procLine is the value of the first line "name : value" of a file.
func procLine(path, name string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(content)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// memory is the machine's.
func memory() string {
	kib, err := strconv.ParseFloat(strings.TrimSuffix(procLine("/proc/meminfo", "MemTotal"), " kB"), 64)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", kib/(1<<20))
}

// write keeps the tables and every single result.
func (b *bench) write(text string) error {
	if b.o.out == "" {
		return nil
	}
	dir := filepath.Join(b.root, "e2e", "load", "results")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // part of the repository
		return fmt.Errorf("write results: %w", err)
	}
	var lines strings.Builder
	for _, r := range b.rows {
		// Folders of this machine mean nothing elsewhere.
		r.WorkSet = b.o.preset
		line, err := json.Marshal(r.Result)
		if err != nil {
			return fmt.Errorf("write results: %w", err)
		}
		lines.Write(append(line, '\n'))
	}
	path := filepath.Join(dir, b.o.out)
	err := errors.Join(
		os.WriteFile(path+".md", []byte(text), 0o644),              //nolint:gosec // part of the repository
		os.WriteFile(path+".jsonl", []byte(lines.String()), 0o644)) //nolint:gosec // part of the repository
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	b.stepf("written to %s.md", path)
	return nil
}

// verdict is an error when an answer was wrong or a measure failed.
func (b *bench) verdict() error {
	var failed []string
	for _, r := range b.rows {
		if r.failed != "" {
			failed = append(failed, r.system+": "+r.measure+": "+oneLine(r.failed))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d measures failed:\n%s", len(failed), strings.Join(failed, "\n"))
	}
	return nil
}

func oneLine(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", "/")
}
