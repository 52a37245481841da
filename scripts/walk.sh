#!/usr/bin/env bash
# A newcomer's walk on a clean system: debootstrap, git and make, clone, `make run` twice; says how long each step took.
# `walk.sh bookworm|trixie FOLDER`, as root, with debootstrap. What it makes in FOLDER stays: a second walk there is not a newcomer's.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

release=$1
system=$(realpath -m "$2")/$release
port=${SIGHTLINE_PORT:-9000}
authorities=/etc/ssl/certs/ca-certificates.crt

begun=$(date +%s)
step() { say "$(($(date +%s) - begun)) s: $*"; begun=$(date +%s); }

mounted=()
running=
leave() {
    if [ -n "$running" ]; then kill -INT -- "-$running" 2>/dev/null && wait "$running" || true; fi
    for place in "${mounted[@]}"; do umount "$place"; done
}
trap leave EXIT

# Whatever authorities this machine trusts, so that a proxy of its network is no obstacle.
inside=(chroot "$system" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
    CURL_CA_BUNDLE=$authorities SSL_CERT_FILE=$authorities PIP_CERT=$authorities NODE_EXTRA_CA_CERTS=$authorities
    CARGO_HTTP_CAINFO=$authorities SIGHTLINE_PORT="$port")

[ -e "$system/bin/sh" ] || debootstrap --variant=minbase "$release" "$system" >/dev/null
mkdir -p "$system/source" "$system/usr/local/share/ca-certificates"
cp "$authorities" "$system/usr/local/share/ca-certificates/host.crt"
cp /etc/resolv.conf /etc/hosts "$system/etc/"
for place in proc dev sys; do
    mount --bind "/$place" "$system/$place"
    mounted+=("$system/$place")
done
mount --bind -o ro "$root" "$system/source"
mounted+=("$system/source")
step "a clean system of $release"

"${inside[@]}" apt-get update -qq
"${inside[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates git make >/dev/null
"${inside[@]}" git -c 'safe.directory=*' clone -q /source /root/sightline
step "git, make, and a clone"

for time in first second; do
    # A group of its own, which Ctrl-C ends as a terminal's does.
    setsid "${inside[@]}" make -C /root/sightline run &
    running=$!
    until curl -sf -o /dev/null "http://localhost:$port/readyz"; do
        kill -0 "$running" 2>/dev/null || die "make run ended"
        sleep 1
    done
    curl -sf "http://localhost:$port/" | grep -q '<title>Sightline</title>' || die "there is no page"
    step "make run, the $time time, until it is ready and has a page"
    kill -INT -- "-$running"
    wait "$running" || die "make run ended badly"
    running=
done
