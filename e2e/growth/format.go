package growth

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number prints three digits, and a space before each three digits more.
func number(n float64) string {
	switch {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return ""
	case n < 0:
		return "−" + number(-n)
	case n == math.Trunc(n) && n < 1000:
		return strconv.FormatFloat(n, 'f', 0, 64)
	case n < 0.01:
		return strconv.FormatFloat(n, 'g', 2, 64)
	case n < 10:
		return strconv.FormatFloat(n, 'f', 2, 64)
	case n < 100:
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
		return "0"
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
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	n := 0
	for math.Abs(bytes) >= 1024 && n < len(units)-1 {
		bytes /= 1024
		n++
	}
	return number(bytes) + " " + units[n]
}

// pair prints two quantiles.
func pair(q Quantile) string {
	if q.N == 0 {
		return ""
	}
	return micros(q.P50) + ", " + micros(q.P99)
}

func row(out *strings.Builder, cells ...string) {
	fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
}

// rule is the line below the titles: numbers stand to the right.
func rule(out *strings.Builder, columns int) {
	fmt.Fprintf(out, "|%s\n", strings.Repeat("--:|", columns))
}
