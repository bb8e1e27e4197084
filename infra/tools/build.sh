#!/usr/bin/env bash
# Builds the pinned tools into .tools/bin, once per version of the pins.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "$here/../.." && pwd)/.tools
pins=("$here/build.sh" "$here/packages.sh" "$here/go.mod" "$here/go.sum" "$here/package.json" "$here/package-lock.json")

digest=$(cat "${pins[@]}" | git hash-object --stdin)
if [[ -f $out/stamp && $(<"$out/stamp") == "$digest" ]]; then
	touch "$out/stamp"
	exit 0
fi

buf_version=1.75.0

# buf takes minutes to compile: where its Linux binary can be had, that is used.
install_buf() {
	local binary
	for binary in "$out"/npm/node_modules/@bufbuild/buf-*/bin/buf; do
		if [[ -x $binary ]]; then
			ln -sf "$binary" "$out/bin/buf"
			return
		fi
	done
	GOWORK=off GOBIN="$out/bin" go install "github.com/bufbuild/buf/cmd/buf@v$buf_version"
}

mkdir -p "$out/bin"
echo "building tools into .tools (minutes the first time, then never again)" >&2
"$here/packages.sh"
install_buf
if [[ $("$out/bin/buf" --version) != "$buf_version" ]]; then
	echo "buf is not version $buf_version: package.json and build.sh differ" >&2
	exit 1
fi
(cd "$here" && GOWORK=off GOFLAGS=-buildvcs=false GOBIN="$out/bin" go install tool)
echo "$digest" >"$out/stamp"
