#!/usr/bin/env bash
# Runs golangci-lint over all modules of the workspace.
# Usage: lint.sh [FLAG...], for example --fix
set -euo pipefail
cd "$(dirname "$0")/../.."

mapfile -t patterns < <(go list -m -f '{{.Dir}}/...')
if ((${#patterns[@]} == 0)); then
	echo "the workspace has no modules" >&2
	exit 1
fi
exec .tools/bin/golangci-lint run "$@" "${patterns[@]}"
