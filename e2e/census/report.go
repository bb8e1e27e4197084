package census

import (
	"fmt"
	"strconv"
	"strings"
)

// Report is the tables of a run, in Markdown.
func Report(r Run) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# Census: calls about organizations and people\n\n%s\n", r.Machine)
	fmt.Fprint(&out, "Everything, the one that asks too, ran on this machine, over loopback, one call at a time. \"foreign\" is what other programs\n"+
		"used of it meanwhile. p50 and p99; the ratio is that of the medians, largest size by smallest.\n\n")
	figures(&out, r)
	verdict(&out, r)
	fills(&out, r.Steps)
	walks(&out, r.Steps)
	return out.String()
}

func figures(out *strings.Builder, r Run) {
	titles := []string{"call", "calls"}
	for _, s := range r.Steps {
		titles = append(titles, s.title())
	}
	row(out, append(titles, "ratio")...)
	fmt.Fprintf(out, "|---|%s\n", strings.Repeat("--:|", len(titles)))
	for _, call := range r.calls() {
		cells := []string{call, number(float64(r.Steps[len(r.Steps)-1].figure(call).N))}
		for _, s := range r.Steps {
			f := s.figure(call)
			cells = append(cells, micros(f.P50)+", "+micros(f.P99))
		}
		row(out, append(cells, ratio(r.Ratio(call)))...)
	}
}

// ratio prints what is not flat in bold, and nothing for what was not measured.
func ratio(n float64) string {
	text := strconv.FormatFloat(n, 'f', 2, 64)
	switch {
	case n == 0:
		return ""
	case n > Flat:
		return "**" + text + "**"
	}
	return text
}

func verdict(out *strings.Builder, r Run) {
	switch grown := r.Grown(); {
	case len(r.Steps) < 2:
		fmt.Fprint(out, "\nOne size only: nothing is said about growth.\n")
	case len(grown) == 0:
		fmt.Fprintf(out, "\nAll calls are flat: none takes more than %.1f times as long at the largest size.\n", Flat)
	default:
		fmt.Fprintf(out, "\n**Not flat**, more than %.1f times as long at the largest size: %s.\n", Flat, strings.Join(grown, "; "))
	}
}

func fills(out *strings.Builder, steps []Step) {
	fmt.Fprint(out, "\n## Rows\n\nCopied into the tables, without calls, then analyzed.\n\n")
	row(out, "organizations, users", "rows added", "rows/s", "seconds", "database", "load before", "foreign cores")
	fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|--:|")
	for _, s := range steps {
		row(out, s.title(), number(float64(s.Fill.Rows)), number(quotient(float64(s.Fill.Rows), s.Fill.Seconds)),
			number(s.Fill.Seconds), size(float64(s.Fill.Database)), s.Load, fmt.Sprintf("%.2f", s.Foreign))
	}
}

func walks(out *strings.Builder, steps []Step) {
	fmt.Fprint(out, "\n## Lists from end to end\n\nPages of 200, by cursor: each item came once, and all of them came.\n\n")
	row(out, "organizations, users", "list", "items", "pages", "seconds", "a page")
	fmt.Fprintln(out, "|---|---|--:|--:|--:|--:|")
	for _, s := range steps {
		for _, w := range s.Walks {
			row(out, s.title(), w.Call, number(float64(w.Items)), number(float64(w.Pages)), number(w.Seconds),
				micros(quotient(w.Seconds*1e6, float64(w.Pages))))
		}
	}
}

func (s Size) title() string {
	return number(float64(s.Organizations)) + ", " + number(float64(s.Users))
}

func row(out *strings.Builder, cells ...string) {
	fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
}

func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// number prints whole numbers, with a space before each three digits; below 10 with
// one decimal where there is something behind the point.
func number(n float64) string {
	if n < 10 && n != float64(int64(n)) {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(n, 'f', 0, 64)
	var out string
	for len(digits) > 3 {
		digits, out = digits[:len(digits)-3], " "+digits[len(digits)-3:]+out
	}
	return digits + out
}

// micros prints microseconds.
func micros(us float64) string {
	switch {
	case us == 0:
		return "–"
	case us < 1000:
		return fmt.Sprintf("%.3g µs", us)
	case us < 1_000_000:
		return fmt.Sprintf("%.3g ms", us/1000)
	default:
		return fmt.Sprintf("%.3g s", us/1_000_000)
	}
}

// size prints bytes.
func size(bytes float64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB"}
	n := 0
	for bytes >= 1024 && n < len(units)-1 {
		bytes /= 1024
		n++
	}
	return fmt.Sprintf("%.3g %s", bytes, units[n])
}
