#!/usr/bin/env bash
# What docs/performance.md tells, measured anew and written: `run.sh`, about eleven minutes. `run.sh quick`: faster or slower than what is recorded?
# SIGHTLINE_BIN names another folder with the programs.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$root"

here=bench/performance
programs=${SIGHTLINE_BIN:-$root/target/release}
python=$root/target/bench-venv/bin/python
install_packages valgrind python3-gi gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice
[ -x "$python" ] || python3 -m venv "$root/target/bench-venv"
"$python" -c 'import numpy, onnxruntime, PIL, redis' 2>/dev/null ||
    "$python" -m pip install -q --disable-pip-version-check -r bench/requirements.txt

if [ "${1:-}" = quick ]; then
    exec "$python" "$here/quick.py" --programs "$programs"
fi
for name in throughput latency density footprint instructions; do
    say "Performance: $name"
    "$python" "$here/$name.py" --programs "$programs" >/dev/null
done
say "Performance: recorded for bench-quick"
"$python" "$here/quick.py" --programs "$programs" --record
python3 "$here/document.py"
