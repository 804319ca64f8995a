# Sourced by the scripts of this folder: where things are, and the steps that running and testing share.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C.UTF-8

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$root/build
libtorch=$root/.deps/libtorch

say() { printf 'ditscope: %s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

has_nvidia_driver() {
  [ -e /proc/driver/nvidia/version ] || { command -v nvidia-smi > /dev/null && nvidia-smi -L > /dev/null 2>&1; }
}

# A screen to open a window on: Wayland, a remote X display, or a local one whose server is there.
has_display() {
  [ -n "${WAYLAND_DISPLAY:-}" ] && return 0
  case ${DISPLAY:-} in
    '') return 1 ;;
    :*)
      local number=${DISPLAY#:}
      [ -S "/tmp/.X11-unix/X${number%%.*}" ] || grep -qs "@/tmp/.X11-unix/X${number%%.*}$" /proc/net/unix
      ;;
    *) return 0 ;;
  esac
}

# As many compilers as there are cores, and no more than memory holds (a source that includes LibTorch takes about 2 GB).
build_jobs() {
  local cores memory_gb
  cores=$(nproc)
  memory_gb=$(awk '/^MemAvailable:/ { print int($2 / 1048576 / 2) }' /proc/meminfo)
  if [ "$memory_gb" -lt 1 ]; then memory_gb=1; fi
  if [ "$memory_gb" -lt "$cores" ]; then echo "$memory_gb"; else echo "$cores"; fi
}

# The CUDA compiler: the system's, else the one that fetch_libtorch.sh unpacks beside LibTorch.
find_nvcc() {
  if command -v nvcc; then
    return
  fi
  local candidate
  for candidate in /usr/local/cuda/bin/nvcc "$libtorch/nvidia/cu13/bin/nvcc"; do
    if [ -x "$candidate" ]; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# configure OPTION... : configures Release in build/, only where the options differ from the last time.
configure() {
  local options=(-DCMAKE_BUILD_TYPE=Release "$@") nvcc
  if has_nvidia_driver && nvcc=$(find_nvcc); then
    options+=(-DDITSCOPE_CUDA=ON "-DDITSCOPE_NVCC=$nvcc" -DDITSCOPE_CUDA_ARCHITECTURES=native)
  fi
  local stamp=$build/configured.txt wanted
  wanted=$(printf '%s\n' "$root" "${options[@]}")
  if [ -f "$build/build.ninja" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    return
  fi
  local fresh=()
  # A folder that was moved or copied carries the old place in its cache.
  if [ -f "$build/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt"; then
    fresh=(--fresh)
  fi
  say "configuring in $build"
  mkdir -p "$build"
  if ! cmake ${fresh[@]+"${fresh[@]}"} -G Ninja -S "$root" -B "$build" "${options[@]}" > "$build/configure.log" 2>&1; then
    tail -n 40 "$build/configure.log" >&2
    die "configuring failed; the whole output is in $build/configure.log"
  fi
  printf '%s\n' "$wanted" > "$stamp"
}

# build_targets TARGET... : builds them (all without one), with ninja's progress line on a terminal, else quietly into a log.
build_targets() {
  local command=(cmake --build "$build" --parallel "$(build_jobs)")
  if [ $# -gt 0 ]; then command+=(--target "$@"); fi
  if [ -t 1 ]; then
    "${command[@]}" || die "building failed; see the first error above"
  elif ! "${command[@]}" > "$build/build.log" 2>&1; then
    grep -E -m 40 'error|FAILED' "$build/build.log" >&2 || tail -n 40 "$build/build.log" >&2
    die "building failed; the whole output is in $build/build.log"
  fi
}
