#!/usr/bin/env bash
# `make bench`: packs one tree with gantry and with the tools people use, in one run, and prints a
# table of times, sizes and memory. RUNS=5 says how often each is timed.
#
# Everything is written below target/bench, and the results to bench/results.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
source bench/common.sh ""
make_tree
cp tree.txt "$results/tree.txt"
cat tree.txt

names=()
commands=()
outputs=()
add() {
    names+=("$1")
    commands+=("$2")
    outputs+=("$3")
}

pack="$GANTRY pack image --quiet"
add 'gantry pack (gzip)' "$pack --compression gzip -o gantry-gzip.aci" gantry-gzip.aci
add 'gantry pack (none)' "$pack --compression none -o gantry-none.aci" gantry-none.aci
add 'gantry pack (zstd)' "$pack --compression zstd -o gantry-zstd.aci" gantry-zstd.aci
if command -v actool >/dev/null; then
    add 'actool build' 'actool build image actool-gzip.aci' actool-gzip.aci
    add 'actool build --no-compression' 'actool build --no-compression image actool-none.aci' actool-none.aci
fi
if command -v pigz >/dev/null; then
    add 'tar | pigz' 'tar -C image -cf - manifest rootfs | pigz >tar-pigz.tgz' tar-pigz.tgz
fi
if command -v zstd >/dev/null; then
    add 'tar | zstd -3' 'tar -C image -cf - manifest rootfs | zstd -q -3 >tar-zstd.tzst' tar-zstd.tzst
fi
add 'sha512sum of the tar' 'sha512sum whole.tar >whole.sha512' whole.tar
tar -C image -cf whole.tar manifest rootfs

arguments=()
for index in "${!names[@]}"; do
    prepare=true
    [[ ${outputs[index]} == whole.tar ]] || prepare="rm -f ${outputs[index]}"
    arguments+=(--prepare "$prepare" --command-name "${names[index]}" "${commands[index]}")
done
hyperfine --warmup 1 --runs "$runs" --export-json "$results/times.json" "${arguments[@]}"

# One more run of each, for its memory, which hyperfine does not measure.
: >"$results/runs.tsv"
for index in "${!names[@]}"; do
    [[ ${outputs[index]} == whole.tar ]] || rm -f "${outputs[index]}"
    memory=$(python3 "$OLDPWD/bench/peak_memory.py" bash -c "${commands[index]}")
    printf '%s\t%s\t%s\n' "${names[index]}" "$(stat -c %s "${outputs[index]}")" "$memory" >>"$results/runs.tsv"
done
cd "$OLDPWD"

python3 bench/report.py "$results" | tee "$results/report.md"
printf '\nWritten to %s\n' "${results#"$PWD"/}"
rm -f "$work"/*.aci "$work"/*.tgz "$work"/*.tzst "$work"/whole.*
