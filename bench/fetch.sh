#!/usr/bin/env bash
# The fetching half of `make bench`: one signed image of 250 MB from nginx on loopback, with gantry in
# one pass, and with curl, gpg --verify and gunzip | sha512sum one after another, which say the same.
# Run after bench/pack.sh, which makes the tree. RUNS=5 says how often each is timed.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-5}
source bench/common.sh fetch
make_tree
rm -rf fetch && mkdir -p fetch/www fetch/home
nginx=
finish() {
    [[ -z $nginx ]] || kill "$nginx" 2>/dev/null || true
    GNUPGHOME=$work/fetch/gpg gpgconf --kill all 2>/dev/null || true
    rm -rf "$work/fetch"
}
trap finish EXIT

# The image's name stands in its manifest: the server is this host's.
host=$(python3 -c 'import json; print(json.load(open("image/manifest"))["name"].split("/")[0])')
for kind in gzip one; do
    mkdir -p "fetch/www/$kind"
done
"$GANTRY" pack image --quiet -o fetch/www/gzip/image.aci >/dev/null
# A gzip of one member, as other tools write it.
"$GANTRY" pack image --quiet --compression none -o fetch/plain.aci >/dev/null
gzip -6 -n -c fetch/plain.aci >fetch/www/one/image.aci
"$GANTRY" key generate --quiet --user-id 'bench <bench@example.com>' --secret fetch/key --public fetch/key.pub >/dev/null
for kind in gzip one; do
    "$GANTRY" sign --quiet "fetch/www/$kind/image.aci" --key fetch/key >/dev/null
done

# A certificate authority and a server of its own.
openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=bench -keyout fetch/ca.key -out fetch/ca.pem 2>/dev/null
openssl req -newkey ed25519 -nodes -subj "/CN=$host" -addext "subjectAltName=DNS:$host" -keyout fetch/tls.key -out fetch/tls.csr 2>/dev/null
openssl x509 -req -in fetch/tls.csr -CA fetch/ca.pem -CAkey fetch/ca.key -CAcreateserial -days 2 -copy_extensions copy -out fetch/tls.pem 2>/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >fetch/nginx.conf <<CONF
daemon off; worker_processes 1; pid $work/fetch/nginx.pid; error_log $work/fetch/error.log;
events { worker_connections 64; }
http {
    access_log off; sendfile on; client_body_temp_path $work/fetch/body; proxy_temp_path $work/fetch/proxy;
    fastcgi_temp_path $work/fetch/f; uwsgi_temp_path $work/fetch/u; scgi_temp_path $work/fetch/s;
    server {
        listen 127.0.0.1:$port ssl; root $work/fetch/www;
        ssl_certificate $work/fetch/tls.pem; ssl_certificate_key $work/fetch/tls.key;
    }
}
CONF
# Neither it nor the agent of gpg keeps the lock when this script dies.
PATH=$PATH:/usr/sbin nginx -p "$work/fetch" -c "$work/fetch/nginx.conf" 9>&- &
nginx=$!
for _ in $(seq 50); do
    curl -s --cacert fetch/ca.pem --connect-to "$host:443:127.0.0.1:$port" "https://$host/" >/dev/null && break
    sleep 0.1
done
cat >fetch/config.toml <<CONF
ca-file = "$work/fetch/ca.pem"
store = "$work/fetch/store"
trust-dir = "$work/fetch/trust"
[[override]]
prefix = "$host"
connect = "127.0.0.1:$port"
CONF
gantry="$GANTRY --config fetch/config.toml --quiet"
$gantry trust add --prefix "$host" fetch/key.pub >/dev/null
export GNUPGHOME=$work/fetch/gpg
mkdir -m 700 fetch/gpg
gpg --quiet --batch --import fetch/key.pub 9>&-

arguments=()
add() {
    arguments+=(--prepare "$1" --command-name "$2" "$3")
}
for kind in gzip one; do
    url=https://$host/$kind/image.aci
    add 'rm -rf fetch/store' "gantry fetch ($kind)" "$gantry fetch $url"
    add true "curl, twice ($kind)" \
        "curl -sf --cacert fetch/ca.pem --connect-to $host:443:127.0.0.1:$port -o fetch/got.aci $url -o fetch/got.aci.asc $url.asc"
    add true "gpg --verify ($kind)" 'gpg --quiet --batch --trust-model always --verify fetch/got.aci.asc fetch/got.aci'
    add true "gunzip | sha512sum ($kind)" 'gunzip -c <fetch/got.aci | sha512sum'
done
hyperfine --warmup 1 --runs "$runs" --export-json "$results/times.json" "${arguments[@]}"

rm -rf fetch/store
# shellcheck disable=SC2086  # a command and its options
memory=$(python3 "$here/bench/peak_memory.py" $gantry fetch "https://$host/gzip/image.aci")
cd "$here"
python3 bench/report_fetch.py "$results" "$memory" | tee "$results/report.md"
printf '\nWritten to %s\n' "${results#"$here"/}"
