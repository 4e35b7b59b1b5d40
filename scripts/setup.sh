#!/usr/bin/env bash
# Sees to it that the tools a make target calls are there, and installs what is missing.
#
#   scripts/setup.sh build|test|demo|bench…
#
# Says what it installs and why. With nothing missing it prints nothing, changes nothing and needs
# neither root nor a network. What cannot be installed is named, with what will not work without it;
# only a missing compiler or header makes it fail.
set -euo pipefail

missing=()   # packages to install
reasons=()   # what each is for
required=()  # "yes" where nothing can be built without it

# want PACKAGE REQUIRED REASON PROBE…: the package is missing when the probe fails.
want() {
    local package=$1 need=$2 reason=$3
    shift 3
    "$@" >/dev/null 2>&1 && return
    missing+=("$package")
    reasons+=("$reason")
    required+=("$need")
}

# on_path TOOL: whether the tool can be called. Debian keeps some of them where only root's PATH looks.
on_path() {
    PATH=$PATH:/usr/sbin:/sbin command -v "$1"
}

any_file() {
    compgen -G "$1" || compgen -G "${2:-$1}"
}

libclang_there() {
    # Not libclang-cpp, which the compiler's own packages bring: bindings are read with the C library.
    [[ -n ${LIBCLANG_PATH:-} ]] || any_file '/usr/lib/llvm-*/lib/libclang[.-][s0-9]*' '/usr/lib/*/libclang[.-][s0-9]*'
}

clang_headers_there() {
    any_file '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' '/usr/lib/clang/*/include/stddef.h'
}

# The version of libclang this distribution prefers, as in libclang1-14.
clang_version() {
    apt-cache depends libclang-dev 2>/dev/null | sed -n 's/.*Depends: libclang-\([0-9]*\)-dev.*/\1/p' | head -n 1
}

build_tools() {
    want build-essential yes 'the linker, and the C parts of SQLite, xz, zstd and libdeflate' on_path cc
    want pkg-config yes 'it finds the OpenSSL headers' on_path pkg-config
    want libssl-dev yes 'the arithmetic of OpenPGP is done by OpenSSL' pkg-config --exists 'libcrypto >= 3'
    want libclang1 yes 'the OpenSSL headers are read with libclang' libclang_there
    want libclang-common-dev yes "the compiler's own headers, for the same" clang_headers_there
}

test_tools() {
    want gnupg no 'tests check our signatures with gpg, and gpg signatures with us' on_path gpg
    want appc-spec no 'tests compare with the reference tool actool' on_path actool
    want runc no 'tests and the demo run an image in it' on_path runc
    want crun no 'tests run images in it' on_path crun
    want nginx-light no "tests run a distribution's server in a container" on_path nginx
    want systemd no 'tests read the unit of the registry as systemd does' on_path systemd-analyze
    want pebble no 'tests get certificates from a certificate authority' on_path pebble
    want openssl no 'tests ask a server as a TLS client of any make would' on_path openssl
    want slirp4netns no 'tests give a container a network with a way out' on_path slirp4netns
    want uidmap no 'tests run containers with subordinate IDs' on_path newuidmap
    want xz-utils no 'tests read archives made by the real tools' on_path xz
    want bzip2 no 'tests read archives made by the real tools' on_path bzip2
    want zstd no 'tests read archives made by the real tools' on_path zstd
    want busybox-static no 'tests run commands in a root file system that holds nothing else' test -x /bin/busybox
    want attr no 'tests set extended attributes' on_path setfattr
    want acl no 'tests set access control lists' on_path setfacl
    want libcap2-bin no 'tests set file capabilities' on_path setcap
    want rpm no 'a bill of materials is read from a database that the real rpm has made' on_path rpmbuild
    want faketime no 'tests pack under another clock' on_path faketime
    want strace no 'tests make calls to the disk fail'
    want debootstrap no 'tests build the examples on a Debian that it makes' on_path debootstrap
    want passwd no 'tests build as a user who is made for them' on_path useradd
    want postgresql no 'the tests of the registry run on it as well as on SQLite' any_file '/usr/lib/postgresql/*/bin/initdb'
    want curl no 'tests and the demo ask the server as a stranger would' on_path curl
    want python3-venv no 'schemathesis, which compares the API with its document, is installed with it' python3 -c 'import ensurepip, venv'
}

# Tests call it below cargo's target folder. A list of versions that has changed installs it anew.
schemathesis() {
    local versions=${BASH_SOURCE%/*}/../tests/conformance/requirements.txt
    local folder=${CARGO_TARGET_DIR:-${BASH_SOURCE%/*}/../target}/schemathesis
    cmp -s "$versions" "$folder/requirements.txt" && return
    printf 'setup: installing schemathesis with pip: tests compare the API with its document\n' >&2
    if python3 -m venv --clear "$folder" >&2 &&
        "$folder/bin/pip" --disable-pip-version-check install -q -r "$versions" >&2; then
        cp "$versions" "$folder/requirements.txt"
    else
        printf 'setup: schemathesis could not be installed\n' >&2
    fi
}

# What distributions do not have.
further_tools() {
    [[ " $* " != *' test '* ]] || schemathesis
}

demo_tools() {
    want runc no 'the demo runs the image in it' any_runtime
    want curl no 'the demo asks the running program for its page' on_path curl
}

any_runtime() {
    on_path runc || on_path crun || on_path systemd-nspawn
}

bench_tools() {
    want hyperfine yes 'it takes the times' on_path hyperfine
    want appc-spec no 'the tool to compare with' on_path actool
    want pigz no 'gzip on every core, to compare with' on_path pigz
    want zstd no 'zstd, to compare with' on_path zstd
    want python3 yes 'it makes the tree and prints the table' on_path python3
    want nginx-light no 'it serves what is fetched' on_path nginx
    want openssl no 'it makes the certificate of that server' on_path openssl
    want curl no 'fetching with it is what we compare with' on_path curl
    want gnupg no 'verifying with it is what we compare with' on_path gpg
    want buildah no 'building with it is what we compare with' on_path buildah
    want umoci no 'building with it is what we compare with' on_path umoci
    want docker-registry no 'pushing to it is what we compare with' on_path docker-registry
    want skopeo no 'it pushes to that' on_path skopeo
    want wrk no 'it asks a registry and nginx for files' on_path wrk
}

if ! command -v cargo >/dev/null; then
    cat >&2 <<'EOF'
setup: cargo is missing. Install Rust with rustup (https://rustup.rs, or the package rustup);
       rust-toolchain.toml then chooses the compiler.
EOF
    exit 1
fi

for group in "$@"; do
    case $group in
        build | test | demo | bench) "${group}_tools" ;;
        *)
            printf 'usage: scripts/setup.sh build|test|demo|bench…\n' >&2
            exit 3
            ;;
    esac
done

if [[ ${#missing[@]} -eq 0 ]]; then
    further_tools "$@"
    exit 0
fi

printf 'setup: missing, and why it is wanted:\n' >&2
for index in "${!missing[@]}"; do
    printf '  %-20s %s\n' "${missing[index]}" "${reasons[index]}" >&2
done

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    as_root=(sudo)
    # A sudo that would ask for a password can only do so on a terminal.
    [[ -t 0 ]] || as_root=(sudo -n)
fi

if ! command -v apt-get >/dev/null; then
    printf 'setup: there is no apt-get here; please install these with your own package manager.\n' >&2
elif [[ ${#as_root[@]} -gt 0 ]] && ! command -v sudo >/dev/null; then
    printf 'setup: neither root nor sudo; please run as root: apt-get install %s\n' "${missing[*]}" >&2
else
    printf 'setup: installing them with apt-get\n' >&2
    "${as_root[@]}" apt-get -qq update || true
    version=$(clang_version)
    for index in "${!missing[@]}"; do
        package=${missing[index]}
        case $package in
            libclang1) package=libclang1${version:+-$version} ;;
            libclang-common-dev) package=libclang-common${version:+-$version}-dev ;;
        esac
        if "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -y --no-install-recommends install "$package" >&2; then
            required[index]=there
        else
            printf 'setup: %s could not be installed\n' "$package" >&2
        fi
    done
fi

for state in "${required[@]}"; do
    if [[ $state == yes ]]; then
        printf 'setup: Gantry cannot be built or measured without what is missing above.\n' >&2
        printf '       Without OpenSSL and libclang: cargo build --no-default-features --features crypto-rust\n' >&2
        exit 1
    fi
done

further_tools "$@"
