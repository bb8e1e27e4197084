// Command peers drives OpenFGA and Meridian in one run over the same work set
// with the same closed loop, and prints what they did side by side. It starts
// all it needs on this machine, loopback only, and stops it. It fails when an
// answer was wrong or a measure could not be made.
//
//	go run ./e2e/load/cmd/peers -preset medium -runs 3 -seconds 10 -out medium
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/workset"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
)

// openFGAVersion is the release that Meridian is compared with.
const openFGAVersion = "v1.22.1"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type options struct {
	preset, workset, out, profiles string
	systems                        []string
	runs, seconds, rounds          int
	timeout                        time.Duration
}

// bench is one run.
type bench struct {
	o       options
	stderr  io.Writer
	began   time.Time
	root    string // folder of go.work
	scratch string // removed at the end
	peer    string // the openfga binary
	rows    []row
}

// run returns the exit code: 0, 1 for a failure or a wrong answer, 2 for wrong
// flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "peers:", err)
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	b := &bench{o: o, stderr: stderr, began: time.Now()}
	if err := b.whole(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "peers:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.preset, "preset", "small", "work set: small, medium or large")
	f.StringVar(&o.workset, "workset", "", "folder of a work set that exists; absent: one is made, and removed at the end")
	systems := f.String("systems", "engine,echo,openfga,meridian", "what to measure")
	f.IntVar(&o.runs, "runs", 3, "times that each measure is made; the one in the middle is printed")
	f.IntVar(&o.seconds, "seconds", 10, "how long a measure takes")
	f.IntVar(&o.rounds, "rounds", 100, "writes of write-to-visible")
	f.StringVar(&o.out, "out", "", "also write the tables to e2e/load/results/NAME.md, and each result to NAME.jsonl")
	f.StringVar(&o.profiles, "profiles", "", "folder for processor profiles of the drivers and of Meridian; absent: none are made")
	f.DurationVar(&o.timeout, "timeout", 3*time.Hour, "stop after this long")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.systems = strings.Split(*systems, ",")
	for _, s := range o.systems {
		if !slices.Contains([]string{"engine", "echo", "openfga", "meridian"}, s) {
			return o, fmt.Errorf("-systems: there is no %q", s)
		}
	}
	_, err := workset.Preset(o.preset)
	switch {
	case f.NArg() > 0:
		return o, errors.New("flags only: there is an argument too many")
	case err != nil:
		return o, err
	case o.runs < 1 || o.seconds < 1 || o.rounds < 1:
		return o, errors.New("-runs, -seconds and -rounds must be 1 or more")
	case strings.ContainsAny(o.out, `/\`):
		return o, errors.New("-out is a name, not a path")
	}
	return o, nil
}

// whole makes what is needed, measures, prints, and removes it.
func (b *bench) whole(ctx context.Context, stdout io.Writer) (err error) {
	if b.root, err = root(ctx); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp("", "meridian-peers-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	// The database's own account passes through it.
	if err := os.Chmod(b.scratch, 0o711); err != nil { //nolint:gosec // names inside are not secret
		return fmt.Errorf("open the folder: %w", err)
	}
	if b.o.profiles != "" {
		if err := os.MkdirAll(b.o.profiles, 0o750); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	text := b.report(ctx)
	if _, err := io.WriteString(stdout, text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if err := b.write(text); err != nil {
		return err
	}
	return b.verdict()
}

// prepare builds the programs, finds OpenFGA and makes the work set.
func (b *bench) prepare(ctx context.Context) error {
	b.stepf("building")
	bin := filepath.Join(b.scratch, "bin")
	packages := []string{"e2e/load/cmd/drive"}
	for system, pkg := range map[string]string{"echo": "e2e/load/cmd/echo", "meridian": "services/meridian"} {
		if slices.Contains(b.o.systems, system) {
			packages = append(packages, pkg)
		}
	}
	for _, pkg := range packages {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator), "./"+pkg)
		cmd.Dir = b.root
		if _, err := output(cmd); err != nil {
			return err
		}
	}
	if slices.Contains(b.o.systems, "openfga") {
		if err := b.install(ctx); err != nil {
			return err
		}
	}
	if b.o.workset != "" {
		return nil
	}
	b.stepf("making the work set %s", b.o.preset)
	sizes, err := workset.Preset(b.o.preset)
	if err != nil {
		return err
	}
	b.o.workset = filepath.Join(b.scratch, "workset")
	s, err := workset.Generate(ctx, sizes, b.o.workset, nil)
	if err != nil {
		return err
	}
	b.stepf("%d relationships, %d checks, %d lists of %d objects on average", s.Tuples, s.Checks, s.Lists, s.ListObjects/max(s.Lists, 1))
	return nil
}

// install builds OpenFGA into .tools/peers, once.
func (b *bench) install(ctx context.Context) error {
	dir := filepath.Join(b.root, ".tools", "peers", openFGAVersion)
	b.peer = filepath.Join(dir, "openfga")
	if _, err := os.Stat(b.peer); err == nil {
		return nil
	}
	b.stepf("building OpenFGA %s (minutes, the first time)", openFGAVersion)
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/openfga/openfga/cmd/openfga@"+openFGAVersion)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOBIN="+dir)
	_, err := output(cmd)
	return err
}

func root(ctx context.Context) (string, error) {
	work, err := output(exec.CommandContext(ctx, "go", "env", "GOWORK"))
	if err != nil || work == "" {
		return "", errors.Join(errors.New("run it inside the repository: there is no go.work"), err)
	}
	return filepath.Dir(work), nil
}

// measure runs all systems, one after the other.
func (b *bench) measure(ctx context.Context) error {
	run := map[string]func(context.Context) error{
		"engine": b.measureEngine, "echo": b.measureEcho, "openfga": b.measureOpenFGA, "meridian": b.measureMeridian,
	}
	for _, s := range b.o.systems {
		if err := run[s](ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measureEngine(ctx context.Context) error {
	return b.all(ctx, inProcess, nil, engineChecks, engineListing)
}

// measureEcho measures the no-op, unless it takes turns with Meridian.
func (b *bench) measureEcho(ctx context.Context) error {
	if slices.Contains(b.o.systems, "meridian") {
		return nil
	}
	s, err := b.echo(ctx)
	if err != nil {
		return err
	}
	defer s.server.stop()
	return b.all(ctx, noOp, s, checks...)
}

func (b *bench) measureOpenFGA(ctx context.Context) error {
	database, err := b.database(ctx, "openfga-database")
	if err != nil {
		return err
	}
	defer stopDatabase(ctx, database)
	if err := b.migrateOpenFGA(ctx, database); err != nil {
		return err
	}
	if err := b.withOpenFGA(ctx, database, nil, func(s *running) error {
		if err := b.load(ctx, openFGA, s); err != nil {
			return err
		}
		if err := b.all(ctx, openFGA, s, answers...); err != nil {
			return err
		}
		return b.seen(ctx, openFGA, s, visibleFast, visibleToken)
	}); err != nil {
		return err
	}
	return b.withOpenFGA(ctx, database, openFGACaches, func(s *running) error {
		if err := b.all(ctx, openFGACached, s, answers...); err != nil {
			return err
		}
		// What its caches hold is seen 10 s later: once is enough.
		if err := b.run(ctx, openFGACached, s, visibleFast, "-rounds", "1"); err != nil {
			return err
		}
		return b.seen(ctx, openFGACached, s, visibleToken)
	})
}

func (b *bench) withOpenFGA(ctx context.Context, database *pglocal.Server, flags []string, fn func(*running) error) error {
	s, err := b.openFGA(ctx, database, flags...)
	if err != nil {
		return err
	}
	defer s.server.stop()
	return fn(s)
}

func (b *bench) measureMeridian(ctx context.Context) error {
	database, err := b.database(ctx, "meridian-database")
	if err != nil {
		return err
	}
	defer stopDatabase(ctx, database)
	s, err := b.meridian(ctx, database)
	if err != nil {
		return err
	}
	defer s.server.stop()
	if err := b.load(ctx, meridian, s); err != nil {
		return err
	}
	if err := b.checksInTurns(ctx, s); err != nil {
		return err
	}
	if err := b.all(ctx, meridian, s, otherAnswers...); err != nil {
		return err
	}
	return b.seen(ctx, meridian, s, visibleFast, visibleToken)
}

// checksInTurns measures Meridian's checks and those of the no-op, if it is
// wanted, one after the other: a machine's speed changes within minutes, and
// their ratio should not.
func (b *bench) checksInTurns(ctx context.Context, s *running) error {
	turns := []contender{{meridian, s}}
	if slices.Contains(b.o.systems, "echo") {
		nothing, err := b.echo(ctx)
		if err != nil {
			return err
		}
		defer nothing.server.stop()
		turns = append(turns, contender{noOp, nothing})
	}
	return b.inTurns(ctx, turns, checks...)
}

// load loads the work set. Without it there is nothing to measure.
func (b *bench) load(ctx context.Context, system string, s *running) error {
	if err := b.run(ctx, system, s, loading); err != nil {
		return err
	}
	if failed := b.rows[len(b.rows)-1].failed; failed != "" {
		return fmt.Errorf("%s: import: %s", system, failed)
	}
	return vacuum(ctx, s.database)
}

func (b *bench) seen(ctx context.Context, system string, s *running, measures ...measure) error {
	for range b.o.runs {
		for _, m := range measures {
			if err := b.run(ctx, system, s, m, "-rounds", fmt.Sprint(b.o.rounds)); err != nil {
				return err
			}
		}
	}
	return nil
}
