#!/usr/bin/env bash
# Runs one step of a check and prints how long it took.
# Usage: step.sh NAME COMMAND [ARGUMENT...]
set -euo pipefail

name=$1
shift
echo "== $name"
start=$SECONDS
status=0
"$@" || status=$?
if ((status != 0)); then
	echo "== $name: FAILED (exit status $status) after $((SECONDS - start)) s" >&2
	exit "$status"
fi
echo "== $name: ok, $((SECONDS - start)) s"
