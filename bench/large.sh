#!/usr/bin/env bash
# The large trees of `make bench`: packs a million files, 100,000 in one folder, and a sparse file of
# 8 GiB and a byte, and prints how long each took and the most memory it had. FILES=1000000 says how
# many.
set -euo pipefail
cd "$(dirname "$0")/.."
files=${FILES:-1000000}
source bench/common.sh large
trap 'rm -rf "$work"/large-*' EXIT
rm -rf large-*

python3 - "$files" <<'PY'
import os, sys

def fill(folder, count):
    os.makedirs(folder)
    for number in range(count):
        open(f"{folder}/a-file-of-many-{number}", "w").close()

for number in range(int(sys.argv[1]) // 1000):
    fill(f"large-many/usr/share/things/{number % 100:02}/{number:04}", 1000)
fill("large-folder", 100_000)
fill("large-small", 1)
os.mkdir("large-sparse")
with open("large-sparse/f", "wb") as sparse:
    sparse.truncate((8 << 30) + 1)
PY

{
    printf '| tree | s | peak MiB | image bytes |\n|---|---:|---:|---:|\n'
    for tree in small many folder sparse; do
        begin=$(date +%s.%N)
        peak=$(python3 "$here/bench/peak_memory.py" "$GANTRY" pack "large-$tree" --quiet \
            -o large.aci --name example.com/large --overwrite)
        end=$(date +%s.%N)
        printf '| %s | %.1f | %d | %d |\n' "$tree" "$(awk "BEGIN { print $end - $begin }")" \
            $((peak >> 20)) "$(stat -c %s large.aci)"
        rm large.aci
    done
} | tee "$results/report.md"
printf '\nWritten to %s\n' "${results#"$here"/}"
