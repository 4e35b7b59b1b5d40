#!/usr/bin/env bash
# The whole journey, with a real program and a real registry, in a temporary folder:
#
#   pack → sign → push → trust → fetch by name → verify → render → run, and two attacks refused.
#
# Every step is printed as the command a user would type. Nothing is left running or lying about.
set -euo pipefail
cd "$(dirname "$0")/.."
source_folder=$PWD
unset GANTRY_CA_FILE GANTRY_STORE GANTRY_TRUST_DIR GANTRY_KEY_DIR GANTRY_CONFIG GANTRY_TOKEN

name=example.com/team/hello-server
prefix=example.com/team

# --- How the demo speaks, and how it ends --------------------------------------------------

if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

title() {
    printf '\n%s── %s%s\n' "$bold" "$1" "$plain"
    [[ $# -lt 2 ]] || printf '%s\n' "${@:2}"
}

# Prints a command line as it stands.
typed() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
}

# Prints a command as it would be typed: quoted only where a shell needs it.
show() {
    local word line=''
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="'$word'"
        line+=" $word"
    done
    typed "${line# }"
}

run() {
    show "$@"
    "$@"
}

# refused CODE COMMAND…: a command that has to be refused with this exit code; any other end ends
# the demo.
refused() {
    local wanted=$1 code=0 meaning='refused by trust or verification'
    shift
    [[ $wanted -eq 5 ]] || meaning='refused by the server'
    show "$@"
    "$@" || code=$?
    if [[ $code -ne $wanted ]]; then
        printf 'demo: this had to be refused with exit code %d, and ended with %d\n' "$wanted" "$code" >&2
        exit 1
    fi
    printf '(exit code %d: %s)\n' "$code" "$meaning"
}

work=$(mktemp -d)
started=()

stop() {
    local pid
    for pid in ${started[@]+"${started[@]}"}; do
        kill "$pid" 2>/dev/null || continue
        wait "$pid" 2>/dev/null || true
    done
    started=()
}

cleanup() {
    local code=$?
    trap - EXIT
    stop
    if [[ $code -ne 0 && -s $work/registry.log ]]; then
        printf '\ndemo: it failed (exit code %d). The last words of the registry:\n' "$code" >&2
        tail -n 20 "$work/registry.log" >&2
    fi
    chmod -R u+rwX "$work" 2>/dev/null || true
    rm -rf "$work"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# caught FILE PATTERN PID: waits until a file holds a line that matches, and prints what the
# pattern's group caught. Fails, with the file, when the process that writes it ends without one.
caught() {
    local file=$1 pattern=$2 pid=$3 found
    for _ in $(seq 300); do
        found=$(sed -nE "s#.*$pattern.*#\\1#p" "$file" | head -n 1)
        if [[ -n $found ]]; then
            printf '%s\n' "$found"
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$file" >&2
    return 1
}

# Changes one bit in the middle of a file.
flip_a_bit() {
    local file=$1 middle byte
    middle=$(($(stat -c %s "$file") / 2))
    byte=$(od -An -tu1 -j "$middle" -N 1 "$file")
    printf "\\x$(printf %02x $((byte ^ 1)))" |
        dd of="$file" bs=1 seek="$middle" conv=notrunc status=none
}

# --- Build ---------------------------------------------------------------------------------

title 'Build gantry, and a program to publish' \
    'The program is a web server in one file, linked statically: its image needs nothing else.'
run cargo build --workspace --locked
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
PATH=$target/debug:$PATH

cd "$work"
cp -r "$source_folder/demo/hello-server" program
mkdir -p hello/bin hello/srv
run rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols \
    -o hello/bin/hello-server program/hello-server.rs
run cp -r program/site hello/srv/www

# --- The author ----------------------------------------------------------------------------

title 'The author makes a key, packs the tree and signs the image'
run gantry key generate --user-id 'Example Author <author@example.com>' \
    --secret author.key --public author.pub.asc
run gantry pack hello -o hello-server.aci --name "$name" --version 1.0.0 \
    --exec /bin/hello-server
printf 'The same tree, packed from somewhere else, gives the same bytes:\n'
run cp -a hello elsewhere
run gantry pack elsewhere -o again.aci --name "$name" --version 1.0.0 --exec /bin/hello-server
run cmp hello-server.aci again.aci
run gantry sign hello-server.aci --key author.key
fingerprint=$(gantry --json verify hello-server.aci --public author.pub.asc |
    sed -E 's/.*"signer":"([0-9a-fA-F]+)".*/\1/')

# --- The registry --------------------------------------------------------------------------

title 'The owner of example.com starts a registry' \
    'No configuration: it makes its own CA and certificate, a database and a folder of images.'
typed 'gantry registry serve --data registry --listen 127.0.0.1:0 --domain example.com &'
gantry registry serve --data registry --listen 127.0.0.1:0 --domain example.com \
    >registry.log 2>&1 &
started+=($!)
address=$(caught registry.log 'https://(127\.0\.0\.1:[0-9]+)' $!)
printf 'It listens on %s.\n' "$address"
run gantry registry keys add --data registry --prefix "$prefix" author.pub.asc
typed "gantry registry token create --data registry --prefix $prefix --allow push >push.token"
(umask 077 && gantry registry token create --data registry --prefix "$prefix" --allow push >push.token)

# --- Publish -------------------------------------------------------------------------------

title 'The author publishes' \
    'example.com is not ours, so the configuration sends its requests here. On your own domain' \
    'this file is not needed; nor is --ca-file with a certificate that the system trusts.'
cat >client.toml <<EOF
[[override]]
prefix = "example.com"
connect = "$address"
EOF
run cat client.toml
export GANTRY_CONFIG=$work/client.toml GANTRY_CA_FILE=$work/registry/tls/ca.pem
show export GANTRY_CONFIG=client.toml GANTRY_CA_FILE=registry/tls/ca.pem
run gantry push hello-server.aci --token-file push.token

# --- Somebody else -------------------------------------------------------------------------

title 'Somebody else, with an empty store and no trusted keys, wants the program' \
    'They heard the fingerprint of the author from the author. The key itself is found by name.'
export GANTRY_STORE=$work/store GANTRY_TRUST_DIR=$work/trusted
show export GANTRY_STORE=store GANTRY_TRUST_DIR=trusted
refused 5 gantry fetch "$name"
run gantry trust add --prefix "$prefix" --fingerprint "$fingerprint"
run gantry fetch "$name:1.0.0"
run gantry image list

title 'Verify, and render to a folder'
run gantry verify hello-server.aci
run gantry image render "$name:1.0.0" rendered
show find rendered -type f
find rendered -type f | sort

# --- Run -----------------------------------------------------------------------------------

title 'Run it'
# The program ends when its input does: a first process of a container ignores other requests.
mkfifo input
typed "gantry run $name:1.0.0 --net host -- --until-input-ends <input &"
gantry run "$name:1.0.0" --net host -- --until-input-ends <input >program.log 2>&1 &
program=$!
started+=("$program")
exec 3>input
ran=no
if page=$(caught program.log '(http://127\.0\.0\.1:[0-9]+/)' "$program"); then
    run curl --silent --show-error --fail --noproxy '*' "$page" -o page.html
    sed -nE 's#.*<h1>(.*)</h1>.*#The page says: \1#p' page.html
    cmp page.html "$source_folder/demo/hello-server/site/index.html"
    exec 3>&-
    wait "$program"
    ran=yes
else
    exec 3>&-
    printf 'No runtime works here for this user, so here is what one would be given:\n'
    run gantry image bundle "$name:1.0.0" bundle
    run ls bundle bundle/rootfs
fi

# --- Attacks -------------------------------------------------------------------------------

title 'Attack 1: one bit of the image is changed before it is published'
cp hello-server.aci tampered.aci
cp hello-server.aci.asc tampered.aci.asc
flip_a_bit tampered.aci
refused 5 gantry push tampered.aci --token-file push.token

title 'Attack 2: somebody stole the push token, but not the key' \
    "They publish a program of their own, with a signature of the author's."
run cp -r hello evil
typed "echo '<h1>Evil</h1>' >evil/srv/www/index.html"
echo '<h1>Evil</h1>' >evil/srv/www/index.html
run gantry pack evil -o evil.aci --name "$name" --version 1.0.1 --exec /bin/hello-server
refused 6 gantry push evil.aci --signature hello-server.aci.asc --token-file push.token

title 'Attack 3: somebody broke into the registry and changed one bit of the stored image' \
    'The client checks the signature of what arrived, so it does not have to trust the server.'
size=$(stat -c %s hello-server.aci)
stored=$(find registry -type f -size "${size}c" -exec cmp -s hello-server.aci {} \; -print -quit)
flip_a_bit "$stored"
export GANTRY_STORE=$work/second-store
show export GANTRY_STORE=second-store
refused 5 gantry fetch "$name:1.0.0"
run gantry image list

# --- What happened -------------------------------------------------------------------------

stop
title 'What happened' \
    "  packed     hello-server.aci, $size bytes, the same bytes on every machine" \
    '  signed     by the author, with a key that never left their hands' \
    '  published  only after the registry had read the whole archive and verified the signature' \
    "  trusted    one key, for names below $prefix only, by its fingerprint" \
    '  fetched    by its name; it entered the store only once every byte had been checked'
if [[ $ran == yes ]]; then
    printf '  run        in a container, from the store\n'
else
    printf '  bundled    for an OCI runtime, from the store\n'
fi
printf '%s\n' \
    '  refused    a fetch before any key was trusted, and three attacks' '' \
    'Why this is safe: what decides is the signature over the very bytes that arrived, by a key' \
    'trusted for that name. Neither the registry nor the network has to be trusted for it.' \
    'Nothing is left running, and the temporary folder is removed. Next: docs/getting-started.md'
