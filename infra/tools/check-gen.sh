#!/usr/bin/env bash
# Fails when proto/gen is not what buf generates from proto. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PWD/.tools/bin:$PATH

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
buf generate -o "$fresh"
if ! diff -r --brief "$fresh/proto/gen" proto/gen; then
	echo "proto/gen is not fresh: run 'make gen' and commit the result" >&2
	exit 1
fi
