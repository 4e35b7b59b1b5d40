#!/usr/bin/env bash
# The serving half of `make bench`: the registry beside nginx and docker-registry. RUNS=3 says how
# many rounds, DURATION=5 for how many seconds each thing is asked for. bench/serve.py says what.
set -euo pipefail
cd "$(dirname "$0")/.."
source bench/common.sh serve
PATH=$PATH:/usr/sbin python3 "$here/bench/serve.py" "$GANTRY" "$results" | tee "$results/report.md"
printf '\nWritten to %s\n' "${results#"$here"/}"
