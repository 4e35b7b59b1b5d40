#!/usr/bin/env python3
"""Prints the tables of one run of bench/read.sh: bench/report_read.py RESULTS"""

import json
import os
import sys


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "times.json"), encoding="utf-8") as file:
        results = json.load(file)["results"]
    # The best of the runs is the one that other work on the machine disturbed least.
    best = {result["command"]: result["min"] for result in results}
    hash_time = best["sha512sum (none)"]
    print("| command | best s | mean s | of actool's time | of the hash's time |")
    print("|---|---:|---:|---:|---:|")
    for result in results:
        name = result["command"]
        actool = best.get("actool validate " + name[name.index("(") :])
        against = f"{best[name] / actool:.2f}" if actool else "–"
        print(
            f"| {name} | {best[name]:.2f} | {result['mean']:.2f} | {against} "
            f"| {best[name] / hash_time:.2f} |"
        )
    print()
    with open(os.path.join(folder, "memory.md"), encoding="utf-8") as file:
        print(file.read(), end="")


if __name__ == "__main__":
    main()
