#!/usr/bin/env bash
# Installs the pinned packages of npm into .tools/npm, once per version of the
# pins: what drives the browser of tests, and buf's Linux binary.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "$here/../.." && pwd)/.tools/npm
pins=("$here/package.json" "$here/package-lock.json" "$here/.npmrc")

digest=$(cat "${pins[@]}" | git hash-object --stdin)
if [[ -f $out/stamp && $(<"$out/stamp") == "$digest" ]]; then
	exit 0
fi
if ! command -v npm >/dev/null; then
	echo "no npm: tests with a browser will fail" >&2
	exit 0
fi
rm -rf "$out"
mkdir -p "$out"
cp "${pins[@]}" "$out/"
if (cd "$out" && npm ci --loglevel=error); then
	echo "$digest" >"$out/stamp"
else
	echo "npm could not install its packages: tests with a browser will fail" >&2
fi
