#!/usr/bin/env bash
# Runs every fuzz target of the workspace for a while. Guided by what code an input
# reaches, for which everything is compiled another time, or with --unguided by chance.
# Usage: fuzz.sh [--unguided] DURATION [PATTERN], for example fuzz.sh 20000x FuzzParse
set -euo pipefail
cd "$(dirname "$0")/../.."

guided=(-fuzz .)
if [[ $1 == --unguided ]]; then
	guided=()
	shift
fi
duration=$1
pattern=${2:-.}
# Each input of these is thousands of questions: they get a tenth of a number of inputs.
slow='^FuzzEngineEqualsReference$'
files='{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}'

listed=$(go list -f "$files" work)
cache=$(go env GOCACHE)/fuzz
binary=$(mktemp)
trap 'rm -f "$binary"' EXIT
built=''
count=0
while read -r package file; do
	[[ -n $file ]] || continue
	while read -r target; do
		[[ $target =~ $pattern ]] || continue
		count=$((count + 1))
		echo "$package $target"
		# `go test -fuzz` links the program again for each target.
		if [[ $built != "$package" ]]; then
			go test -c "${guided[@]}" -o "$binary" "$package"
			built=$package
		fi
		share=$duration
		if [[ $target =~ $slow && $duration == *x ]]; then share=$((${duration%x} / 10))x; fi
		(cd "$(dirname "$file")" && "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$share" -test.fuzzcachedir "$cache/$package" </dev/null)
	done < <(sed -nE 's/^func (Fuzz[[:alnum:]_]+)\(.*/\1/p' "$file")
done <<<"$listed"
if ((count == 0)); then
	echo "no fuzz target matches $pattern" >&2
	exit 1
fi
echo "$count fuzz targets"
