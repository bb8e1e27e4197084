#!/bin/bash
# Makes one cluster of the three CockroachDB nodes, and in it the database and
# the services' user. It may be run again.
#
# COCKROACH_HOST and COCKROACH_CERTS_DIR say where, and as whom: root.
set -euo pipefail

# A node refuses SQL until the cluster is made, so this comes first.
until said=$(/cockroach/cockroach init 2>&1) || [[ $said == *"already been initialized"* ]]; do
	echo "$said" >&2
	sleep 1
done

# The regions exist once a node of each has joined.
for attempt in {1..60}; do
	if /cockroach/cockroach sql --file /etc/meridian/database.sql; then
		exit 0
	fi
	echo "attempt $attempt: the database is not made yet" >&2
	sleep 2
done
exit 1
