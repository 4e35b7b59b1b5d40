#!/bin/sh
# Makes base.tar, the Debian that all examples begin with. It takes root, and debootstrap.
set -e
cd "$(dirname "$0")"
debootstrap --variant=minbase bookworm base http://deb.debian.org/debian
# Left out is what debootstrap has from this machine, the packages it has fetched, and its logs.
tar -C base -cf base.tar --exclude=./etc/hostname --exclude=./etc/resolv.conf \
    --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' \
    --exclude='./var/log/*.log' .
rm -r base
