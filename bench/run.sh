#!/usr/bin/env bash
# All measurements.
set -euo pipefail
. "$(dirname "$0")/../scripts/lib.sh"
cd "$root"

python=$root/target/bench-venv/bin/python
[ -x "$python" ] || python3 -m venv "$root/target/bench-venv"
"$python" -m pip install -q --disable-pip-version-check -r bench/requirements.txt
say "Accuracy"
"$python" bench/accuracy/run.py
say "Tracking"
"$python" bench/tracking/run.py
say "Speed"
"$python" bench/elements/run.py
say "Taking frames in"
"$python" bench/ingest/run.py
say "Frames inferred together"
"$python" bench/batching/run.py
say "Sessions that come and go"
"$python" bench/launcher/run.py
say "Watched pipelines"
"$python" bench/launcher/watching.py
say "A picture that others can watch"
"$python" bench/video/run.py
say "Redis as the engine"
for name in workers metrics quality load sessions overload faults simulate; do
    "$python" "bench/redis/$name.py"
done
"$python" bench/redis/capacity.py --docs docs/scaling.md
say "Performance, beside the limit and the alternatives"
bench/performance/run.sh
say "Through loss"
"$python" bench/loss/run.py
