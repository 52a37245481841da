#!/usr/bin/env bash
# Makes likes of the base images that docker/images builds on, from Debian's packages and this machine's own Rust and Node.js,
# under the same names: for machines that reach no registry of images. Needs root, debootstrap and buildah.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

install_packages buildah debootstrap
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
run() { buildah --storage-driver vfs "$@"; }

# commit CONTAINER NAME
commit() { run commit -q --rm "$1" "docker.io/library/$2" >/dev/null && say "$2"; }

if ! run inspect docker.io/library/debian:13-slim >/dev/null 2>&1; then
    debootstrap --variant=minbase trixie "$folder/debian" >/dev/null
    rm -rf "$folder"/debian/var/cache/apt/archives/*.deb "$folder"/debian/var/lib/apt/lists/*
    # Whatever authorities this machine trusts, so that a proxy of its network is no obstacle.
    install -D /etc/ssl/certs/ca-certificates.crt "$folder/debian/usr/local/share/ca-bundle.crt"
    tar -C "$folder/debian" -cf "$folder/debian.tar" .
    rm -rf "$folder/debian"
    container=$(run from scratch)
    run add -q "$container" "$folder/debian.tar" / >/dev/null
    rm "$folder/debian.tar"
    run config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env PIP_CERT=/usr/local/share/ca-bundle.crt "$container"
    commit "$container" debian:13-slim
fi

container=$(run from docker.io/library/debian:13-slim)
run add -q "$container" "$(readlink -f "$(command -v node)")" /usr/local/bin/node >/dev/null
run add -q "$container" "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")" /usr/local/lib/node_modules/npm >/dev/null
run run --isolation chroot "$container" ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
run config --env NODE_EXTRA_CA_CERTS=/usr/local/share/ca-bundle.crt "$container"
commit "$container" node:22-trixie-slim

container=$(run from docker.io/library/debian:13-slim)
run run --isolation chroot "$container" sh -c \
    'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null'
for part in bin lib; do run add -q "$container" "$(rustc --print sysroot)/$part" "/usr/local/rust/$part" >/dev/null; done
run config --env PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env CARGO_HTTP_CAINFO=/usr/local/share/ca-bundle.crt --env PIP_CERT=/usr/local/share/ca-bundle.crt \
    --env CARGO_HOME=/usr/local/cargo "$container"
commit "$container" rust:1-slim-trixie
