#!/usr/bin/env python3
"""Runs a command and prints the most resident memory that it, or any process it waited for, had,
in bytes: bench/peak_memory.py COMMAND…"""

import resource
import subprocess
import sys

subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
