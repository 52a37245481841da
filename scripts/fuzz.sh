#!/usr/bin/env bash
# Fuzzing with libFuzzer, on stable Rust. `fuzz.sh replay`: each target once over its seeds and earlier findings, as
# `make test` does. `fuzz.sh SECONDS [TARGET…]`: looks for new ones, guided by coverage; FUZZ_JOBS targets at a time. An input may
# take FUZZ_TIMEOUT seconds (5).
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"

seeds() { # TARGET: files to begin with, one a line
    case $1 in
    model_file) printf '%s\n' models/blobs*.onnx ;;
    pipeline_file) printf '%s\n' pipelines/*.toml pipeline-launcher/tests/broken/*.toml ;;
    sdp_fragment) printf '%s\n' protocol/sdp/tests/clients/*.sdpfrag ;;
    sdp_*) printf '%s\n' protocol/sdp/tests/clients/*.sdp ;;
    esac
    [ ! -d "fuzz/seeds/$1" ] || find "fuzz/seeds/$1" -type f
}

targets() { sed -n '/^\[\[bin\]\]/,/^path/s/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml; }

replay() {
    cargo build --quiet --manifest-path fuzz/Cargo.toml --target-dir target
    local target files
    for target in $(targets); do
        mapfile -t files < <(seeds "$target")
        # Without a file libFuzzer would begin to look for some.
        [ ${#files[@]} -gt 0 ] || die "the fuzz target $target has no seeds"
        "target/debug/$target" "${files[@]}" 2>"target/fuzz-$target.log" ||
            { tail -n 40 "target/fuzz-$target.log"; die "the fuzz target $target failed"; }
        echo "$target: ${#files[@]} seeds"
    done
}

triple=$(rustc -vV | sed -n 's/^host: //p')

fuzz() { # SECONDS TARGET…
    local secs=$1 target features=--no-default-features
    shift
    for target in "$@"; do
        case $target in
        sdp_* | inventa_message) ;;
        websocket | http_headers) features+=" --features=signaling" ;;
        *) features+=" --features=elements" ;;
        esac
    done
    # What `cargo fuzz` passes too; with --target, build scripts and macros stay as they are. Optimised a little: more would take
    # longer than a minute of each target gains.
    RUSTFLAGS="--cfg fuzzing -C debug-assertions -C codegen-units=1 -C passes=sancov-module \
        -C llvm-args=-sanitizer-coverage-level=4 -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
        -C llvm-args=-sanitizer-coverage-pc-table -C llvm-args=-sanitizer-coverage-trace-compares" \
        CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo build --quiet --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target "$triple" $features # of several words
    say "Fuzzing $* for $secs s each"
    printf '%s\n' "$@" | xargs -P "${FUZZ_JOBS:-1}" -I TARGET "$0" one "$secs" TARGET
}

one() { # SECONDS TARGET
    local secs=$1 target=$2 corpus=target/fuzz/corpus/$2
    mkdir -p "$corpus" "fuzz/seeds/$target"
    seeds "$target" | xargs -r cp -t "$corpus"
    # A finding is left in fuzz/seeds: commit it with the repair.
    "target/fuzz/$triple/debug/$target" "$corpus" -max_total_time="$secs" -timeout="${FUZZ_TIMEOUT:-5}" -rss_limit_mb=2048 \
        -max_len=65536 -print_final_stats=1 -artifact_prefix="fuzz/seeds/$target/" 2>"target/fuzz/$target.log" ||
        { tail -n 40 "target/fuzz/$target.log"; die "$target: see the file in fuzz/seeds/$target"; }
    sed -n "s/^stat::/$target: /p" "target/fuzz/$target.log" | grep -E 'number_of_executed_units|new_units_added'
}

if [ "${1:-}" = replay ]; then
    replay
elif [ "${1:-}" = one ]; then
    one "$2" "$3"
else
    secs=${1:-60}
    chosen=("${@:2}")
    [ ${#chosen[@]} -gt 0 ] || mapfile -t chosen < <(targets)
    fuzz "$secs" "${chosen[@]}"
fi
