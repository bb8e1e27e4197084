#!/usr/bin/env bash
# Runs every fuzz target of the workspace for a while.
# Usage: fuzz.sh DURATION [PATTERN], for example fuzz.sh 5s FuzzParse
set -euo pipefail
cd "$(dirname "$0")/../.."

duration=$1
pattern=${2:-.}
files='{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}'

listed=$(go list -f "$files" work)
count=0
while read -r package file; do
	[[ -n $file ]] || continue
	while read -r target; do
		[[ $target =~ $pattern ]] || continue
		count=$((count + 1))
		echo "$package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "$package" </dev/null
	done < <(sed -nE 's/^func (Fuzz[[:alnum:]_]+)\(.*/\1/p' "$file")
done <<<"$listed"
if ((count == 0)); then
	echo "no fuzz target matches $pattern" >&2
	exit 1
fi
echo "$count fuzz targets"
