#!/usr/bin/env bash
# Builds the container images of docker/images, with docker or, where that does not run, buildah.
#
# PROGRAMS            take the programs from this folder (target/release) instead of building them in a container
# IMAGES              which of: signaling launcher launcher-gpu; the first two unless said otherwise
# SIGHTLINE_REGISTRY  what the images' names begin with, localhost
# BUILD_FLAGS         more flags for `docker build` or `buildah bud`
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"

registry=${SIGHTLINE_REGISTRY:-localhost}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

if docker info >/dev/null 2>&1; then
    engine() { docker build "$@"; }
else
    command -v buildah >/dev/null || die "neither docker nor buildah is here: install one (apt-get install buildah)"
    # Needs neither a daemon nor namespaces: it works inside a container too. OCI's own format knows no health checks.
    engine() { buildah --storage-driver vfs bud --isolation chroot --format docker "$@"; }
fi

# image NAME DOCKERFILE CONTEXT [FLAG…]
image() {
    local name=$1 file=$2 context=$3
    shift 3
    say "Image $registry/sightline-$name"
    # Unquoted: flags or nothing.
    engine ${BUILD_FLAGS:-} --build-arg VERSION="$version" --build-arg REVISION="$revision" "$@" \
        -t "$registry/sightline-$name:$version" -t "$registry/sightline-$name:latest" -f "$file" "$context"
}

# The default model goes into the image if it is to be had; without it workers run with the built-in one, and say so.
model=$(scripts/model.py yolox_nano | sed -n 's/^Model yolox_nano: //p')
if [ -n "$model" ] && [ ! -e models/yolox_nano.onnx ]; then cp "$model" models/yolox_nano.onnx; fi

if [ -n "${PROGRAMS:-}" ]; then
    payload=target/images/payload
    rm -rf "$payload"
    mkdir -p "$payload"
    DESTDIR=$root/$payload scripts/payload.sh
    image programs docker/images/built.Dockerfile "$payload"
else
    image programs docker/images/programs.Dockerfile .
fi
for name in ${IMAGES:-signaling launcher}; do
    image "$name" "docker/images/$name.Dockerfile" . \
        --build-arg PROGRAMS="$registry/sightline-programs" --build-arg LAUNCHER="$registry/sightline-launcher"
done
