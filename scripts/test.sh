#!/usr/bin/env bash
# All tests. Each part can be run alone: `scripts/test.sh rust|ui|models|fuzz|shipping|e2e`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"

# A test that provokes a GStreamer critical has found a bug.
export G_DEBUG=fatal-criticals
export RUST_BACKTRACE=1

# Programs and plugins, as the tests were built: without `--tests` all would be built anew, with fewer features of their dependencies.
programs() { cargo build --workspace --quiet --lib --bins --tests $(release_features); }

rust() {
    say "Rust: unit, harness and property tests"
    # Unquoted: flags or nothing.
    cargo test --workspace --quiet --no-fail-fast $(release_features)
    say "Pipeline descriptions"
    programs
    target/debug/pipeline-launcher check --deny-warnings pipelines
}

ui() {
    say "UI: types and unit tests"
    npm --prefix ui run --silent check
    npm --prefix ui test --silent
}

# Python for tests alone: with the packages that they import.
python=$root/target/test-venv/bin/python
venv() {
    [ -x "$python" ] || python3 -m venv "$root/target/test-venv"
    "$python" -c 'import onnx, onnxruntime, numpy, PIL, redis' 2>/dev/null ||
        "$python" -m pip install -q --disable-pip-version-check onnx onnxruntime==1.32.0 numpy pillow redis
}

models() {
    say "The built-in test model, and the benches' own tests"
    venv
    "$python" models/test_blobs.py
    "$python" models/test_resize.py
    "$python" models/test_dynamic.py
    "$python" bench/accuracy/test_accuracy.py
    "$python" bench/tracking/test_tracking.py
    "$python" bench/redis/test_redis.py
    "$python" bench/performance/test_performance.py
}

fuzz() {
    say "Fuzz targets: seeds and earlier findings"
    # CI looks for new findings too; that begins with the old ones.
    if [ -n "${CI:-}" ]; then
        # Beside the others a target may have to wait for a processor.
        FUZZ_JOBS=4 FUZZ_TIMEOUT=60 scripts/fuzz.sh "${FUZZ_SECONDS:-30}"
    else
        scripts/fuzz.sh replay
    fi
}

# The crates whose manifests say that they may be published, as flags.
publishable() {
    cargo metadata --no-deps --format-version=1 |
        python3 -c 'import json, sys; print(*("-p " + p["name"] for p in json.load(sys.stdin)["packages"] if p["publish"] is None))'
}

# Without what is known of vulnerabilities: that list is on GitHub, which not every machine reaches.
licences() {
    if ! cargo deny --version >/dev/null 2>&1; then
        say "SKIPPED: licences and sources of what we depend on (cargo install --locked cargo-deny)"
        return
    fi
    say "Licences and sources of what we depend on"
    cargo deny --all-features check --hide-inclusion-graph bans licenses sources
}

shipping() {
    say "Compose file, Kubernetes manifests, bills of materials"
    # Apart from the others: schemas of hundreds of megabytes, and what they depend on.
    local python=$root/target/shipping-venv/bin/python
    [ -x "$python" ] || python3 -m venv "$root/target/shipping-venv"
    "$python" -c 'import check_jsonschema, cloudcoil, cyclonedx, jsonschema, kubernetes_validate, redis, yaml' 2>/dev/null ||
        "$python" -m pip install -q --disable-pip-version-check check-jsonschema==0.39.0 cloudcoil.models.keda==2.16.1.0 \
            'cyclonedx-python-lib[json-validation]==11.12.0' kubernetes-validate==1.37.0 pyyaml redis
    "$python" docker/test_compose.py
    "$python" docker/test_kubernetes.py
    "$python" scripts/test_third_party.py
    licences
    say "What would be published: all that is in each package, and that the index has what it needs"
    # All together: each finds the others as if they were published.
    cargo publish --dry-run --no-verify --quiet --allow-dirty $(publishable)
}

e2e_packages() {
    venv
    "$python" -c 'import schemathesis' 2>/dev/null ||
        "$python" -m pip install -q --disable-pip-version-check schemathesis==4.32.5
    "$python" -c 'import aiohttp, aiortc' 2>/dev/null ||
        "$python" -m pip install -q --disable-pip-version-check aiohttp==3.14.5 aiortc==1.16.0
    "$python" -c 'import inventa' 2>/dev/null ||
        "$python" -m pip install -q --disable-pip-version-check inventa==0.0a15
    "$python" -c 'import opentelemetry.proto' 2>/dev/null ||
        "$python" -m pip install -q --disable-pip-version-check opentelemetry-proto==1.45.2
}

# e2e [FILE…]: all, if none is named.
e2e() {
    local files=("$@")
    [ $# -gt 0 ] || files=(e2e/*.test.mjs)
    say "End to end, in a real browser"
    e2e_packages
    # Those in target/debug, unless others are to be tested: a release build would take as long as all these tests.
    [ -n "${SIGHTLINE_BIN:-}" ] || programs
    SIGHTLINE_BIN=${SIGHTLINE_BIN:-target/debug} node --test --test-concurrency=1 "${files[@]}"
}

# What mostly waits: for packages, for alerts, for memory that could grow, for answers to thousands of requests.
waiting=(e2e/{metrics,rest,soak}.test.mjs)
waiting() {
    models
    shipping
    e2e "${waiting[@]}"
}

# Parts beside the others, by name; `joined` waits for them.
declare -A besides=()

# beside NAME COMMAND…
beside() {
    say "$1, beside what follows"
    # A process group of its own, so that all of it can be ended.
    setsid "${@:2}" >"target/test-$1.log" 2>&1 &
    besides[$1]=$!
}
# Ends what is not joined.
trap '[ ${#besides[@]} = 0 ] || kill -- "${besides[@]/#/-}" 2>/dev/null || true' EXIT

# With what processor time the others leave: a long part costs no time then. The process group is a group to the scheduler too, and that
# group is what has to be nice.
idle() { beside "$1" bash -c 'echo 19 2>/dev/null >/proc/self/autogroup; exec chrt --idle 0 nice -n 19 scripts/test.sh "$1"' - "$1"; }

# joined [NAME…]: all, if none is named.
joined() {
    local name failed=() names=("$@")
    [ $# -gt 0 ] || names=("${!besides[@]}")
    for name in "${names[@]}"; do
        wait "${besides[$name]}" || failed+=("$name")
        say "$name, beside the others"
        cat "target/test-$name.log"
        unset "besides[$name]"
    done
    [ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
}

if [ $# -gt 0 ]; then
    "$@"
elif [ -n "${CI:-}" ]; then
    mkdir -p target
    say "Building all tests"
    cargo test --workspace --quiet --no-run $(release_features)
    # Not before: a second build beside this one makes it last half as long again, however nice the other is.
    idle fuzz
    # These wait more than they work.
    beside rust scripts/test.sh rust
    ui
    e2e_packages
    beside waiting scripts/test.sh waiting
    # What is shown is compared to the frame: that wants a machine which has time for both.
    shown=(e2e/{annotated,bikes,browsers,frames}.test.mjs)
    e2e $(printf '%s\n' e2e/*.test.mjs | grep -vxF "$(printf '%s\n' "${waiting[@]}" "${shown[@]}")")
    joined rust waiting
    e2e "${shown[@]}"
    joined
else
    rust; ui; models; fuzz; shipping; e2e
fi
