#!/usr/bin/env bash
# `make fuzz`: runs every fuzz target for some seconds: fuzz/run.sh [SECONDS] [TARGET…]
#
# What it finds is kept in fuzz/artifacts and makes it fail, in the end; what it learns is kept in
# fuzz/corpus. To begin with it has fuzz/seeds and, where they are at hand, the conformance vectors.
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
host=$(rustc -vV | sed -n 's/^host: //p')
./seeds.sh corpus

# Runs one target and prints a line: runs, CPU seconds, findings.
failed=()
run() {
    local target=$1 longest=65536 log found=0
    local folders=("corpus/$target")
    log=$(mktemp)
    mkdir -p "corpus/$target" "artifacts/$target"
    [[ ! -d seeds/$target ]] || folders+=("seeds/$target")
    case $target in
        names | labels | parts | quantities | reference | template) longest=2048 ;;
        plan) longest=1024 ;;
    esac
    exec 3>&1
    TIMEFORMAT='%U %S'
    local cpu
    cpu=$({ time "target/$host/release/$target" "${folders[@]}" \
        -artifact_prefix="artifacts/$target/" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -max_len="$longest" -print_final_stats=1 >"$log" 2>&1 ||
        { found=$?; exit "$found"; }; } 2>&1) || found=1
    awk -v target="$target" -v cpu="$cpu" -v found="$found" '
        /^stat::number_of_executed_units:/ { runs = $2 }
        BEGIN { split(cpu, t, " ") }
        END { printf "%-14s %10d runs  %8.1f CPU seconds  %s\n", target, runs, t[1] + t[2], \
              found ? "1 finding" : "0 findings" }' "$log" >&3
    if [[ $found != 0 ]]; then
        failed+=("$target")
        grep -E 'panicked|ERROR|SUMMARY|assertion|written to' -A 3 "$log" >&3 || tail -n 20 "$log" >&3
    fi
    rm -f "$log"
}

printf '\n%d targets, each for %s seconds\n' "${#targets[@]}" "$seconds"
for target in "${targets[@]}"; do
    run "$target"
done
if [[ ${#failed[@]} -gt 0 ]]; then
    printf '\nmake fuzz: findings in %s; the inputs are in fuzz/artifacts\n' "${failed[*]}"
    exit 1
fi
printf '\nmake fuzz: nothing found\n'
