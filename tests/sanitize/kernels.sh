#!/usr/bin/env bash
# kernels.sh [address|thread]...
#
# Builds the kernels and their tests with sanitizers, in build/sanitize-address and build/sanitize-thread, and runs them; without
# arguments both. address is AddressSanitizer with UndefinedBehaviorSanitizer, over every test, the emulated GPU included. thread is
# ThreadSanitizer over everything that runs on threads: the threads of the emulated GPU are contexts of one thread and left out.
# Needs g++, CMake, ninja and GoogleTest. JOBS says how many compile at once. Exit status: 0 clean, 1 a finding, 2 wrong usage.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." || exit 2

usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' tests/sanitize/kernels.sh
  exit 2
}

[ $# -gt 0 ] || set -- address thread
for name in "$@"; do case $name in address | thread) ;; *) usage ;; esac; done

export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=0:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS-second_deadlock_stack=1}
failed=0
for name in "$@"; do
  case $name in
    address) flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined' emulated=ON ;;
    thread) flags='-fsanitize=thread' emulated=OFF ;;
  esac
  build=build/sanitize-$name
  cmake -G Ninja -S tests/sanitize -B "$build" -DCMAKE_BUILD_TYPE=None -DDITSCOPE_EMULATED_GPU="$emulated" \
    -DCMAKE_CXX_FLAGS="-O1 -g1 $flags -fno-omit-frame-pointer" | { grep -E 'Error|Warning' || true; } &&
    cmake --build "$build" -j "${JOBS:-$(nproc)}" --target test_kernels &&
    "$build/bin/test_kernels" --gtest_brief=1 || failed=1
done
[ $failed -eq 0 ] && echo "clean: $*"
exit $failed
