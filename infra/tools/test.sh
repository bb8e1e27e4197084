#!/usr/bin/env bash
# Runs all tests of the workspace: the libraries in pkg with the given flags
# (-race), everything else without, because the race detector makes whole
# processes several times slower. All parts run whatever the others say.
# Usage: test.sh [-race]
set -euo pipefail
cd "$(dirname "$0")/../.."

list=$(go list work)
mapfile -t raced < <(grep -E '/meridian/pkg/' <<<"$list")
mapfile -t plain < <(grep -vE '/meridian/(pkg|e2e)/|/gen/' <<<"$list")
mapfile -t whole < <(grep -E '/meridian/e2e/' <<<"$list" | grep -vE '/e2e/drills$')
drills=$(grep -E '/e2e/drills$' <<<"$list")

# What others published is not part of the repository. A test that lacks it
# passes, and the output of what passes is not shown: so it is said here.
vectors=$(realpath -m "${MERIDIAN_SHARED:-../shared}")/vectors
for name in authzen webauthn; do
	if [[ ! -d $vectors/$name ]]; then
		echo "NOT TESTED: the published vectors of $name are absent ($vectors/$name; MERIDIAN_SHARED names the folder that has vectors)" >&2
	fi
done

status=0
go test -timeout 15m "$@" "${raced[@]}" || status=1
go test -timeout 15m "${plain[@]}" || status=1
# These build and start the program, which the cache of results knows nothing of.
go test -timeout 15m -count=1 "${whole[@]}" || status=1
# How long a region is away is measured, so nothing else runs beside it.
go test -timeout 15m -count=1 "$drills" || status=1
exit "$status"
