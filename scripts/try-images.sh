#!/usr/bin/env bash
# Runs a Redis, and from the images alone signaling, a launcher and a worker; publishes a video by WHIP to them, from the launcher's
# image too, and says what the worker found in it: `try-images.sh VIDEO.mp4`. Prints the images' sizes as well.
# Each program runs in a chroot of its image, as the image's user; the network is this machine's loopback.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"

video=$(realpath "${1:?say which video: try-images.sh VIDEO.mp4}")
registry=${SIGHTLINE_REGISTRY:-localhost}
buildah() { command buildah --storage-driver vfs "$@"; }
folder=$(mktemp -d)
jobs=()
containers=()
finish() {
    # A container's program is a child of buildah's child.
    for pid in "${jobs[@]}"; do kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null || true; done
    wait
    for container in "${containers[@]}"; do buildah rm "$container" >/dev/null || true; done
    rm -rf "$folder"
}
trap finish EXIT

# free_port: that nobody has now.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# container IMAGE: one made of it, whose name is printed.
container() { buildah from --pull-never "$registry/sightline-$1"; }

# start NAME CONTAINER COMMAND…: in the background; its log is $folder/NAME.log.
start() {
    local name=$1
    shift
    setsid buildah --storage-driver vfs run --isolation chroot --volume "$video:/media/video.mp4:ro" --volume "$folder/shared:/shared:ro" "${settings[@]}" "$@" \
        > "$folder/$name.log" 2>&1 &
    jobs+=($!)
}

# until_it_works SECONDS COMMAND…
until_it_works() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > "$folder/last.log" 2>&1; do
        if [ $SECONDS -gt $deadline ]; then tail -n 60 "$folder"/*.log >&2; die "waited in vain: $*"; fi
        sleep 0.5
    done
}

mkdir "$folder/shared"
chmod 755 "$folder"
redis=$(free_port) page=$(free_port) launcher=$(free_port) worker=$(free_port)
printf secret > "$folder/shared/redis_password"
cat > "$folder/shared/publish.toml" <<END
schema = 1
name = "publish"
kind = "source"
summary = "A film, published by WHIP as if it were a camera"
[pipeline]
launch = 'filesrc location=/media/video.mp4 ! qtdemux ! h264parse ! avdec_h264 ! clocksync ! videoconvert ! whipclientsink video-caps=video/x-vp8 stun-server=NULL signaller::whip-endpoint=http://127.0.0.1:$page/whip/webrtc-detect'
END
settings=(--env REDIS_HOST=127.0.0.1 --env "REDIS_PORT=$redis" --env REDIS_PASSWORD_FILE=/shared/redis_password --env SIGHTLINE_INSECURE=1)

redis-server --port "$redis" --save '' --requirepass secret --bind 127.0.0.1 > "$folder/redis.log" 2>&1 &
jobs+=($!)
signaling=$(container signaling) bridge=$(container launcher) inference=$(container launcher) publisher=$(container launcher)
containers=("$signaling" "$bridge" "$inference" "$publisher")
started=$(date +%s%N)
until_it_works 20 redis-cli -p "$redis" -a secret ping
start signaling --env "SIGHTLINE_PORT=$page" --env SIGHTLINE_BIND=127.0.0.1 "$signaling" signaling
start launcher --env "SIGHTLINE_LAUNCHER_PORT=$launcher" --env SIGHTLINE_UDP_PORTS=12900-12909 "$bridge" pipeline-launcher serve --workers 0
start worker --env "SIGHTLINE_LAUNCHER_PORT=$worker" "$inference" pipeline-launcher serve --workers 1 --max-sessions 0
until_it_works 120 curl -sf "http://127.0.0.1:$page/readyz"
say "Ready $((($(date +%s%N) - started) / 1000000)) ms after the start"
curl -sf "http://127.0.0.1:$page/api/v1/workers" | jq -r '.workers[] | "worker \(.name): \(.info.model)"'
curl -sf "http://127.0.0.1:$page/" | grep -o '<title>.*</title>'
for pair in "$signaling:signaling:SIGHTLINE_PORT=$page" "$bridge:pipeline-launcher:SIGHTLINE_LAUNCHER_PORT=$launcher"; do
    IFS=: read -r one program setting <<< "$pair"
    buildah run --isolation chroot --env "$setting" "$one" "$program" healthcheck --ready && say "$program healthcheck --ready: well"
done

start publish "$publisher" pipeline-launcher run /shared/publish.toml
found() { [ "$(redis-cli -p "$redis" -a secret --no-auth-warning xlen predictions)" -ge 60 ]; }
until_it_works 60 found
say "What was found in the last predictions"
redis-cli -p "$redis" -a secret --no-auth-warning --json xrevrange predictions + - COUNT 60 |
    jq -r '.[][1] | [range(0; length; 2) as $i | {(.[$i]): .[$i + 1]}] | add | .detections | fromjson[].label' | sort | uniq -c | sort -rn
say "Sizes"
for name in signaling launcher; do
    one=$signaling
    [ "$name" = signaling ] || one=$bridge
    echo "sightline-$name: $(du -s --apparent-size --block-size=1M "$(buildah mount "$one")" | cut -f 1) MiB"
done
