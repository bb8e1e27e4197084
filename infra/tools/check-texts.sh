#!/usr/bin/env bash
# Fails when a file of the repository names a folder of one machine or a host of
# a package registry: both are wrong everywhere else.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Bracketed letters keep the patterns from matching themselves.
patterns=(
	'(^|[^[:alnum:]_.~/-])/(work|root|Users|home/[[:alnum:]]+)/'
	'[r]egistry\.npmjs'
	'[p]roxy\.golang\.org'
	'[s]um\.golang\.org'
	'[r]epo1?\.maven'
	'[p]ypi\.org'
	'[f]iles\.pythonhosted'
)
expression=$(IFS='|' && echo "${patterns[*]}")
files=$(git ls-files -co --exclude-standard | wc -l)
if ((files == 0)); then
	echo "found no files to look at" >&2
	exit 1
fi
if git ls-files -z -co --exclude-standard | xargs -0 grep -nIE "$expression" -- /dev/null; then
	echo "files name a folder of one machine or a registry's host" >&2
	exit 1
fi
echo "looked at $files files"
