#!/usr/bin/env bash
# The store's half of `make bench`: what the index costs a fetch, and what rendering an image costs when
# the store has nine in ten of its files. Run after bench/pack.sh, which makes the tree.
# RUNS=5 says how often each is timed.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
source bench/common.sh store
make_tree
trap 'umount store-over*/rootfs 2>/dev/null; rm -rf "$work"/store-*' EXIT
rm -rf store-*
export GANTRY_STORE=$work/store-store GANTRY_TRUST_DIR=$work/store-trust

# The second image: every tenth file has another content, of the same size.
cp -a image store-second
python3 - <<'PY'
import os
number = 0
for folder, folders, names in os.walk("store-second/rootfs"):
    folders.sort()
    for name in sorted(names):
        path = os.path.join(folder, name)
        if os.path.islink(path) or os.stat(path).st_nlink > 1 or not os.path.getsize(path):
            continue
        number += 1
        if number % 10 == 0:
            with open(path, "r+b") as file:
                first = file.read(1)
                file.seek(0)
                file.write(bytes([first[0] ^ 1]))
PY
"$GANTRY" key generate --user-id bench@example.com --secret store-key --public store-pub >/dev/null
"$GANTRY" trust add --root store-pub >/dev/null 2>&1 || "$GANTRY" trust add --prefix example.com store-pub >/dev/null
for image in first second; do
    tree=image
    [[ $image = second ]] && tree=store-second
    "$GANTRY" pack "$tree" --quiet -o "store-$image.aci" >"store-$image.id"
    "$GANTRY" sign "store-$image.aci" --key store-key >/dev/null
done
first=$(<store-first.id) second=$(<store-second.id)

hyperfine --runs "$runs" --export-json "$results/fetch.json" \
    --command-name 'fetch' --prepare "rm -rf $GANTRY_STORE; sync" "$GANTRY fetch --quiet ./store-first.aci" \
    --command-name 'inspect' --prepare 'sync' "$GANTRY inspect --quiet store-first.aci"
"$GANTRY" fetch --quiet ./store-second.aci >/dev/null

none="rm -rf store-out $GANTRY_STORE/objects; sync"
nine="rm -rf store-out $GANTRY_STORE/objects store-warm; $GANTRY image render --quiet $first store-warm --link LINK; rm -rf store-warm; sync"
for link in copy hard; do
    hyperfine --runs "$runs" --export-json "$results/render-$link.json" \
        --command-name "first, $link" --prepare "$none" "$GANTRY image render --quiet $first store-out --link $link" \
        --command-name "second, $link" --prepare "${nine/LINK/$link}" \
        "$GANTRY image render --quiet $second store-out --link $link"
done
rm -rf store-out
python3 "$here/bench/peak_memory.py" "$GANTRY" image render --quiet "$second" store-out >"$results/memory"
rm -rf "$GANTRY_STORE"
python3 "$here/bench/peak_memory.py" "$GANTRY" fetch --quiet ./store-first.aci >>"$results/memory"
if [[ $(id -u) = 0 ]]; then
    "$GANTRY" image render --quiet "$first" store-over --overlay
    "$GANTRY" image unmount --quiet store-over --remove
    hyperfine --runs "$runs" --export-json "$results/overlay.json" --command-name 'second overlay' \
        --cleanup "$GANTRY image unmount --quiet store-over --remove" \
        --prepare "$GANTRY image unmount --quiet store-over --remove 2>/dev/null || true" \
        "$GANTRY image render --quiet $first store-over --overlay"
fi
cd "$here"
python3 - "$results" <<'PY' | tee "$results/report.md"
import json, pathlib, sys
results = pathlib.Path(sys.argv[1])
print("| what | best s | mean s |\n|---|---:|---:|")
times = {}
for name in ("fetch", "render-copy", "render-hard", "overlay"):
    path = results / f"{name}.json"
    if path.exists():
        for result in json.loads(path.read_text())["results"]:
            times[result["command"]] = result["min"]
            print(f"| {result['command']} | {result['min']:.3f} | {result['mean']:.3f} |")
for link in ("copy", "hard"):
    print(f"\nsecond / first, {link}: {times[f'second, {link}'] / times[f'first, {link}']:.3f}")
render, fetch = (int(line.split()[0]) >> 20 for line in (results / "memory").read_text().splitlines()[:2])
print(f"\npeak memory: render {render} MiB, fetch {fetch} MiB")
PY
printf '\nWritten to %s\n' "${results#"$here"/}"
