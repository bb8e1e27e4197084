package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/result"
)

// batchSize is how many checks are in one call of the batches.
const batchSize = 100

// The systems, as the tables name them.
const (
	openFGA       = "OpenFGA"
	openFGACached = "OpenFGA, caches"
	meridian      = "Meridian"
	noOp          = "no-op over Connect"
	inProcess     = "in-process"
)

// measure is one thing to measure; its name is the title of a table.
type measure struct {
	name string
	args []string
}

var (
	loading = measure{"import", []string{"-mode", "load", "-workers", "8"}}
	checks  = []measure{
		{"check, 1 worker", []string{"-mode", "check", "-workers", "1"}},
		{"check, 8 workers", []string{"-mode", "check", "-workers", "8"}},
		{"check, 32 workers", []string{"-mode", "check", "-workers", "32"}},
	}
	otherAnswers = []measure{
		{"check of 200 questions over and over, 32 workers", []string{"-mode", "check", "-workers", "32", "-hot", "200"}},
		{"batch check of 100, 8 workers", []string{"-mode", "batch", "-workers", "8"}},
		{"list objects, 1 worker", []string{"-mode", "list", "-workers", "1"}},
		{"list objects, 8 workers", []string{"-mode", "list", "-workers", "8"}},
	}
	answers       = slices.Concat(checks, otherAnswers)
	visibleFast   = measure{"write to visible, asking until it is", []string{"-mode", "visible", "-read", "fast"}}
	visibleToken  = measure{"write to visible, asking once for it", []string{"-mode", "visible", "-read", "token"}}
	engineChecks  = measure{"check, 1 worker", []string{"-mode", "embedded"}}
	engineListing = measure{"list objects, 1 worker", []string{"-mode", "embedded-list"}}
)

// row is what a system did in a measure.
type row struct {
	system, measure string
	result.Result
	failed string // why there is no result, or why it does not count
}

// run measures a system once and keeps the result. A failure is kept, too: it
// fails the whole run at its end.
func (b *bench) run(ctx context.Context, system string, s *running, m measure, more ...string) error {
	args := append([]string{"-workset", b.o.workset, "-seconds", strconv.Itoa(b.o.seconds), "-label", system + ": " + m.name}, m.args...)
	if s != nil {
		args = append(args, s.drive...)
		args = append(args, "-server-pid", strconv.Itoa(s.server.pid()))
		if s.database != nil {
			args = append(args, "-database-pid", strconv.Itoa(s.database.PID()))
		}
	}
	if b.o.profiles != "" {
		args = append(args, "-profile", filepath.Join(b.o.profiles, fileOf(system+" driver "+m.name)))
	}
	cmd := b.command(ctx, "drive", append(args, more...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	profiled := b.profile(ctx, s, m)
	err := cmd.Run()
	profiled()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	one := row{system: system, measure: m.name}
	if decoded := json.Unmarshal(stdout.Bytes(), &one.Result); decoded != nil {
		err = errors.Join(err, decoded)
	}
	if err != nil {
		one.failed = strings.TrimSpace(strings.TrimPrefix(stderr.String(), "drive: "))
		if one.failed == "" {
			one.failed = err.Error()
		}
	}
	b.rows = append(b.rows, one)
	b.stepf("%s: %s: %s", system, m.name, one.brief())
	return nil
}

func (r row) brief() string {
	if r.failed != "" {
		return "FAILED: " + r.failed
	}
	return fmt.Sprintf("%s/s, p50 %s, p99 %s", number(r.Rate), duration(r.Latency.P50), duration(r.Latency.P99))
}

// profile fetches a profile of the server while it is measured, when profiles
// are wanted. The function that it returns waits for it.
func (b *bench) profile(ctx context.Context, s *running, m measure) (wait func()) {
	if b.o.profiles == "" || s == nil || s.admin == "" {
		return func() {}
	}
	path := filepath.Join(b.o.profiles, fileOf("server "+m.name))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, b.o.seconds), path); err != nil {
			b.stepf("no profile: %v", err)
		}
	}()
	return func() { <-done }
}

func fileOf(name string) string {
	return strings.NewReplacer(" ", "-", ",", "").Replace(name) + ".prof"
}

func fetch(ctx context.Context, url, path string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: startBound + stopBound}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, answer.Body)
	return errors.Join(err, file.Close())
}

// all makes the measures one after the other, o.runs times.
func (b *bench) all(ctx context.Context, system string, s *running, measures ...measure) error {
	return b.inTurns(ctx, []contender{{system, s}}, measures...)
}

// contender is a system that is measured in turns with others.
type contender struct {
	name string
	*running
}

// inTurns makes each measure of all systems before the next measure.
func (b *bench) inTurns(ctx context.Context, systems []contender, measures ...measure) error {
	for range b.o.runs {
		for _, m := range measures {
			for _, s := range systems {
				if err := b.run(ctx, s.name, s.running, m); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// stepf prints what happens, for people.
func (b *bench) stepf(format string, args ...any) {
	fmt.Fprintf(b.stderr, "%7.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
