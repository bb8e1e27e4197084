package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-iam/meridian/services/meridian/internal/peoplefile"
)

func (a *App) identity() *cobra.Command {
	cmd := &cobra.Command{Use: "identity", GroupID: "manage", Short: "People of a product's own accounts: import"}
	cmd.AddCommand(a.identityImport())
	return cmd
}

// maxParallel is how many calls a command makes at once, at most.
const maxParallel = 64

func parallelFlag(cmd *cobra.Command, byDefault int) (read func() (int, error)) {
	n := cmd.Flags().Int("parallel", byDefault, fmt.Sprintf("calls under way at once, %d at most", maxParallel))
	return func() (int, error) {
		if *n < 1 || *n > maxParallel {
			return 0, fmt.Errorf("--parallel %d: must be 1 to %d", *n, maxParallel)
		}
		return *n, nil
	}
}

func (a *App) identityImport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE", Args: cobra.ExactArgs(1),
		Short: "Import users, with password hashes and memberships, from CSV or JSON lines",
		Long: "Imports a user from each line of a file. Columns of CSV, which a header names in any order:\n" +
			strings.Join(peoplefile.Columns, ", ") + ".\n" +
			"external_id, the user's id at the source, and email must be there. email_verified is true or false.\n" +
			"password_hash is argon2id, argon2i, bcrypt, scrypt or PBKDF2 in its usual text. memberships are\n" +
			"organizations with spaces between them, each an id, and :admin or :member after it. JSON lines have\n" +
			"the same fields; memberships are a list of {\"organization\": …, \"role\": …}. - reads standard input.\n\n" +
			"A line that breaks a rule is refused with its number, and the others go on. Importing a file again\n" +
			"goes on where it broke off: who was imported is left as is.\n\n" +
			"Exit codes: 0 all are imported · 1 some lines were refused · 2 it stopped before the end",
		Example: `  meridian identity import people.csv --source legacy-console
  meridian identity import people.jsonl --source legacy-console --report report.jsonl
  jq -c 'select(.outcome == "refused")' report.jsonl
  zcat people.csv.gz | meridian identity import - --format csv --source legacy-console`,
	}
	source := cmd.Flags().String("source", "", "where the users come from, as legacy-console (required)")
	format := cmd.Flags().String("format", "", "csv or jsonl (default: as the file's name says)")
	path := cmd.Flags().String("report", "", "file to write what became of each line into, as lines of JSON; - is standard output")
	home := cmd.Flags().String("region", "", "where the personal data of new users lives (default: the region that answers)")
	parallel := parallelFlag(cmd, 4)
	if err := cmd.MarkFlagRequired("source"); err != nil {
		panic(err) // the flag was just defined
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		calls, err := parallel()
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		file, err := a.openPeople(args[0], *format)
		if err != nil {
			return err
		}
		defer file.close()
		report, err := a.openReport(*path)
		if err != nil {
			return err
		}
		bar := a.progress("importing")
		tally := &tally{}
		i := peoplefile.Import{Client: client, Source: *source, HomeRegion: *home, Parallel: calls, Result: func(r peoplefile.Result) error {
			tally.count(r)
			bar.rate(uint64(file.counted.read.Load()), uint64(file.size), tally.Lines, "lines")
			return report.write(r)
		}}
		err = i.Run(cmd.Context(), file.Next)
		bar.end()
		if err := errors.Join(err, report.close()); err != nil {
			return fmt.Errorf("%s (the same again goes on): %w", args[0], err)
		}
		return a.imported(tally, *path)
	}
	return cmd
}

// people is a file of users that is open.
type people struct {
	*peoplefile.Reader

	counted *countingReader
	size    int64
	close   func()
}

func (a *App) openPeople(path, format string) (*people, error) {
	out := &people{counted: &countingReader{r: a.stdin}, close: func() {}}
	if format == "" {
		if path == "-" {
			return nil, errors.New("--format: say what standard input is, csv or jsonl")
		}
		named, err := peoplefile.FormatOf(path)
		if err != nil {
			return nil, fmt.Errorf("%w, with --format csv or --format jsonl", err)
		}
		format = string(named)
	}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			out.size = info.Size()
		}
		out.counted.r, out.close = f, func() { _ = f.Close() } // only read
	}
	var err error
	if out.Reader, err = peoplefile.NewReader(out.counted, peoplefile.Format(format)); err != nil {
		out.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// importReport is where results are written, if anywhere.
type importReport struct {
	out    *bufio.Writer
	encode *json.Encoder
	file   *os.File
}

// openReport opens a report. It names people by their ids, so only its owner may
// read it.
func (a *App) openReport(path string) (*importReport, error) {
	r := &importReport{}
	to := a.stdout
	switch path {
	case "":
		return r, nil
	case "-":
	default:
		f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("--report: %w", err)
		}
		r.file, to = f, f
	}
	r.out = bufio.NewWriter(to)
	r.encode = json.NewEncoder(r.out)
	return r, nil
}

func (r *importReport) write(result peoplefile.Result) error {
	if r.encode == nil {
		return nil
	}
	if err := r.encode.Encode(result); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}

func (r *importReport) close() error {
	if r.out == nil {
		return nil
	}
	err := r.out.Flush()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	if err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}

// tally counts results, and keeps the first that were refused.
type tally struct {
	Lines     int64 `json:"lines"`
	Created   int64 `json:"created"`
	Linked    int64 `json:"linked"`
	Unchanged int64 `json:"unchanged"`
	Refused   int64 `json:"refused"`

	refused []peoplefile.Result
}

// shownRefused is how many lines that were refused are printed.
const shownRefused = 20

func (t *tally) count(r peoplefile.Result) {
	t.Lines++
	switch r.Outcome {
	case peoplefile.Created:
		t.Created++
	case peoplefile.Linked:
		t.Linked++
	case peoplefile.Unchanged:
		t.Unchanged++
	default:
		t.Refused++
		if len(t.refused) < shownRefused {
			t.refused = append(t.refused, r)
		}
	}
}

// imported prints what an import did, and says errNo when lines were refused.
func (a *App) imported(t *tally, report string) error {
	switch {
	case a.json:
		if err := a.printJSON(t); err != nil {
			return err
		}
	case report == "-": // standard output is the report's
		fmt.Fprintf(a.stderr, "%d created, %d linked, %d unchanged, %d refused\n", t.Created, t.Linked, t.Unchanged, t.Refused)
	default:
		fmt.Fprintf(a.stdout, "%d created, %d linked, %d unchanged, %d refused\n", t.Created, t.Linked, t.Unchanged, t.Refused)
		for _, r := range t.refused {
			fmt.Fprintf(a.stdout, "line %d: %s: %s (%s)\n", r.Line, first(r.Field, "user"), r.Detail, r.Reason)
		}
		if more := t.Refused - int64(len(t.refused)); more > 0 {
			fmt.Fprintf(a.stdout, "and %d more; --report FILE has them all\n", more)
		}
	}
	if t.Refused > 0 {
		return errNo
	}
	return nil
}

// rate draws the bar with how many of what passed a second, and the time that is
// left, several times a second at most.
func (p *progress) rate(done, total uint64, passed int64, what string) {
	now := time.Now()
	if p.began.IsZero() {
		p.began = now
	}
	took := now.Sub(p.began).Seconds()
	if !p.shown || now.Sub(p.drawn) < 100*time.Millisecond || took < 0.5 { // before that a rate says nothing
		return
	}
	p.drawn = now
	p.more = fmt.Sprintf("  %.0f %s/s", float64(passed)/took, what)
	if total > 0 && done > 0 {
		left := took * (float64(max(total, done))/float64(done) - 1)
		p.more += fmt.Sprintf("  %s left", time.Duration(left*float64(time.Second)).Round(time.Second))
	}
	if total == 0 {
		done = uint64(passed)
	}
	p.set(done, total)
}
