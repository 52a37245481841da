#!/usr/bin/env bash
# Installs what is missing on Debian or Ubuntu. `setup.sh run`: to build and run; `setup.sh test`: also what tests need.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

rust_wanted=1.92
node_wanted=18

install_packages \
    build-essential ca-certificates curl pkg-config python3 python3-venv redis-server \
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev \
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav \
    gstreamer1.0-nice gstreamer1.0-tools
# Node.js may come from elsewhere than Debian.
if ! command -v npm >/dev/null; then
    install_packages nodejs npm
fi
if [ "${1:-run}" = test ]; then
    install_packages coturn iproute2 nftables prometheus simple-whip-client
fi
if [ "${1:-run}" = test ] && ! command -v chromium >/dev/null; then
    # On Ubuntu the package is a snap, which headless tests cannot use: there, name a browser in CHROMIUM.
    [ -n "${CHROMIUM:-}" ] || install_packages chromium
fi

if [ "${1:-run}" = test ] && ! command -v firefox-esr >/dev/null; then
    # Ubuntu has it as a snap only.
    [ -n "${FIREFOX:-}" ] || install_packages firefox-esr
fi

if [ "${1:-run}" = test ]; then
    # An RTSP server for the system's own Python; jq, which the cookbook's lines use.
    install_packages gir1.2-gst-rtsp-server-1.0 jq python3-gi
fi

node_found=$(node --version | tr -d v)
at_least "$node_found" "$node_wanted" || die "Node.js $node_found is too old: $node_wanted or later is needed"

# cargo may have been installed in this very run, or for this user only.
export PATH="$HOME/.cargo/bin:$PATH"
if ! command -v cargo >/dev/null; then
    say "Installing Rust by rustup, for this user"
    # What https://sh.rustup.rs leads to, at the host that Rust itself comes from.
    curl --proto '=https' --tlsv1.2 -sSf --max-time 300 https://static.rust-lang.org/rustup/rustup-init.sh | sh -s -- -y --profile minimal ||
        die "Rust could not be installed; install Rust $rust_wanted or later (https://rustup.rs) and try again"
fi
rust_found=$(rustc --version | cut -d ' ' -f 2)
at_least "$rust_found" "$rust_wanted" || die "Rust $rust_found is too old: $rust_wanted or later is needed (rustup update)"

"$root/scripts/onnxruntime.sh"
