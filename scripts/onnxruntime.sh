#!/usr/bin/env bash
# Fetches ONNX Runtime (from PyPI's wheel) into target/, and lays it where programs and plugins look for it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

version=1.32.0
home=$root/target/onnxruntime

if [ ! -e "$home/$version/libonnxruntime.so" ]; then
    say "Fetching ONNX Runtime $version"
    mkdir -p "$home"
    [ -x "$home/venv/bin/pip" ] || python3 -m venv "$home/venv"
    "$home/venv/bin/pip" install -q --disable-pip-version-check --no-deps "onnxruntime==$version" ||
        die "ONNX Runtime could not be fetched from PyPI; check the network, or set ORT_DYLIB_PATH to a libonnxruntime.so"
    library=$(find "$home/venv" -path '*/onnxruntime/capi/libonnxruntime.so*' | sort | head -n 1)
    [ -n "$library" ] || die "PyPI's onnxruntime $version holds no libonnxruntime.so"
    mkdir -p "$home/$version"
    cp "$library" "$home/$version/libonnxruntime.so"
fi
# Beside the programs, and beside the plugins as cargo lays them.
for folder in release release/deps debug debug/deps; do
    mkdir -p "$root/target/$folder"
    ln -sfn "$home/$version/libonnxruntime.so" "$root/target/$folder/libonnxruntime.so"
done
