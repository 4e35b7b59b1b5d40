#!/usr/bin/env bash
# `make check`: everything that can be said about the code without running its tests.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

# Installs a cargo subcommand that is not there yet. It runs for a second: optimizing it would take longer.
need() {
    if ! cargo "$1" --version >/dev/null 2>&1; then
        printf '\n== installing cargo-%s: %s\n' "$1" "$2"
        cargo install --debug --locked "cargo-$1"
    fi
}

need deny 'it checks licences, sources and known vulnerabilities of dependencies'
need machete 'it finds dependencies that nothing uses'

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
# The libraries: in the command, doc comments are help texts, where brackets are not links.
RUSTDOCFLAGS='-D warnings' step cargo doc --workspace --lib --no-deps --locked
step cargo deny --locked check bans licenses sources
step cargo machete

# The advisory database is fetched from the network. A machine that cannot reach it can still
# check all the rest, as long as it says what was left out.
printf '\n== cargo deny check advisories\n'
if fetched=$(cargo deny --locked fetch db 2>&1); then
    cargo deny --locked check advisories --disable-fetch
else
    printf '%s\n' "$fetched" | tail -n 3
    printf 'SKIPPED: the advisory database could not be reached, so known vulnerabilities were not looked up.\n'
fi

printf '\nmake check: all good\n'
