#!/usr/bin/env bash
# run.sh [--only kernels|tests|bench|train] [--train MINUTES] [--slice MINUTES] [--scratch] [-- OPTIONS OF train transformer]
#
# Builds and tests DiTScope on a machine with an NVIDIA GPU, a torch wheel with CUDA and nothing else (docs/gpu.md), with what
# tests/gpu/prepare.sh collected in .gpu/. Without options: build, attention kernels (tests, benchmark, compute-sanitizer), CUDA
# tests, the other tests of what runs on LibTorch, benchmarks; under 8 minutes. Without nvcc the kernels are left out. With --train: trains the bundled model for MINUTES in all; this command ends after --slice minutes (8 where not
# said), building included, evaluating not, and the same command goes on. From the bundled model where there is one, unless --scratch.
# Writes log.txt and results.json, and after training the model in parts, to ${OUT:-out/gpu}.
#
# A stage that fails does not stop the later ones. Exit status: 0 all is well, 1 a stage failed, 2 wrong usage or nothing to build with.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." || exit 2

usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' tests/gpu/run.sh
  exit 2
}

only='' train_minutes=0 slice_minutes=8 scratch=false train_options=()
while [ $# -gt 0 ]; do
  case $1 in
    --only) only=${2-} && shift ;;
    --train) train_minutes=${2-} && shift ;;
    --slice) slice_minutes=${2-} && shift ;;
    --scratch) scratch=true ;;
    --) shift && train_options=("$@") && break ;;
    *) usage ;;
  esac
  shift
done
case $only in '' | kernels | tests | bench | train) ;; *) usage ;; esac
[[ $train_minutes =~ ^[0-9]+$ && $slice_minutes =~ ^[0-9]+$ && $slice_minutes -gt 0 ]] || usage
if [ "$train_minutes" -gt 0 ]; then
  [ -z "$only" ] && only=train
elif [ "$only" = train ]; then
  usage
fi

out=${OUT:-out/gpu}
mkdir -p "$out" && out=$(cd -- "$out" && pwd) || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exec > >(tee "$out/log.txt") 2>&1
tee_process=$!
begin=$SECONDS
limit_s=470
[ "$only" = train ] && limit_s=$((slice_minutes * 60 + 120))
cores=$(nproc)
build=build/gpu
failed=0

# Writes what there is so far to results.json: a run that is cut short leaves the results of the stages before.
collect() {
  python3 - "$work" "$out" "$torch" << 'END'
import json, pathlib, sys
work, out, torch = map(pathlib.Path, sys.argv[1:])
read = lambda name: (work / name).read_text() if (work / name).exists() else ""
stages = [dict(zip(("stage", "seconds", "status"), line.split("\t"))) for line in read("stages.tsv").splitlines()]
for stage in stages:
    stage["seconds"], stage["status"] = int(stage["seconds"]), int(stage["status"])
version = (torch / "version.py").read_text() if (torch / "version.py").exists() else ""
results = {"gpu": read("gpu.txt").strip(), "torch": version.split("__version__ = ")[-1].splitlines()[0].strip("'\"") if version else "",
           "stages": stages}
def row(line):  # the last one may be cut short
    try:
        return [json.loads(line)]
    except ValueError:
        return []
for name in ("bench", "kernel_bench", "hopper_bench"):
    results[name] = [each for line in read(name + ".jsonl").splitlines() for each in row(line)]
for name in ("cuda_test", "kernel_test", "hopper_test"):
    if not (report := next(iter(row(read(name + ".json"))), None)):
        continue
    keep = lambda test: {k: v for k, v in test.items() if k not in ("file", "line", "timestamp", "classname", "status", "value_param")}
    results[name + "s"] = {"tests": report["tests"], "failures": report["failures"],
                           "cases": [{"suite": s["name"], **keep(t)} for s in report["testsuites"] for t in s["testsuite"]]}
(out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
END
}

# stage NAME LIMIT_S COMMAND... : runs it, keeps its time and exit status, never beyond what is left of the whole.
stage() {
  local name=$1 cap=$2 start=$SECONDS left status
  shift 2
  left=$((limit_s - (SECONDS - begin)))
  [ "$cap" -gt "$left" ] && cap=$left
  echo "=== $name"
  if [ "$cap" -lt 5 ]; then
    status=124
    echo "no time is left for it"
  else
    timeout --kill-after=10 "$cap" "$@"
    status=$?
  fi
  [ $status -eq 0 ] || failed=1
  echo "--- $name: $((SECONDS - start)) s, exit status $status"
  printf '%s\t%s\t%s\n' "$name" $((SECONDS - start)) "$status" >> "$work/stages.tsv"
  collect
  return $status
}

torch=$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])' 2> /dev/null)
[ -n "$torch" ] || { echo "run.sh: python3 has no torch. Install a torch wheel with CUDA." && exit 2; }
[ -e .gpu/prefix.cmake ] || { echo "run.sh: .gpu/ is missing. Run tests/gpu/prepare.sh on Debian 12 and bring the folder along." && exit 2; }
cmake=$(command -v cmake) || cmake="$(dirname -- "$(python3 -c 'import sys; print(sys.executable)')")/cmake"
[ -x "$cmake" ] || { echo "run.sh: there is no cmake. python3 -m pip install cmake ninja" && exit 2; }
PATH=$(dirname -- "$cmake"):$PATH
export PATH

echo "date $(date -u +%FT%TZ), $cores cores, torch in $torch"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2> /dev/null | tee "$work/gpu.txt"
c++ --version | head -1

# Called by stages, in shells of their own. grep finds nothing where all went well.
# shellcheck disable=SC2317
configure() {
  "$cmake" -G Ninja -S . -B "$build" -C .gpu/prefix.cmake -DCMAKE_BUILD_TYPE=Release -DDITSCOPE_GUI=OFF -DDITSCOPE_VIDEO=OFF \
    -DDITSCOPE_CUDA="$1" -DDITSCOPE_CUDA_KERNELS=ON -DDITSCOPE_CUDA_ARCHITECTURES=native -DDITSCOPE_LIBTORCH_DIR="$torch" 2>&1 | { grep -vE '^-- (Detecting|Check)' || true; }
}
# shellcheck disable=SC2317
compile() { "$cmake" --build "$build" -j "$cores" --target "$@" -- -k 0 | { grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking)' || true; }; }
export -f configure compile
export cmake build torch cores

# The attention kernels alone, most telling first; each row of a benchmark is printed as it is measured.
kernel_stages() {
  stage kernel-tests 60 $build/bin/test_cuda_kernels --gtest_brief=1 --gtest_output="json:$work/kernel_test.json"
  # shellcheck disable=SC2016
  stage kernel-bench 90 bash -o pipefail -c '"$0" --seconds 60 | tee "$1"' $build/bin/cuda_kernel_bench "$work/kernel_bench.jsonl"
  # The kernels for compute capability 9.0, which are off unless asked for.
  stage hopper-tests 40 env DITSCOPE_HOPPER=1 $build/bin/test_cuda_kernels --gtest_brief=1 --gtest_filter='-*/0.*' \
    --gtest_output="json:$work/hopper_test.json"
  # shellcheck disable=SC2016
  stage hopper-bench 50 bash -o pipefail -c 'DITSCOPE_HOPPER=1 "$0" --seconds 30 | tee "$1"' $build/bin/cuda_kernel_bench \
    "$work/hopper_bench.jsonl"
  if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck; do
      stage sanitizer-$tool 45 compute-sanitizer --tool $tool --error-exitcode 9 $build/bin/test_cuda_kernels --gtest_brief=1 \
        --gtest_filter='Short*'
    done
    stage sanitizer-hopper 45 env DITSCOPE_HOPPER=1 compute-sanitizer --tool memcheck --error-exitcode 9 $build/bin/test_cuda_kernels \
      --gtest_brief=1 --gtest_filter='Short*-*/0.*'
  else
    echo "compute-sanitizer is not here: its stages are left out"
  fi
}

stage configure 60 bash -o pipefail -c 'configure ON'
kernels=()
# Not into grep -q: it ends at the first match, and what writes more into its pipe fails.
[[ $("$cmake" --build $build --target help) == *test_cuda_kernels:* ]] && kernels=(test_cuda_kernels cuda_kernel_bench)
# The kernels come first: their results are there before the rest is built.
if [ ${#kernels[@]} -gt 0 ] && { [ -z "$only" ] || [ "$only" = kernels ]; }; then
  stage build-kernels 240 bash -o pipefail -c 'compile "$@"' _ "${kernels[@]}"
  kernel_stages
fi
case $only in
  kernels)
    stage build 200 bash -o pipefail -c 'compile test_kernels'
    stage kernel-cpu-tests 100 $build/bin/test_kernels --gtest_brief=1 --gtest_filter='Cuda*:AttentionPlan*'
    ;;
  train) stage build 300 bash -o pipefail -c 'compile ditscope-cli' ;;
  bench) stage build 300 bash -o pipefail -c 'compile cuda_bench' ;;
  *) stage build 300 bash -o pipefail -c 'compile ditscope-cli test_cuda cuda_bench' ;;
esac

if [ -z "$only" ] || [ "$only" = tests ]; then
  stage cuda-tests 180 $build/bin/test_cuda --gtest_brief=1 --gtest_output="json:$work/cuda_test.json"
fi
if [ -z "$only" ] || [ "$only" = bench ]; then
  # shellcheck disable=SC2016
  stage bench 150 bash -o pipefail -c '"$0" | tee "$1"' $build/bin/cuda_bench "$work/bench.jsonl"
fi
if [ -z "$only" ] || [ "$only" = tests ]; then
  # As installed: nothing of CUDA is linked, the program finds the GPU and loads LibTorch's CUDA half by itself.
  stage configure-unlinked 30 bash -o pipefail -c 'configure OFF' &&
    stage build-unlinked 60 bash -o pipefail -c 'compile ditscope-cli' &&
    stage unlinked 60 $build/bin/ditscope-cli evaluate --clips 1 --steps 4 --device cuda
  # The rooms on LibTorch, on this machine's CPU and compiler.
  rooms=(checkpoint text attention models pipeline)
  stage build-cpu-tests 150 bash -o pipefail -c 'compile "$@"' _ "${rooms[@]/#/test_}" &&
    stage cpu-tests 120 ctest --test-dir $build -j "$cores" --timeout 100 --output-on-failure -R "^test_($(IFS='|' && echo "${rooms[*]}"))\$"
fi

# pack FOLDER : a model folder as parts of 15 MB, the checksum of the whole beside them.
pack() {
  rm -f "$out"/model.tar.gz.*
  tar -C "$(dirname -- "$1")" -cz "$(basename -- "$1")" | split -b 15M -d - "$out/model.tar.gz."
  cat "$out"/model.tar.gz.?? | sha256sum | sed 's/ .*//' > "$out/model.tar.gz.sha256"
  ls -l "$out"/model.tar.gz.*
}

# One fifth of the time goes to the VAE, the rest to the transformer and the text encoder on its latents.
train() {
  local runs=out/gpu-train from=() cli=$build/bin/ditscope-cli vae_minutes left
  [ "$scratch" = false ] && [ -d resources/models/solids-256 ] && from=(--from resources/models/solids-256)
  vae_minutes=$(((train_minutes + 4) / 5))
  local common=(--device cuda --render-threads $((cores > 3 ? cores - 2 : 1)) --threads 4 --checkpoint-minutes 2 "${from[@]}")
  local until=$((begin + slice_minutes * 60))
  # A slice that ends sends the signal of Ctrl-C: the trainer saves and ends with status 130.
  slice() {
    local name=$1 start=$SECONDS
    shift
    left=$((until - SECONDS))
    [ $left -gt 10 ] || return 1
    echo "=== $name, $left s at most"
    timeout --signal=INT --kill-after=60 $left "$@"
    local status=$?
    printf '%s\t%s\t%s\n' "$name" $((SECONDS - start)) $status >> "$work/stages.tsv"
    [ $status -eq 0 ] || [ $status -eq 124 ] || [ $status -eq 130 ] || failed=1
    return $status
  }
  if slice train-vae $cli train vae --out $runs/vae --minutes "$vae_minutes" "${common[@]}"; then
    slice train-transformer $cli train transformer --out $runs/transformer --vae $runs/vae/vae --minutes $((train_minutes - vae_minutes)) \
      "${common[@]}" "${train_options[@]}"
  fi
  cat $runs/vae/log.jsonl $runs/transformer/log.jsonl > "$out/training.jsonl" 2> /dev/null
  if [ -e $runs/transformer/model/transformer/diffusion_pytorch_model.safetensors ]; then
    # shellcheck disable=SC2016
    stage evaluate 120 bash -c '"$0" evaluate --model "$1" --clips 24 --device cuda --dtype float32 --json > "$2"' \
      $cli $runs/transformer/model "$out/evaluation.json"
    pack $runs/transformer/model
  fi
}
[ "$only" = train ] && train

collect

echo "=== all: $((SECONDS - begin)) s, $([ $failed -eq 0 ] && echo 'all is well' || echo 'a stage failed')"
[ -e "$work/stages.tsv" ] && column -t -s "$(printf '\t')" "$work/stages.tsv" 2> /dev/null
exec >&- 2>&-
wait "$tee_process"
exit $failed
