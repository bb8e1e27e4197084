#!/usr/bin/env bash
# Fails when `go mod tidy` would change a go.mod or go.sum of the workspace.
# Changes nothing. infra/tools is left out: it would download the tests of every
# linter.
set -euo pipefail
cd "$(dirname "$0")/../.."

modules=$(go list -m -f '{{.Dir}}')
status=0
while read -r module; do
	(cd "$module" && GOWORK=off go mod tidy -diff) || {
		echo "$module: run 'GOWORK=off go mod tidy' there" >&2
		status=1
	}
done <<<"$modules"
exit "$status"
