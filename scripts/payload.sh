#!/usr/bin/env bash
# Lays what images take from into DESTDIR: what `make install` does, the notices of what is in our programs, and their bills
# of materials.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"

export PREFIX=/usr
scripts/install.sh install
scripts/third_party.py notices > "$DESTDIR/usr/share/doc/sightline/THIRD-PARTY.txt"
mkdir -p "$DESTDIR/usr/share/sbom"
for program in signaling pipeline-launcher; do
    scripts/third_party.py sbom "$program" > "$DESTDIR/usr/share/sbom/$program.cdx.json"
done
