#!/usr/bin/env python3
"""Writes an image of very many entries to stdout, as a plain tar: bench/many.py ENTRIES

Half of them are folders and half are empty files, in no order that helps a reader: every folder
comes after all files. Paths are as long as those of a real image."""

import io
import sys
import tarfile

MANIFEST = b'{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/many"}'


def main():
    half = int(sys.argv[1]) // 2
    out = sys.stdout.buffer

    def entry(name, kind, content=b""):
        header = tarfile.TarInfo(name)
        header.type = kind
        header.mode = 0o755
        header.size = len(content)
        out.write(header.tobuf(tarfile.USTAR_FORMAT))
        out.write(content + bytes(-len(content) % 512))

    entry("manifest", tarfile.REGTYPE, MANIFEST)
    entry("rootfs", tarfile.DIRTYPE)
    folders = [f"rootfs/usr/share/things/{number % 1000:03}/{number:07}" for number in range(half)]
    for folder in folders:
        entry(f"{folder}/file", tarfile.REGTYPE)
    for folder in folders:
        entry(folder, tarfile.DIRTYPE)
    out.write(bytes(1024))


if __name__ == "__main__":
    main()
