#!/usr/bin/env bash
# The same image through acbuild's verbs, buildah and umoci, in one run: begin with nothing, copy a
# tree of 250 MB, twelve commands about its metadata, write. RUNS=5 says how often each is timed.
#
# Buildah and umoci write OCI images, gzip as it is their default; gantry writes an ACI, gzip too.
# All three work in memory where there is room: for minutes after many files were removed, by
# another bench, say, ext4 makes new ones ten times slower, and what waits for a disk tells of the
# disk. WORK=DIR works there instead. Nothing is removed before the end.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
source bench/common.sh build
make_tree

tree=$PWD/image/rootfs
free=$(df --output=avail /dev/shm 2>/dev/null | tail -1)
if [[ -z ${WORK:-} ]] && ((${free:-0} > (runs + 2) * 1500000)); then WORK=/dev/shm; fi
work=$(mktemp -d -p "${WORK:-$PWD}" gantry-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
printf 'in %s, on %s\n' "${WORK:-target/bench}" "$(stat -f -c %T .)"
ln -s "$GANTRY" acbuild

cat >gantry.sh <<EOF
set -e
cd "\$(mktemp -d -p $PWD)"
b="$PWD/acbuild -q"
\$b begin
\$b copy $tree /data
\$b set-name example.com/bench/data
\$b label add version 1.0.0
\$b label add channel stable
\$b annotation add homepage https://example.com
\$b annotation add authors 'Example'
\$b environment add LANG C.UTF-8
\$b environment add MODE test
\$b mount add data /srv/data
\$b port add http tcp 80
\$b set-user 1000
\$b set-working-directory /data
\$b set-exec -- /data/bin/run --all
\$b write gantry.aci
EOF

# One call of buildah config sets all that twelve of ours do: it is taken at its best.
cat >buildah.sh <<EOF
set -e
cd "\$(mktemp -d -p $PWD)"
b="buildah --root $PWD/storage --runroot $PWD/run --storage-driver \${DRIVER:-overlay}"
c=\$(\$b from scratch)
\$b add -q \$c $tree /data
\$b config --label version=1.0.0 --label channel=stable --annotation homepage=https://example.com \
    --author Example --env LANG=C.UTF-8 --env MODE=test --volume /srv/data --port 80/tcp --user 1000 \
    --workingdir /data --cmd /data/bin/run --label name=data \$c
\$b commit -q \$c oci-archive:buildah.tar
EOF

cat >umoci.sh <<EOF
set -e
cd "\$(mktemp -d -p $PWD)"
umoci init --layout umoci
umoci new --image umoci:data
umoci insert --image umoci:data $tree /data
umoci config --image umoci:data --config.label version=1.0.0 --config.label channel=stable \
    --manifest.annotation homepage=https://example.com --author Example --config.env LANG=C.UTF-8 \
    --config.env MODE=test --config.volume /srv/data --config.exposedports 80/tcp --config.user 1000 \
    --config.workingdir /data --config.cmd /data/bin/run --config.label name=data
EOF

arguments=(--command-name 'gantry build' 'bash gantry.sh')
if command -v buildah >/dev/null; then
    # The faster of its two ways of storing that works here.
    DRIVER=overlay
    DRIVER=overlay bash buildah.sh >/dev/null 2>&1 || DRIVER=vfs
    arguments+=(--command-name "buildah ($DRIVER)" "DRIVER=$DRIVER bash buildah.sh")
fi
if command -v umoci >/dev/null; then
    arguments+=(--command-name 'umoci insert' 'bash umoci.sh')
fi
hyperfine --warmup 1 --runs "$runs" --export-json "$results/times.json" "${arguments[@]}"
cd "$here"

python3 - "$results/times.json" <<'EOF' | tee "$results/report.md"
import json, sys
results = json.load(open(sys.argv[1]))["results"]
ours = results[0]["median"]
print("| | seconds (median) | gantry's part of it |\n|---|---:|---:|")
for one in results:
    print(f"| {one['command']} | {one['median']:.2f} | {ours / one['median']:.2f} |")
EOF
printf '\nWritten to %s\n' "${results#"$here"/}"
