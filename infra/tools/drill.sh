#!/usr/bin/env bash
# Does every drill and keeps the reports under e2e/drills/reports. The rolling
# upgrade goes to the newest earlier commit that changed the program, and back.
set -euo pipefail
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
trap 'git worktree remove --force "$scratch/earlier" 2>/dev/null || true; rm -rf "$scratch"' EXIT

GOFLAGS=-buildvcs=true go build -o "$scratch/meridian" ./services/meridian
other=$scratch/meridian
earlier=$(git log -2 --format=%H -- services pkg proto | tail -1)
if [[ -n $earlier && $earlier != $(git rev-parse HEAD) ]]; then
	git worktree add --quiet --detach "$scratch/earlier" "$earlier"
	(cd "$scratch/earlier" && GOWORK=$PWD/go.work go build -o "$scratch/meridian-earlier" ./services/meridian)
	other=$scratch/meridian-earlier
	echo "== rolling-upgrade goes to ${earlier:0:12} and back"
fi
"$scratch/meridian" drill all --binary "$scratch/meridian" --other-binary "$other" --reports e2e/drills/reports "$@"
