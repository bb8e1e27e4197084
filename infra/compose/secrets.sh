#!/bin/sh
# Makes the certificates, keys and passwords of the regions' containers, for
# development: the authorities' keys stay beside what they signed. What exists is
# kept, so it may be run again; what a run did not finish, the next one makes.
#
# Usage: secrets.sh FOLDER REGION...
#
# In FOLDER it makes, for each region, what its containers mount:
#
#   REGION/cockroach  the node's certificate
#   REGION/nats       the servers' certificate, and nats.env with the passwords
#   REGION/meridian   the services' certificate, database client, URLs and keys
#
# and edge (whom to trust), operator (to administrate the database and NATS) and
# authority (the keys that sign, and the passwords). There are three authorities,
# because each of them admits to something: to the database, to NATS as a server,
# and to being one of the services.
#
# MERIDIAN is the command line (meridian). OWNER, if set, is the user and group
# whose the files of meridian and operator become.
set -eu
umask 077

cd "$1"
shift
mkdir -p authority edge operator
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# authority NAME
authority() {
	[ -e "authority/$1.crt" ] && return
	echo "authority $1"
	cat >"$scratch/req.cnf" <<-END
		[req]
		distinguished_name = name
		x509_extensions = authority
		prompt = no
		[name]
		O = Meridian development
		CN = $1
		[authority]
		basicConstraints = critical, CA:true
		keyUsage = critical, keyCertSign, cRLSign
		subjectKeyIdentifier = hash
	END
	openssl req -x509 -config "$scratch/req.cnf" -newkey rsa:2048 -noenc -days 3650 -sha256 \
		-keyout "authority/$1.key" -out "$scratch/crt" 2>"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
	mv "$scratch/crt" "authority/$1.crt"
}

# certificate AUTHORITY FILE NAME USAGES [SUBJECT-ALTERNATIVE-NAMES]
certificate() {
	[ -e "$2.crt" ] && return
	echo "certificate $2"
	cat >"$scratch/req.cnf" <<-END
		[req]
		distinguished_name = name
		x509_extensions = leaf
		prompt = no
		[name]
		O = Meridian development
		CN = $3
		[leaf]
		basicConstraints = critical, CA:false
		keyUsage = critical, digitalSignature, keyEncipherment
		extendedKeyUsage = $4
		${5:+subjectAltName = $5}
	END
	openssl req -x509 -config "$scratch/req.cnf" -newkey rsa:2048 -noenc -days 825 -sha256 \
		-CA "authority/$1.crt" -CAkey "authority/$1.key" \
		-keyout "$2.key" -out "$scratch/crt" 2>"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
	mv "$scratch/crt" "$2.crt"
}

# names HOST... prints subject alternative names: the hosts, and this machine for
# health checks.
names() {
	for host in "$@"; do printf 'DNS:%s, ' "$host"; done
	echo 'DNS:localhost, IP:127.0.0.1'
}

# password NAME makes authority/NAME.password. The letter before it keeps NATS
# from reading a number.
password() {
	[ -e "authority/$1.password" ] && return
	echo "p$(openssl rand -hex 24)" >"$scratch/password"
	mv "$scratch/password" "authority/$1.password"
}

# publish FROM... TO copies certificates that everybody may read.
publish() {
	for to in "$@"; do :; done
	while [ $# -gt 1 ]; do
		cat "$1"
		shift
	done >"$scratch/public"
	chmod 0644 "$scratch/public"
	mv "$scratch/public" "$to"
}

database_url() {
	echo "postgres://$1@$2-cockroach:26257/meridian?sslmode=verify-full&sslrootcert=$3/ca.crt&sslcert=$3/client.$1.crt&sslkey=$3/client.$1.key"
}

both='serverAuth, clientAuth'
for name in cockroach nats meridian; do authority $name; done
for name in app operator system; do password $name; done

for region in "$@"; do
	mkdir -p "$region/cockroach" "$region/nats" "$region/meridian/database"

	# CockroachDB wants exactly these names of files, and "node" in them.
	publish authority/cockroach.crt "$region/cockroach/ca.crt"
	certificate cockroach "$region/cockroach/node" node "$both" "$(names "$region-cockroach")"

	# One certificate for the three servers; they log in at each other with it.
	publish authority/nats.crt "$region/nats/ca.crt"
	certificate nats "$region/nats/server" "$region-nats" "$both" \
		"$(names "$region-nats-1" "$region-nats-2" "$region-nats-3")"
	cat >"$region/nats/nats.env" <<-END
		NATS_APP_PASSWORD=$(cat authority/app.password)
		NATS_OPERATOR_PASSWORD=$(cat authority/operator.password)
		NATS_SYSTEM_PASSWORD=$(cat authority/system.password)
	END

	publish authority/nats.crt authority/meridian.crt "$region/meridian/ca.crt"
	certificate meridian "$region/meridian/server" "$region" serverAuth \
		"$(names "$region-identity" "$region-authz" "$region-relay")"
	publish authority/cockroach.crt "$region/meridian/database/ca.crt"
	certificate cockroach "$region/meridian/database/client.meridian" meridian clientAuth
	database_url meridian "$region" /secrets/database >"$region/meridian/database.url"
	for server in 1 2 3; do
		printf 'tls://meridian:%s@%s-nats-%s:4222,' "$(cat authority/app.password)" "$region" "$server"
	done | sed 's/,$//' >"$region/meridian/bus.url"

	# The service key and the blind key are the deployment's, the regional keyset the
	# region's own.
	for key in service.key blind.key; do
		if [ -e "authority/$key" ] && [ ! -e "$region/meridian/$key" ]; then
			cp "authority/$key" "$region/meridian/$key"
		fi
	done
	"${MERIDIAN:-meridian}" keys "$region/meridian" >/dev/null
	for key in service.key blind.key; do
		[ -e "authority/$key" ] || cp "$region/meridian/$key" "authority/$key"
	done

	[ -z "${OWNER:-}" ] || chown -R "$OWNER" "$region/meridian"
done

publish authority/meridian.crt edge/ca.crt
chmod 0755 edge
publish authority/cockroach.crt operator/ca.crt
publish authority/nats.crt operator/nats-ca.pem
certificate cockroach operator/client.root root clientAuth
database_url root "$1" /operator >operator/database.url
echo "tls://operator:$(cat authority/operator.password)@$1-nats-1:4222" >operator/nats.url
[ -z "${OWNER:-}" ] || chown -R "$OWNER" operator
