package main

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// number prints three digits, and a space before each three digits more.
func number(n float64) string {
	switch {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return ""
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

// duration prints microseconds.
func duration(us float64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%.3g µs", us)
	case us < 1_000_000:
		return fmt.Sprintf("%.3g ms", us/1000)
	default:
		return fmt.Sprintf("%.3g s", us/1_000_000)
	}
}

// postgresVersion is what the installed PostgreSQL says of itself.
func postgresVersion(ctx context.Context) string {
	places, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "PostgreSQL"
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		places = slices.Insert(places, 0, path)
	}
	for _, binary := range places {
		if text, err := output(exec.CommandContext(ctx, binary, "--version")); err == nil {
			return text
		}
	}
	return "PostgreSQL"
}
