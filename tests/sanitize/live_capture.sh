#!/bin/bash
# ThreadSanitizer over captures that are written, read and painted at once and stopped at any moment: 200 rounds, or $1.
# LibTorch is not part of it: the rooms that are built here do not know it.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${DITSCOPE_TSAN_BUILD:-$root/build/tsan}
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-fsanitize=thread -O1 -g1 -fno-omit-frame-pointer"
cmake --build "$build" -j "${JOBS:-$(nproc)}" --target test_capture test_inspect
[ -d /dev/shm ] && export TMPDIR=/dev/shm  # a commit waits for the disk
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 ${TSAN_OPTIONS:-}"
DITSCOPE_ROUNDS=${1:-200} "$build/bin/test_inspect" --gtest_filter='LiveCapture.*'
"$build/bin/test_inspect" --gtest_filter='Inspection.*:PlotViews.WhileDataLoads*'
"$build/bin/test_capture" --gtest_filter='Captures.ALiveReader*:Captures.StayWithin*:CaptureCopies.OfALive*'
