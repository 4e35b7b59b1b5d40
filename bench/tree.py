#!/usr/bin/env python3
"""Makes the tree that `make bench` packs: bench/tree.py DIR

About 15,000 files and 250 MB below DIR/rootfs, beside DIR/manifest, taken from the files of this
machine's own system: whole folders of /usr, and of the Rust sources the build fetched where /usr
has too few. They are what images are made of (programs, libraries, headers, message catalogues,
documentation, already compressed files), so they compress as a real image does. Which files are
taken depends on their paths alone, so the same machine gives the same tree. Modes and times are
kept; links are added on top.
"""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys

FILES = 15_000
BYTES = 250_000_000
LARGEST = 8_000_000
SYMLINKS = 500
HARD_LINKS = 200


def homes():
    """Where files are taken from, the first ones first."""
    yield ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/share", "/usr/include"]
    cargo = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    sysroot = subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip()
    yield [os.path.join(cargo, "registry", "src"), sysroot]


def candidates():
    """Every file that may be taken, as (path, path in the tree), folder by folder, in an order
    that only paths decide."""
    for group in homes():
        folders = []
        for home in group:
            for folder, _, names in os.walk(home):
                inside = os.path.join(os.path.basename(home), os.path.relpath(folder, home))
                key = hashlib.sha256(os.fsencode(inside)).digest()
                folders.append((key, folder, os.path.normpath(inside), sorted(names)))
        for _, folder, inside, names in sorted(folders):
            for name in names:
                yield os.path.join(folder, name), os.path.join(inside, name)


def choose():
    """The files taken. Their mean size stays near BYTES / FILES all along, or the last of them
    would all be small ones."""
    taken, total = [], 0
    for path, inside in candidates():
        if len(taken) == FILES:
            break
        try:
            found = os.lstat(path)
        except OSError:
            continue
        if not stat.S_ISREG(found.st_mode) or not os.access(path, os.R_OK):
            continue
        ahead = LARGEST * (FILES - len(taken)) // FILES
        if total + found.st_size <= BYTES * (len(taken) + 1) // FILES + ahead:
            taken.append((path, inside))
            total += found.st_size
    if len(taken) < FILES or total < BYTES * 9 // 10:
        sys.exit(f"bench: only {len(taken)} files of {total} bytes were found on this machine")
    return taken


def main():
    target = sys.argv[1]
    rootfs = os.path.join(target, "rootfs")
    os.makedirs(rootfs)
    taken = choose()
    copies = []
    for path, inside in taken:
        copy = os.path.join(rootfs, inside)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)
        copies.append(copy)
    for number in range(SYMLINKS):
        copy = copies[number * 7 % len(copies)]
        os.symlink(os.path.basename(copy), f"{copy}.symlink")
    for number in range(HARD_LINKS):
        copy = copies[number * 11 % len(copies)]
        os.link(copy, f"{copy}.link")
    with open(os.path.join(target, "manifest"), "w", encoding="utf-8") as manifest:
        json.dump(
            {
                "acKind": "ImageManifest",
                "acVersion": "0.8.11",
                "name": "example.com/bench",
                "labels": [{"name": "version", "value": "1.0.0"}],
            },
            manifest,
        )
    total = sum(os.path.getsize(copy) for copy in copies)
    print(f"{len(copies)} files, {total} bytes, {SYMLINKS} symlinks, {HARD_LINKS} hard links")


if __name__ == "__main__":
    main()
