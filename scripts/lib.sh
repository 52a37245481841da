# Shared by the scripts beside it; not a program.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# as_root COMMAND…: as it is for root, by sudo for others.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "'$*' needs root: run it yourself, or install sudo"
    fi
}

# install_packages NAME…: those that are missing, with one call of apt-get.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || die "these packages are missing, and there is no apt-get here to install them: ${missing[*]}"
    say "Installing packages: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# at_least HAVE WANT: versions, compared as numbers.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# cargo's flags for what this machine's GStreamer has beyond our floor of 1.22.
features() { ! pkg-config --atleast-version=1.24 gstreamer-analytics-1.0 2>/dev/null || echo --features pipeline-launcher/v1_24; }

# And for what is released: with elements of gst-plugins-rs, which take minutes to build.
release_features() { echo "$(features) --features pipeline-launcher/rs"; }
