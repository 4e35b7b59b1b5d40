#!/usr/bin/env bash
# `make fuzz`: runs every fuzz target for some seconds: fuzz/run.sh [SECONDS] [TARGET…]
#
# What it finds is kept in fuzz/artifacts and makes it fail; what it learns is kept in fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-30}
targets=("${@:2}")

if ! cargo fuzz --version >/dev/null 2>&1; then
    printf 'installing cargo-fuzz\n'
    cargo install --locked cargo-fuzz
fi

# The sanitizer is a nightly feature; without a nightly compiler, the stable one is told to allow it.
cargo=(cargo)
if command -v rustup >/dev/null && rustup toolchain list | grep -q '^nightly'; then
    cargo=(cargo +nightly)
else
    export RUSTC_BOOTSTRAP=1
fi

if [[ ${#targets[@]} -eq 0 ]]; then
    mapfile -t targets < <(sed -n 's#^path = "fuzz_targets/\(.*\)\.rs"#\1#p' Cargo.toml)
fi
"${cargo[@]}" fuzz build

# Archives to begin with, made here rather than kept as files nobody can read.
seed=$(mktemp -d)
trap 'rm -rf "$seed"' EXIT
mkdir -p "$seed/rootfs/bin" corpus/archive corpus/tar
cp seeds/manifest/full.json "$seed/manifest"
printf 'hello\n' >"$seed/rootfs/bin/hello"
ln -s hello "$seed/rootfs/bin/symlink"
ln "$seed/rootfs/bin/hello" "$seed/rootfs/bin/link"
for format in ustar pax; do
    tar -C "$seed" --format="$format" --owner=0 --group=0 -cf "corpus/tar/$format" manifest rootfs
done
cp corpus/tar/* corpus/archive/
for compressor in gzip bzip2 xz zstd; do
    if command -v "$compressor" >/dev/null; then
        "$compressor" -c corpus/tar/ustar >"corpus/archive/$compressor"
    fi
done

for target in "${targets[@]}"; do
    printf '\n== %s, for %s s\n' "$target" "$seconds"
    mkdir -p "corpus/$target"
    folders=("corpus/$target")
    [[ ! -d seeds/$target ]] || folders+=("seeds/$target")
    "${cargo[@]}" fuzz run "$target" "${folders[@]}" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
        2>&1 | grep -E '^#[0-9]+.*DONE|^stat::(number|peak)|^==|panicked|ERROR|SUMMARY|Failing|written to|cargo fuzz'
done
printf '\nmake fuzz: nothing found\n'
