#!/bin/sh
# Cuts a region off from the others, or heals it. Inside the region, and from
# this machine to it, everything stays connected.
#
# Usage: region.sh cut|heal REGION
set -eu

case ${1:-} in
cut) verb=disconnect ;;
heal) verb=connect ;;
*)
	echo "usage: $0 cut|heal REGION" >&2
	exit 2
	;;
esac
for part in cockroach nats-1 nats-2 nats-3 identity authz; do
	docker network "$verb" meridian-interregion "$2-$part"
done
