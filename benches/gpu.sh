#!/usr/bin/env bash
# All that is to be seen and measured on a machine with a real GPU, the most telling first: adapters, the proof, every workload
# in f32 and f16 with each kernel beside the card's ceilings, a training run, a rival. The tuner begins with nothing, so the
# first run of a workload is a cold one. Each part has a limit of its own; one that fails or takes too long leaves its log,
# and the rest goes on.
#   WGRAD=target/release/wgrad benches/gpu.sh RESULTS
# RESULTS        a folder for logs, objects (results.jsonl) and the table (table.md)
# WGRAD          the program (default: target/release/wgrad); it needs no other file
# SECONDS_EACH (1)  timed seconds of a run, after a warm-up of two
# TOTAL (540)    seconds after which no further part begins
# TORCH          a program that takes `--variant eager|graph|compile[-tf32|-bf16] --workload W --seconds S` and prints an object
# DEVICE (gpu)   what --device gets
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
results=${1:?usage: benches/gpu.sh RESULTS}
wgrad=${WGRAD:-$here/target/release/wgrad} seconds=${SECONDS_EACH:-1} total=${TOTAL:-540} device=${DEVICE:-gpu}
mkdir -p "$results"
: >"$results/results.jsonl"
WGRAD_CACHE_DIR=$(mktemp -d)
export WGRAD_CACHE_DIR
trap 'rm -rf "$WGRAD_CACHE_DIR"' EXIT
failed=0

# part LIMIT NAME COMMAND…: runs it with its output in NAME.log and its objects in results.jsonl
part() {
  local limit=$1 name=$2 left=$((total - SECONDS)) code begin=$SECONDS
  shift 2
  if [ "$left" -lt 5 ]; then
    echo "-     $name: no time left"
    return
  fi
  timeout "$((limit < left ? limit : left))" "$@" >"$results/$name.out" 2>"$results/$name.log"
  code=$?
  grep -h '^{' "$results/$name.out" >>"$results/results.jsonl" || cat "$results/$name.out" >>"$results/$name.log"
  rm -f "$results/$name.out"
  if [ $code = 0 ]; then echo "ok    $name ($((SECONDS - begin)) s)"; else
    failed=1
    echo "FAIL  $name: $([ $code = 124 ] && echo "over its limit" || echo "exit $code"), $((SECONDS - begin)) s; the end of $name.log:"
    tail -5 "$results/$name.log" | cut -c1-300
  fi
}
bench() { # NAME WORKLOAD ARGUMENTS…
  local name=$1 workload=$2
  shift 2
  part 60 "$name" "$wgrad" --json bench --workload "$workload" --device "$device" --seconds "$seconds" "$@"
}

part 20 devices "$wgrad" devices
part 150 check "$wgrad" --device "$device" check
for workload in W1 W2 W5 W6-1024 W6-2048; do bench "$workload-f32" $workload --kernels; done
for planner in layerwise fused; do bench "W3-$planner-f32" W3 --planner $planner --kernels; done
for planner in layerwise resident; do bench "W4-$planner-f32" W4 --planner $planner; done
for workload in W2 W5 W6-2048; do bench "$workload-f16" $workload --precision f16 --kernels; done
for planner in layerwise fused; do bench "W3-$planner-f16" W3 --planner $planner --precision f16 --kernels; done
part 60 train "$wgrad" --device "$device" train digits --epochs 30 --out "$results/digits.safetensors"
if [ -n "${TORCH:-}" ]; then
  for workload in W1 W2 W3 W4 W5; do
    for variant in eager graph compile; do
      part 60 "torch-$workload-$variant" $TORCH --variant $variant --workload $workload --seconds "$seconds"
    done
  done
  for workload in W2 W5; do part 60 "torch-$workload-bf16" $TORCH --variant graph-bf16 --workload $workload --seconds "$seconds"; done
  for workload in W6-1024 W6-2048; do part 60 "torch-$workload" $TORCH --variant eager --workload $workload --seconds "$seconds"; done
fi

python3 - "$results/results.jsonl" >"$results/table.md" <<'PYTHON'
import json, sys

runs = [run for run in map(json.loads, open(sys.argv[1])) if "workload" in run]
print("| | who | planner | precision | samples/s (W4, W6: steps/s) | GFLOP/s | first step, s | tuning, s | check loss |")
print("|---|---|---|---|---|---|---|---|---|")
for run in runs:
    steps = run["workload"] == "W4" or run["workload"].startswith("W6")
    median = run["step_ms_median"]
    rate = 1e3 / median if steps else run["samples_per_s"]
    numbers = [f"{rate:.4g}", f"{run['gflops']:.0f}", f"{run.get('first_step_s', float('nan')):.2f}"]
    tuning = f"{run['tuning_s']:.2f}" if "tuning_s" in run else ""
    who = run.get("runner") or run.get("device")
    cells = [run["workload"], who, run.get("planner", ""), run.get("precision", "f32"), *numbers, tuning]
    print("| " + " | ".join(cells) + f" | {run.get('check_loss', float('nan')):.9g} |")
for run in runs:
    kernels = run.get("kernels")
    if not kernels:
        continue
    print(f"\n{run['workload']}, {run['planner']}, {run['precision']}: a copy {kernels['copy_gbytes_per_s']:.0f} GB/s, "
          f"the best product {kernels['product_gflops']:.0f} GFLOP/s\n")
    print("| kernel | sizes | variant | µs | GFLOP/s | GB/s | of its ceiling |")
    print("|---|---|---|---|---|---|---|")
    for timed in kernels["timed"]:
        sizes = "×".join(str(size) for size in timed["dims"] if size)
        print(f"| {timed['kernel']} | {sizes} | {timed['variant']} | {1e6 * timed['seconds']:.1f} | {timed['gflops']:.0f} "
              f"| {timed['gbytes_per_s']:.0f} | {100 * timed['share']:.0f} % of {timed['share_of']} |")
PYTHON
cat "$results/table.md"
exit $failed
