#!/usr/bin/env bash
# wgrad's own side of the comparison: every workload on the CPU and on the best adapter, one JSON object a line, then a table.
# The planners of a workload alternate, so that a busy machine slows all of them.
#   benches/compare.sh [WORKLOAD…]
# ROUNDS (3)     runs of each; the table shows the median of their medians, and the slowest and fastest
# SECONDS_EACH (2)  timed seconds of a run, after a warm-up of as many
# DEVICES ("cpu gpu")  what --device gets
# PRECISION (f32)   f32, f16 or auto
# RESULTS (results.jsonl)  where the objects go
# PEER           a command that takes --workload W --seconds S and prints such an object; it alternates with ours
# WGRAD          the program (built where this is not set)
# The first run of a workload on a device tunes it; its `first_step_s` is the cold one if WGRAD_CACHE_DIR is an empty folder.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-2} devices=${DEVICES:-cpu gpu} results=${RESULTS:-results.jsonl}
if [ -z "${WGRAD:-}" ]; then
  cargo build --release --manifest-path "$here/Cargo.toml" -p wgrad-cli >&2
  WGRAD=$here/target/release/wgrad
fi
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
  XDG_RUNTIME_DIR=$(mktemp -d)
  export XDG_RUNTIME_DIR
  trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi
workloads=("$@")
[ $# -gt 0 ] || workloads=(W1 W2 W3 W4 W5 W6-1024 W6-2048)

planners() {
  case $1 in
    W3) echo "layerwise fused" ;;
    W4) echo "layerwise resident" ;;
    W6-*) echo layerwise ;;
    *) echo auto ;;
  esac
}

: >"$results"
for workload in "${workloads[@]}"; do
  for ((round = 0; round < rounds; round++)); do
    for device in $devices; do
      for planner in $(planners "$workload"); do
        echo "$workload on $device by $planner, round $((round + 1))" >&2
        "$WGRAD" --json bench --workload "$workload" --device "$device" --planner "$planner" \
          --precision "${PRECISION:-f32}" --seconds "$seconds" >>"$results"
      done
    done
    [ -z "${PEER:-}" ] || $PEER --workload "$workload" --seconds "$seconds" >>"$results"
  done
done

python3 - "$results" <<'PYTHON'
import json, statistics, sys

rows = {}
for line in open(sys.argv[1]):
    run = json.loads(line)
    who = run.get("device") or run.get("runner") or "peer"
    rows.setdefault((run["workload"], who, run.get("planner", "")), []).append(run)
print("| | device | planner | samples a second (W4, W6: steps) | slowest to fastest | GFLOP/s | first step, s | check loss |")
print("|---|---|---|---|---|---|---|---|")
for (workload, who, planner), runs in rows.items():
    steps = workload == "W4" or workload.startswith("W6")
    rates = sorted(1e3 / run["step_ms_median"] if steps else run["samples_per_s"] for run in runs)
    gflops = statistics.median(run["gflops"] for run in runs)
    first = runs[0].get("first_step_s", float("nan"))
    loss = runs[0].get("check_loss", float("nan"))
    print(f"| {workload} | {who} | {planner} | {statistics.median(rates):.4g} | {rates[0]:.4g} to {rates[-1]:.4g} "
          f"| {gflops:.1f} | {first:.2f} | {loss:.9g} |")
PYTHON
