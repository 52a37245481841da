#!/usr/bin/env bash
# Installs what `make build` has made, or takes it away again: `install.sh install|uninstall`.
#
# PREFIX          where to, /usr/local
# SYSCONFDIR      of the services' settings, /etc
# DESTDIR         put before every path, for packages and images
# PROGRAMS        folder of the built programs and plugins, target/release
# GST_PLUGIN_DIR  GStreamer's own folder of plugins, if PREFIX is /usr or /usr/local; else PREFIX/lib/gstreamer-1.0
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"

prefix=${PREFIX:-/usr/local}
programs=${PROGRAMS:-target/release}
destdir=${DESTDIR:-}
settings=${SYSCONFDIR:-/etc}/sightline
library=$prefix/lib/sightline
share=$prefix/share/sightline
units=$prefix/lib/systemd/system
names=(signaling pipeline-launcher)
services=(sightline-signaling.service sightline-launcher.service)

plugin_dir() {
    case $prefix in
        /usr | /usr/local) pkg-config --variable=pluginsdir gstreamer-1.0 2>/dev/null || echo "$prefix/lib/gstreamer-1.0" ;;
        *) echo "$prefix/lib/gstreamer-1.0" ;;
    esac
}
plugins=${GST_PLUGIN_DIR:-$(plugin_dir)}
# The plugins look for ONNX Runtime here.
beside_plugins=$(dirname "$plugins")/sightline

# put MODE FILE FOLDER
put() { install -D -m "$1" -t "$destdir$3" "$2"; }

# put_unit FILE FOLDER: with these paths in it.
put_unit() {
    install -d "$destdir$2"
    sed "s|@PREFIX@|$prefix|g; s|@SETTINGS@|$settings|g" "$1" > "$destdir$2/$(basename "$1")"
    chmod 644 "$destdir$2/$(basename "$1")"
}

install_all() {
    local name file
    for name in "${names[@]}"; do
        [ -x "$programs/$name" ] || die "there is no $programs/$name: run \`make build\` first, or name its folder in PROGRAMS"
    done
    for name in "${names[@]}"; do put 755 "$programs/$name" "$prefix/bin"; done
    install -d "$destdir$share"
    : > "$destdir$share/plugins.list"
    for file in "$programs"/libgst*.so; do
        # Not in an image, where the launcher has them in itself.
        [ -e "$file" ] || continue
        put 644 "$file" "$plugins"
        basename "$file" >> "$destdir$share/plugins.list"
    done
    put 644 "$(realpath "$programs/libonnxruntime.so")" "$library"
    if [ "$beside_plugins" != "$library" ]; then
        # Without plugins nothing has made it.
        install -d "$destdir$(dirname "$beside_plugins")"
        ln -sfn "$(realpath -m --relative-to="$(dirname "$beside_plugins")" "$library")" "$destdir$beside_plugins"
    fi
    for file in pipelines/*.toml; do put 644 "$file" "$share/pipelines"; done
    for file in models/*.{toml,txt,onnx}; do put 644 "$file" "$share/models"; done
    install -d "$destdir$share/ui"
    cp -R ui/dist/. "$destdir$share/ui"
    put 644 LICENSE "$prefix/share/doc/sightline"
    for file in "${services[@]}"; do put_unit "docker/systemd/$file" "$units"; done
    put_unit docker/systemd/sightline.conf "$prefix/lib/sysusers.d"
    # An operator's settings stay as they are.
    [ -e "$destdir$settings/environment" ] || put 600 docker/systemd/environment "$settings"
    [ -n "$destdir" ] || advise
}

advise() {
    case $plugins in
        "$prefix"/*) say "GStreamer finds the plugins with GST_PLUGIN_PATH=$plugins" ;;
    esac
    say "Installed. As services, with a Redis that is running:"
    echo "    systemd-sysusers && systemctl daemon-reload && systemctl enable --now ${services[*]}"
}

uninstall_all() {
    local name file
    for name in "${names[@]}"; do rm -f "$destdir$prefix/bin/$name"; done
    if [ -e "$destdir$share/plugins.list" ]; then
        while read -r file; do rm -f "$destdir$plugins/$file"; done < "$destdir$share/plugins.list"
    fi
    if [ -L "$destdir$beside_plugins" ]; then rm "$destdir$beside_plugins"; fi
    rm -rf "$destdir$library" "$destdir$share" "$destdir$prefix/share/doc/sightline"
    for file in "${services[@]}"; do rm -f "$destdir$units/$file"; done
    rm -f "$destdir$prefix/lib/sysusers.d/sightline.conf"
}

case ${1:-} in
    install) install_all ;;
    uninstall) uninstall_all ;;
    *) die "say \`install\` or \`uninstall\`" ;;
esac
