#!/usr/bin/env bash
# Runs all tests of the workspace: the libraries in pkg with the given flags
# (-race), everything else without, because the race detector makes whole
# processes several times slower. Both parts run whatever the first one says.
# Usage: test.sh [-race]
set -euo pipefail
cd "$(dirname "$0")/../.."

list=$(go list work)
mapfile -t raced < <(grep -E '/meridian/pkg/' <<<"$list")
mapfile -t plain < <(grep -vE '/meridian/pkg/|/gen/' <<<"$list")

status=0
go test -timeout 15m "$@" "${raced[@]}" || status=1
go test -timeout 15m "${plain[@]}" || status=1
exit "$status"
