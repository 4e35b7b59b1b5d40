#!/usr/bin/env python3
"""Prints the table of one run of `make bench`: bench/report.py RESULTS"""

import json
import os
import platform
import sys

# What the ratios are taken against, where it was measured.
REFERENCE = "actool build"
HASH = "sha512sum of the tar"


def cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "times.json"), encoding="utf-8") as file:
        times = {result["command"]: result for result in json.load(file)["results"]}
    with open(os.path.join(folder, "tree.txt"), encoding="utf-8") as file:
        tree = file.read().strip()
    runs = {}
    with open(os.path.join(folder, "runs.tsv"), encoding="utf-8") as file:
        for line in file:
            name, size, memory = line.rstrip("\n").split("\t")
            runs[name] = (int(size), int(memory))

    print(f"{tree}; {os.cpu_count()} cores, {cpu()}, Linux {platform.release().split('-')[0]}")
    print()
    print("| command | best s | mean s | of actool's time | of the hash's time | MB | of actool's size | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    # The best of the runs is the one that other work on the machine disturbed least.
    best = {name: result["min"] for name, result in times.items()}
    for name, result in times.items():
        size, memory = runs[name]
        against = f"{best[name] / best[REFERENCE]:.2f}" if REFERENCE in best else "–"
        smaller = f"{size / runs[REFERENCE][0]:.3f}" if REFERENCE in runs else "–"
        shown = name.replace("|", "\\|")
        print(
            f"| {shown} | {best[name]:.2f} | {result['mean']:.2f} | {against} "
            f"| {best[name] / best[HASH]:.2f} | {size / 1e6:.1f} | {smaller} | {memory / 2**20:.0f} |"
        )


if __name__ == "__main__":
    main()
