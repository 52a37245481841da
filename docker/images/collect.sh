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

# needed: of the files on standard input, what the dynamic linker loads with them.
needed() {
    local file found
    while read -r file; do
        found=$(ldd "$file" 2>/dev/null) || continue
        if grep 'not found' <<< "$found" >&2; then echo "error: $file lacks libraries" >&2; return 1; fi
        grep -o '/[^ ]*' <<< "$found" || true
    done
}

# At the path by which it is looked for, and what that is a link to.
with_targets() {
    local file
    while read -r file; do
        # Debian's /lib is a link to /usr/lib, in the image too.
        file=$(sed 's|^/lib|/usr/lib|' <<< "$file")
        printf '%s\n%s\n' "$file" "$(readlink -f "$file")"
    done
}

files=$(wanted)
all=$({ echo "$files"; find $files -type f -o -type l | needed; } | with_targets | sort -u)
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

mkdir -p "$target/etc"
echo 'sightline:x:65532:65532:Sightline:/tmp:/usr/sbin/nologin' > "$target/etc/passwd"
echo 'sightline:x:65532:' > "$target/etc/group"
