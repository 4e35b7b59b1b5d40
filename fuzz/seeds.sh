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

if [[ ! -d $vectors ]]; then
    printf 'no seeds from vectors: there are none in %s\n' "$vectors"
elif ! command -v python3 >/dev/null; then
    printf 'no seeds from vectors: python3 is not installed\n'
else
    python3 seeds.py "$vectors" "$corpus"
fi
