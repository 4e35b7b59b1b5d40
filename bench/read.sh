#!/usr/bin/env bash
# The reading half of `make bench`: inspects one image with gantry and with the tools people use, and
# measures what a million entries and a bomb cost. Run after bench/pack.sh, which makes the tree.
# RUNS=5 says how often each is timed, ENTRIES=1000000 how many there are.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
entries=${ENTRIES:-1000000}
source bench/common.sh read
make_tree
trap 'rm -rf "$work"/read-*' EXIT

for compression in gzip none; do
    "$GANTRY" pack image --quiet --overwrite --compression "$compression" -o "read-$compression.aci" >/dev/null
done
# A gzip of one member, as other tools write it.
gzip -6 -n -c read-none.aci >read-one.aci

arguments=()
add() {
    arguments+=(--command-name "$1" "$2")
}
for kind in gzip one none; do
    add "gantry inspect ($kind)" "$GANTRY inspect --quiet read-$kind.aci"
    if command -v actool >/dev/null; then
        add "actool validate ($kind)" "actool validate read-$kind.aci"
    fi
done
add 'sha512sum (none)' 'sha512sum read-none.aci'
hyperfine --warmup 1 --runs "$runs" --export-json "$results/times.json" "${arguments[@]}"

memory() {
    python3 "$here/bench/peak_memory.py" "$@"
}
mib() {
    awk "BEGIN { printf \"%.0f\", $1 / 1048576 }"
}
# What a command has without any image to speak of is taken off.
mkdir -p read-small/rootfs
cp image/manifest read-small/manifest
"$GANTRY" pack read-small --quiet -o read-small.aci >/dev/null
python3 "$here/bench/many.py" "$entries" | gzip -1 -n >read-many.aci
python3 - <<'PY' | gzip -9 -n >read-bomb.aci
import sys, tarfile
out, zeros = sys.stdout.buffer, 4 << 30
manifest = b'{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/bomb"}'
for name, kind, size in (("manifest", tarfile.REGTYPE, len(manifest)), ("rootfs", tarfile.DIRTYPE, 0), ("rootfs/zeros", tarfile.REGTYPE, zeros)):
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, size
    out.write(header.tobuf(tarfile.USTAR_FORMAT))
    if name == "manifest":
        out.write(manifest + bytes(-size % 512))
for _ in range(zeros >> 20):
    out.write(bytes(1 << 20))
out.write(bytes(1024))
PY
extract() {
    rm -rf read-out
    memory "$GANTRY" extract --quiet "$@" read-out
    rm -rf read-out
}
inspect_small=$(memory "$GANTRY" inspect read-small.aci)
extract_small=$(extract read-small.aci)
bomb=$(stat -c %s read-bomb.aci)
{
    printf '| what | image | more than for a small one, MiB |\n|---|---|---:|\n'
    row() {
        printf '| %s | %s | %s |\n' "$1" "$2" "$(mib $(($4 - $3)))"
    }
    row 'gantry inspect' "$entries entries" "$inspect_small" "$(memory "$GANTRY" inspect read-many.aci)"
    row 'gantry validate' "$entries entries" "$(memory "$GANTRY" validate --quiet read-small.aci)" \
        "$(memory "$GANTRY" validate --quiet read-many.aci)"
    row 'gantry diff, with itself' "$entries entries" \
        "$(memory "$GANTRY" diff --quiet read-small.aci read-small.aci)" \
        "$(memory "$GANTRY" diff --quiet read-many.aci read-many.aci)"
    row 'gantry extract' "$entries entries" "$extract_small" "$(extract read-many.aci)"
    row 'gantry inspect --max-ratio 2000' "4 GiB in $bomb bytes" "$inspect_small" \
        "$(memory "$GANTRY" inspect --max-ratio 2000 read-bomb.aci)"
    row 'gantry extract --max-ratio 2000 --exclude zeros' "4 GiB in $bomb bytes" "$extract_small" \
        "$(extract --max-ratio 2000 --exclude zeros read-bomb.aci)"
} >"$results/memory.md"
if "$GANTRY" inspect read-bomb.aci >/dev/null 2>&1; then
    echo 'the bomb was not refused' >&2
    exit 1
fi
cd "$here"
python3 bench/report_read.py "$results" | tee "$results/report.md"
printf '\nWritten to %s\n' "${results#"$here"/}"
