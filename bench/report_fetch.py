#!/usr/bin/env python3
"""Prints the table of one run of bench/fetch.sh: bench/report_fetch.py RESULTS PEAK_BYTES"""

import json
import os
import sys


def main():
    folder, memory = sys.argv[1], int(sys.argv[2])
    with open(os.path.join(folder, "times.json"), encoding="utf-8") as file:
        results = json.load(file)["results"]
    # The best of the runs is the one that other work on the machine disturbed least.
    best = {result["command"]: result["min"] for result in results}
    print("| image | gantry fetch, s | curl | gpg --verify | gunzip \\| sha512sum | their sum | of the sum |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in ("gzip", "one"):
        ours = best[f"gantry fetch ({kind})"]
        theirs = [best[f"{tool} ({kind})"] for tool in ("curl, twice", "gpg --verify", "gunzip | sha512sum")]
        cells = " | ".join(f"{time:.2f}" for time in theirs)
        print(f"| {kind} | {ours:.2f} | {cells} | {sum(theirs):.2f} | {ours / sum(theirs):.2f} |")
    print(f"\nMost memory that gantry fetch had: {memory / 1048576:.0f} MiB.")


if __name__ == "__main__":
    main()
