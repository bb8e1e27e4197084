#!/usr/bin/env bash
# Runs the benchmarks that match a pattern and keeps the output for benchstat.
# Usage: bench.sh PATTERN COUNT
set -euo pipefail
cd "$(dirname "$0")/../.."

files='{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}'
listed=$(go list -f "$files" work)
mapfile -t packages < <(
	while read -r package file; do
		if [[ -n $file ]] && grep -q '^func Benchmark' "$file"; then echo "$package"; fi
	done <<<"$listed" | sort -u
)
if ((${#packages[@]} == 0)); then
	echo "no package has benchmarks" >&2
	exit 1
fi
# One package at a time: two at once would measure each other.
go test -run '^$' -bench "$1" -benchmem -count "$2" -timeout 60m -p 1 "${packages[@]}" | tee bench.txt
.tools/bin/benchstat bench.txt
