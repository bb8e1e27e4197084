#!/usr/bin/env bash
# Fails when the contract in proto breaks callers of an older one, and says
# which one it was compared with:
#   1. BREAKING_AGAINST, when set (any commit);
#   2. else the newest v* tag that is an ancestor;
#   3. else the point where this branch left origin's default branch;
#   4. else the commit before.
# Before the first v* tag the contract may still be broken on purpose: a commit
# message says so, and why, in a line "Contract-Break: <reason>".
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PWD/.tools/bin:$PATH

commit() { git rev-parse --verify --quiet "$1^{commit}" || true; }

# A shallow clone may lack the commit to compare with: ask for it, if there is
# somebody to ask.
if [[ $(git rev-parse --is-shallow-repository) == true ]]; then
	git fetch --quiet --unshallow --tags origin 2>/dev/null ||
		git fetch --quiet --deepen=1 origin 2>/dev/null ||
		echo "this clone is shallow and its origin does not answer" >&2
fi

head=$(commit HEAD)
if [[ -z $head ]]; then
	echo "compared with nothing: there is no commit yet"
	exit 0
fi

base='' why='' released=no
if [[ -n ${BREAKING_AGAINST:-} ]]; then
	base=$(commit "$BREAKING_AGAINST")
	why="BREAKING_AGAINST=$BREAKING_AGAINST"
	if [[ -z $base ]]; then
		echo "$why is no commit" >&2
		exit 1
	fi
elif tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' HEAD 2>/dev/null); then
	base=$(commit "$tag") why="newest release $tag" released=yes
else
	for upstream in origin/HEAD origin/main origin/master; do
		[[ -n $(commit "$upstream") ]] || continue
		base=$(git merge-base HEAD "$upstream" || true) why="where this branch left $upstream"
		break
	done
	# On the default branch itself that is HEAD: look at the last commit.
	if [[ -z $base || $base == "$head" ]]; then
		base=$(commit HEAD~1) why="the commit before"
	fi
fi
if [[ -z $base ]]; then
	echo "compared with nothing: $head has no ancestor in this clone"
	exit 0
fi
echo "compared with ${base:0:12} ($why)"

if ! git cat-file -e "$base:proto/meridian" 2>/dev/null || ! git cat-file -e "$base:buf.yaml" 2>/dev/null; then
	echo "that commit has no contract yet"
	exit 0
fi
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
git archive "$base" proto buf.yaml | tar -x -C "$old"
buf breaking --against "$old" && exit 0

reasons=$(git log --format='%(trailers:key=Contract-Break,valueonly,separator=%x0A)' "$base..HEAD" | grep -v '^$' || true)
if [[ $released == no && -n $reasons ]]; then
	echo "broken on purpose, before the first release:"
	echo "$reasons"
	exit 0
fi
exit 1
