package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/services/meridian/internal/drill"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/history"
	"github.com/meridian-iam/meridian/services/meridian/internal/drill/report"
)

// drillFlags are the settings of `meridian drill`.
type drillFlags struct {
	short   bool
	regions []string
	region  string
	servers int
	reports string
	binary  string
	other   string
	writes  int
	seed    uint64
	target  string
}

func (a *App) drill() *cobra.Command {
	var f drillFlags
	cmd := &cobra.Command{
		Use: "drill NAME...|all", GroupID: "run", Args: cobra.MinimumNArgs(1),
		Short: "Break a deployment of several regions, and find out what was lost",
		Long: "Starts several regions on this machine, lets clients use them, breaks what the drill names,\n" +
			"heals it, and verifies: log verify on every log in every region, no acknowledged write missing,\n" +
			"nothing allowed that was revoked, and the clients' histories checked with Porcupine.\n\n" +
			drills() + "\nAgainst a deployment that runs elsewhere, --target names a file:\n\n" + stagingExample + "\nExit code: 0 all kept their promises, 1 some did not.",
		Example: "  meridian drill region-loss\n  meridian drill all --short\n  meridian drill region-isolation --in eu-west --reports /tmp/reports\n" +
			"  meridian drill region-isolation --target staging.yaml",
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.short, "short", false, "a few seconds of each phase, as in continuous integration")
	flags.StringSliceVar(&f.regions, "regions", []string{"us-east", "eu-west", "ap-south"}, "regions to start, the platform's home first")
	flags.StringVar(&f.region, "in", "", "region that is broken (default: the second)")
	flags.IntVar(&f.servers, "nats-servers", 1, "servers of each region's NATS cluster: 1 or 3")
	flags.StringVar(&f.reports, "reports", "", "folder for report and staleness curve of each drill, and for the history of one that failed")
	flags.StringVar(&f.binary, "binary", "", "meridian program to run (default: this one)")
	flags.StringVar(&f.other, "other-binary", "", "another build of it, for rolling-upgrade (default: the same)")
	flags.IntVar(&f.writes, "writes", 10_000, "writes that must be acknowledged before chaos ends; 1,000 with --short")
	flags.Uint64Var(&f.seed, "seed", 0, "repeats the random faults of chaos (default: another each time)")
	flags.StringVar(&f.target, "target", "", "file that describes a deployment that runs elsewhere, with the commands that break and heal it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.runDrills(cmd.Context(), args, f) }
	return cmd
}

const stagingExample = `  regions:
    - {name: us-east, url: https://us-east.example}
    - {name: eu-west, url: https://eu-west.example}
  delays: {us-east eu-west: 40ms}
  token_file: admin.token
  break: {region-isolation: ./region.sh cut $REGION}
  heal: {region-isolation: ./region.sh heal $REGION}
`

// drills lists what there is, for people.
func drills() string {
	var b strings.Builder
	for _, s := range drill.Scenarios() {
		fmt.Fprintf(&b, "  %-17s %s\n", s.Name, s.Does)
	}
	return b.String()
}

// named returns the drills of the command line.
func named(args []string) ([]drill.Scenario, error) {
	if slices.Contains(args, "all") {
		return drill.Scenarios(), nil
	}
	var out []drill.Scenario
	for _, name := range args {
		s, err := drill.Find(name)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (a *App) runDrills(ctx context.Context, args []string, f drillFlags) (err error) {
	scenarios, err := named(args)
	if err != nil {
		return err
	}
	if f.target == "" && len(f.regions) < 2 {
		return fmt.Errorf("--regions: a drill needs at least two, not %q", f.regions)
	}
	if f.seed == 0 {
		f.seed = rand.Uint64()
	}
	began := time.Now()
	step := func(text string) { fmt.Fprintf(a.stderr, "%6.1fs  %s\n", time.Since(began).Seconds(), text) }
	target, stop, err := a.target(ctx, f, step)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(err != nil)) }()
	regions := target.Regions()
	if f.region == "" {
		f.region = regions[1]
	}
	if !slices.Contains(regions, f.region) {
		return fmt.Errorf("--in: %q is none of the regions %q", f.region, regions)
	}
	options := drill.Options{
		Region: f.region, Writes: f.writes, Seed: f.seed, Before: 10 * time.Second, During: 20 * time.Second, After: 20 * time.Second, Step: step,
		Versions: report.Versions{Meridian: commit(), Go: runtime.Version(), NATS: server.VERSION, Database: target.Database()},
	}
	if f.short {
		options.Before, options.During, options.After = 2*time.Second, 8*time.Second, 8*time.Second
		options.Writes = min(f.writes, 1000)
	}
	return a.each(ctx, target, scenarios, options, f.reports, step)
}

// target starts a deployment on this machine, or opens the one that a file
// describes.
func (a *App) target(ctx context.Context, f drillFlags, step func(string)) (_ drill.Target, stop func(keep bool) error, err error) {
	if f.target != "" {
		target, err := drill.Open(f.target, a.stderr)
		return target, func(bool) error { return nil }, err
	}
	if f.binary == "" {
		if f.binary, err = os.Executable(); err != nil {
			return nil, nil, err
		}
	}
	return drill.Local(ctx, drill.LocalOptions{
		Binary: f.binary, Other: first(f.other, f.binary), Regions: f.regions, Servers: f.servers, Seed: f.seed, Step: step,
	})
}

// each does one drill after the other.
func (a *App) each(
	ctx context.Context, target drill.Target, scenarios []drill.Scenario, o drill.Options, folder string, step func(string),
) error {
	var reports []report.Report
	bad := false
	for _, s := range scenarios {
		step("drill " + s.Name + ": " + s.Does)
		r, ops, err := drill.Run(ctx, target, s, o)
		if err != nil {
			return fmt.Errorf("drill %s: %w", s.Name, err)
		}
		if err := a.reported(r, ops, folder); err != nil {
			return err
		}
		reports, bad = append(reports, *r), bad || r.Verdict != report.Passed
	}
	if len(reports) > 1 && !a.json {
		if err := report.Summary(a.stdout, reports); err != nil {
			return err
		}
	}
	if bad {
		return errNo
	}
	return nil
}

// reported prints a report, and keeps it with its history and its curve.
func (a *App) reported(r *report.Report, ops []history.Op, folder string) error {
	render := r.WriteText
	if a.json {
		render = r.WriteJSON
	}
	if err := render(a.stdout); err != nil || folder == "" {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // reports are for everybody
		return err
	}
	kept := map[string]func(io.Writer) error{".txt": r.WriteText, ".json": r.WriteJSON, ".svg": r.Plot}
	if r.Verdict != report.Passed {
		kept[".history.jsonl"] = func(w io.Writer) error { return history.Write(w, ops) }
	}
	for suffix, write := range kept {
		var content bytes.Buffer
		if err := write(&content); err != nil {
			return err
		}
		path := filepath.Join(folder, r.Drill+suffix)
		if err := os.WriteFile(path, content.Bytes(), 0o644); err != nil { //nolint:gosec // reports are for everybody
			return err
		}
	}
	return nil
}
