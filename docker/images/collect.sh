#!/usr/bin/env bash
# Puts the files of a list, the libraries they need and those libraries' copyright notices into a folder: an image of just
# what is used. `collect.sh LIST FOLDER`.
#
# A line is a path (with wildcards), or `gst NAME…` for GStreamer's plugins. A path that a pattern does not find is an error.
set -euo pipefail
list=$1
target=$2
plugins=$(echo /usr/lib/*/gstreamer-1.0)

wanted() {
    local line name
    while read -r line; do
        case $line in
            '' | '#'*) ;;
            'gst '*) for name in ${line#gst }; do echo "$plugins/libgst$name.so"; done ;;
            *) compgen -G "$line" || { echo "error: there is no $line" >&2; return 1; } ;;
        esac
    done < "$list"
}

# Of programs and libraries, what the dynamic linker loads with them.
needed() {
    local found
    found=$(xargs ldd)
    if grep 'not found' <<< "$found" >&2; then echo "error: libraries are missing" >&2; return 1; fi
    grep -o '/[^ :]* ' <<< "$found" | sort -u
}

# Each file, and all the links on the way to it: some of Debian's libraries are found by way of /etc/alternatives.
with_links() {
    local file link
    while read -r file; do
        while echo "$file" && [ -L "$file" ]; do
            link=$(readlink "$file")
            case $link in
                /*) file=$link ;;
                *) file=${file%/*}/$link ;;
            esac
        done
    done
}

files=$(wanted)
# shellcheck disable=SC2086
libraries=$(find $files -type f \( -path '*/bin/*' -o -name '*.so*' \) | needed)
# Debian's /lib is a link to /usr/lib, in the image too.
all=$(printf '%s\n' $files $libraries | sed 's|^/lib|/usr/lib|' | with_links | sort -u)
mkdir -p "$target/usr/lib" "$target/usr/lib64" "$target/usr/bin" "$target/tmp"
ln -sfn usr/lib "$target/lib"
ln -sfn usr/lib64 "$target/lib64"
ln -sfn usr/bin "$target/bin"
chmod 1777 "$target/tmp"
# shellcheck disable=SC2086
tar -C / -cf - $(sed 's|^/||' <<< "$all") | tar -C "$target" -xf -

# Whose files these are: each package's notice, and a list for the bill of materials.
mkdir -p "$target/usr/share/doc" "$target/usr/share/sbom"
# Our own files are no package's, which dpkg-query counts as a failure.
packages=$({ xargs dpkg-query -S <<< "$all" 2>/dev/null || true; } | cut -d : -f 1 | sort -u)
for package in $packages; do
    install -D -m 644 -t "$target/usr/share/doc/$package" "/usr/share/doc/$package/copyright"
    dpkg-query -W -f '${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\n' "$package"
done > "$target/usr/share/sbom/debian.tsv"

# The same libraries are found there, by the image's own linker.
find $files -type f \( -path '*/bin/*' -o -name '*.so*' \) | while read -r file; do
    ! chroot "$target" /lib64/ld-linux-x86-64.so.2 --list "$file" | grep 'not found' || { echo "error: $file lacks these in the image" >&2; exit 1; }
done

# Where the list of GStreamer's elements is made when the image is built.
install -d -o 65532 -g 65532 "$target/var/cache/sightline"
mkdir -p "$target/etc"
echo 'sightline:x:65532:65532:Sightline:/tmp:/usr/sbin/nologin' > "$target/etc/passwd"
echo 'sightline:x:65532:' > "$target/etc/group"
