package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// printItem prints a protobuf message, or what JSON can hold, as one line of JSON.
func (a *App) printItem(item any) error {
	if m, ok := item.(proto.Message); ok {
		return a.printMessage(m)
	}
	return a.printJSON(item)
}

// printMessage prints a protobuf message as one line of JSON.
func (a *App) printMessage(m proto.Message) error {
	content, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err
	}
	// protojson varies its white space on purpose; machines compare lines.
	var compact any
	if err := json.Unmarshal(content, &compact); err != nil {
		return err
	}
	return a.printJSON(compact)
}

func (a *App) printJSON(v any) error { return json.NewEncoder(a.stdout).Encode(v) }

// changed prints what was done, as created, to what, and its revision unless
// that is empty, in two columns.
func (a *App) changed(done, what, revision string) error {
	_, err := fmt.Fprintf(a.stdout, "%-*s %s\n", doneWidth, done, what)
	if err != nil || revision == "" {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%-*s %s\n", doneWidth, "revision", revision)
	return err
}

// doneWidth is the length of the longest word for what was done: unassigned.
const doneWidth = 10

// table prints rows under a header, in columns.
func (a *App) table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// list fetches pages until there are no more, or limit items (0 means all), and
// prints them: a table for people, a line of JSON each for machines. more says
// that there is more than limit.
func list[T any](
	a *App, header []string, limit int, fetch func(cursor string) (items []T, next string, err error), row func(T) []string,
) (more bool, err error) {
	var rows [][]string
	for cursor := ""; ; {
		items, next, err := fetch(cursor)
		if err != nil {
			return false, err
		}
		for _, item := range items {
			if limit > 0 && len(rows) == limit {
				more = true
				break
			}
			rows = append(rows, row(item))
			if !a.json {
				continue
			}
			if err := a.printItem(item); err != nil {
				return false, err
			}
		}
		// At the limit the next pages say whether there is more: they may be empty.
		if cursor = next; cursor == "" || more {
			break
		}
	}
	if a.json {
		return more, nil
	}
	return more, a.table(header, rows)
}

// isTerminal says whether people look at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress draws a bar on a terminal and nothing else elsewhere.
type progress struct {
	w     io.Writer
	label string
	shown bool
	last  int

	// Of rate: when it began and was drawn last, and what it says after the bar.
	began, drawn time.Time
	more         string
}

func (a *App) progress(label string) *progress {
	return &progress{w: a.stderr, label: label, shown: isTerminal(a.stderr) && !a.json}
}

const barWidth = 30

// set draws the bar: done of total; a total of 0 is not known.
func (p *progress) set(done, total uint64) {
	if !p.shown {
		return
	}
	line := fmt.Sprintf("%s %d", p.label, done)
	if total > 0 {
		filled := int(min(done, total) * barWidth / total)
		line = fmt.Sprintf("%s [%s%s] %3d%%", p.label, strings.Repeat("█", filled), strings.Repeat("·", barWidth-filled), min(done, total)*100/total)
	}
	line += p.more
	pad := max(p.last-len(line), 0)
	p.last = len(line)
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", pad))
}

// end removes the bar.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.last))
	}
}

// colour of a terminal.
type colour string

const (
	red   colour = "\x1b[31m"
	green colour = "\x1b[32m"
	bold  colour = "\x1b[1m"
	faint colour = "\x1b[2m"
	plain colour = ""
)

// paint says whether there are colours.
type paint bool

// paint is true on a terminal, unless the environment has NO_COLOR.
func (a *App) paint() paint { return paint(isTerminal(a.stdout) && os.Getenv("NO_COLOR") == "") }

// in paints a text.
func (p paint) in(c colour, text string) string {
	if !p || c == plain {
		return text
	}
	return string(c) + text + "\x1b[0m"
}
