#!/usr/bin/env bash
# The store's half of `make bench`: what the index costs a fetch, and what rendering an image costs when
# the store has nine in ten of its files: its first version was rendered, then the second was fetched.
# Run after bench/pack.sh, which makes the tree.
# RUNS=5 says how often each is timed.
#
# Nothing is removed before the end: for minutes after a removal ext4 looks for inodes that were not
# removed just now, and that takes several times as long as what is measured here.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
source bench/common.sh store
make_tree
trap 'umount "$work"/store-*/rootfs 2>/dev/null || true; rm -rf "$work"/store-*' EXIT
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

# Makes way without removing anything; what is mounted is unmounted.
export GANTRY
cat >store-away <<'AWAY'
#!/bin/sh
mkdir -p store-gone
for path; do
    [ ! -d "$path/work" ] || "$GANTRY" image unmount --quiet "$path"
    [ ! -e "$path" ] || mv "$path" "store-gone/$(date +%s%N)"
done
sync
AWAY
chmod +x store-away

hyperfine --runs "$runs" --export-json "$results/fetch.json" \
    --command-name 'fetch' --prepare "./store-away $GANTRY_STORE" "$GANTRY fetch --quiet ./store-first.aci" \
    --command-name 'inspect' --prepare 'sync' "$GANTRY inspect --quiet store-first.aci"

# A third image, of the files that the second has and the first has not, which depends on the first.
mkdir -p store-third
python3 - <<'PY'
import json, os, pathlib, shutil
source, target = pathlib.Path("store-second"), pathlib.Path("store-third")
manifest = json.loads((source / "manifest").read_text())
first = pathlib.Path("store-first.id").read_text().strip()
manifest["dependencies"] = [{"imageName": manifest["name"], "imageID": first}]
manifest["name"] += "-above"
(target / "manifest").write_text(json.dumps(manifest))
for path in source.glob("rootfs/**/*"):
    if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
        other = pathlib.Path("image") / path.relative_to(source)
        if path.read_bytes() != other.read_bytes():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)
PY
"$GANTRY" pack store-third --quiet -o store-third.aci >store-third.id
"$GANTRY" sign store-third.aci --key store-key >/dev/null
third=$(<store-third.id)

# Before each figure the store has the first image, and nothing that was rendered.
away="./store-away store-out store-over store-warm $GANTRY_STORE/objects $GANTRY_STORE/trees"
render="$GANTRY image render --quiet"
# What happens before another image is rendered.
after() {
    echo "$away; $GANTRY image rm $2 >/dev/null 2>&1; $render $first store-warm $1; $GANTRY fetch --quiet ./store-$3.aci; sync"
}
for link in copy hard; do
    hyperfine --runs "$runs" --export-json "$results/render-$link.json" \
        --command-name "first, $link" --prepare "$away" "$render $first store-out --link $link" \
        --command-name "second, $link" --prepare "$(after "--link $link" "$second" second)" \
        "$render $second store-out --link $link"
done
hyperfine --runs "$runs" --export-json "$results/fetched.json" \
    --command-name 'second, hard, fetched before' --prepare "$away; $render $first store-warm --link hard; sync" \
    "$render $second store-out --link hard" \
    --command-name 'fetch of the second' \
    --prepare "$away; $render $first store-warm --link hard; $GANTRY image rm $second >/dev/null; sync" \
    "$GANTRY fetch --quiet ./store-second.aci"
$away
python3 "$here/bench/peak_memory.py" "$GANTRY" image render --quiet "$second" store-out >"$results/memory"
if [[ $(id -u) = 0 ]]; then
    hyperfine --runs "$runs" --export-json "$results/overlay.json" \
        --command-name 'first, overlay' --prepare "$away" "$render $first store-over --overlay" \
        --command-name 'second, overlay' --prepare "$(after --overlay "$second" second)" "$render $second store-over --overlay" \
        --command-name 'an image that depends on the first, overlay' --prepare "$(after --overlay "$third" third)" \
        "$render $third store-over --overlay" \
        --command-name 'the same image again, overlay' --prepare './store-away store-over' "$render $third store-over --overlay"
    ./store-away store-over store-warm
fi
./store-away "$GANTRY_STORE"
python3 "$here/bench/peak_memory.py" "$GANTRY" fetch --quiet ./store-first.aci >>"$results/memory"
cd "$here"
python3 - "$results" <<'PY' | tee "$results/report.md"
import json, pathlib, sys
results = pathlib.Path(sys.argv[1])
print("| what | best s | mean s |\n|---|---:|---:|")
times = {}
for name in ("fetch", "render-copy", "render-hard", "fetched", "overlay"):
    path = results / f"{name}.json"
    if path.exists():
        for result in json.loads(path.read_text())["results"]:
            times[result["command"]] = result["min"]
            print(f"| {result['command']} | {result['min']:.3f} | {result['mean']:.3f} |")
for name, first in (
    ("second, copy", "first, copy"),
    ("second, hard", "first, hard"),
    ("second, hard, fetched before", "first, hard"),
    ("second, overlay", "first, overlay"),
    ("an image that depends on the first, overlay", "first, overlay"),
):
    if name in times:
        print(f"\n{name} / {first}: {times[name] / times[first]:.3f}")
render, fetch = (int(line.split()[0]) >> 20 for line in (results / "memory").read_text().splitlines()[:2])
print(f"\npeak memory: render {render} MiB, fetch {fetch} MiB")
PY
printf '\nWritten to %s\n' "${results#"$here"/}"
