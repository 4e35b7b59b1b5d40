#!/usr/bin/env bash
# What the fuzzer begins with, made here rather than kept as files nobody can read: fuzz/seeds.sh FOLDER
#
# Archives are made with tar and the compressors. Texts are the inputs of the conformance vectors,
# from $GANTRY_VECTORS or from ../shared/vectors beside the repository, where they are at hand.
set -euo pipefail
cd "$(dirname "$0")"
corpus=$1
vectors=${GANTRY_VECTORS:-../../shared/vectors}

seed=$(mktemp -d)
trap 'rm -rf "$seed"' EXIT
mkdir -p "$seed/rootfs/bin" "$corpus"/{archive,tar,compression,index}
cp seeds/manifest/full.json "$seed/manifest"
printf 'hello\n' >"$seed/rootfs/bin/hello"
ln -s hello "$seed/rootfs/bin/symlink"
ln "$seed/rootfs/bin/hello" "$seed/rootfs/bin/link"
for format in v7 ustar pax gnu; do
    tar -C "$seed" --format="$format" --owner=0 --group=0 -cf "$corpus/tar/$format" manifest rootfs
done
cp "$corpus"/tar/* "$corpus/archive/"
for compressor in gzip bzip2 xz zstd; do
    if command -v "$compressor" >/dev/null; then
        "$compressor" -c "$corpus/tar/ustar" >"$corpus/archive/$compressor"
    fi
done
cp "$corpus"/archive/* "$corpus/compression/"
cp "$corpus"/archive/* "$corpus/index/"

# Databases of packages; the first byte says which one.
mkdir -p "$corpus/packages"
printf '\0Package: a\nStatus: install ok installed\nVersion: 1\n' >"$corpus/packages/dpkg"
printf '\1P:a\nV:1\nL:MIT\nF:etc\nR:b\n' >"$corpus/packages/apk"
printf '\3/var/lib/dpkg/status\n' >"$corpus/packages/list"
if command -v python3 >/dev/null; then
    python3 - "$seed/rpmdb.sqlite" <<'EOF'
import sqlite3, struct, sys

database = sqlite3.connect(sys.argv[1])
database.execute("pragma page_size = 512")
database.execute("create table Packages (hnum integer primary key autoincrement, blob blob not null)")
for size in (1, 1000):
    texts = {1000: b"a\0", 1001: b"1\0", 1002: b"2\0", 1014: b"x" * size + b"\0"}
    index, data = b"", b""
    for tag, text in texts.items():
        index += struct.pack(">4I", tag, 6, len(data), 1)
        data += text
    blob = struct.pack(">2I", len(texts), len(data)) + index + data
    database.execute("insert into Packages (blob) values (?)", (blob,))
database.commit()
EOF
    { printf '\2' && cat "$seed/rpmdb.sqlite"; } >"$corpus/packages/rpm"
fi

if [[ ! -d $vectors ]]; then
    printf 'no seeds from vectors: there are none in %s\n' "$vectors"
elif ! command -v python3 >/dev/null; then
    printf 'no seeds from vectors: python3 is not installed\n'
else
    python3 seeds.py "$vectors" "$corpus"
fi
