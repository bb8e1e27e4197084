package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// narrowest is what wrapped text keeps when figures would take it all.
const narrowest = 16

// columns is how wide a terminal is taken to be.
const columns = 100

// table is rows under a header. The first column is text and is wrapped when
// the rest leaves no room; the others are figures, to the right.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write aligns the columns, two spaces apart. A table without rows is nothing.
func (t *table) write(b *strings.Builder) {
	if len(t.rows) == 0 {
		return
	}
	all := append([][]string{t.header}, t.rows...)
	widths := make([]int, len(t.header))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	left := columns
	for _, width := range widths[1:] {
		left -= width + 2
	}
	widths[0] = min(widths[0], max(left, narrowest))
	for _, row := range all {
		for i, text := range wrapped(row[0], widths[0]) {
			if i > 0 {
				b.WriteString(text + "\n")
				continue
			}
			b.WriteString(text + blanks(text, widths[0]))
			for j, cell := range row[1:] {
				b.WriteString("  " + blanks(cell, widths[j+1]) + cell)
			}
			b.WriteString("\n")
		}
	}
}

// blanks are what a text lacks of a width.
func blanks(text string, width int) string {
	return strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
}

// wrapped breaks a text between words, and a word that is too long inside it.
func wrapped(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		if *last != "" && utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, "")
			last = &lines[len(lines)-1]
		}
		if *last != "" {
			*last += " "
		}
		for runes := []rune(word); len(runes) > width; runes = runes[width:] {
			*last = string(runes[:width])
			word = string(runes[width:])
			lines = append(lines, "")
			last = &lines[len(lines)-1]
		}
		*last += word
	}
	return lines
}

// hang writes a text after a label; its further lines begin where the first did.
func hang(b *strings.Builder, label, text string) {
	indent := utf8.RuneCountInString(label)
	for i, line := range wrapped(text, columns-indent) {
		if i > 0 {
			label = strings.Repeat(" ", indent)
		}
		b.WriteString(strings.TrimRight(label+line, " ") + "\n")
	}
}

// heading begins a section.
func heading(b *strings.Builder, text string) { b.WriteString("\n" + text + "\n") }

// String is the duration with three digits at most, as "42.3 ms" or "12.4 s".
func (m Millis) String() string {
	ms := float64(m) / float64(time.Millisecond)
	switch {
	case m == 0:
		return "0 s"
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 100_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	default:
		return fmt.Sprintf("%.0f s", ms/1000)
	}
}

// percent is p with enough digits to tell 99.99 from 100.
func percent(p float64) string {
	text := fmt.Sprintf("%.2f", p)
	if text == "100.00" && p < 100 {
		text = "99.99"
	}
	return strings.TrimSuffix(text, ".00") + " %"
}

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
