#!/usr/bin/env bash
# Installs what is missing, builds, and starts DiTScope. From a fresh Debian 12 or Ubuntu 24.04 to a window; the second time
# it starts within seconds. Works from any folder.
#
#   run.sh [OPTION...]        options go to the window, or to `ditscope-cli compare` where there is no display
#
# Without a display the bundled model makes its example prompt with full and with sparse attention, and the last line says
# where the side-by-side video lies.
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

window=yes
has_display || window=no

"$root/installer/setup.sh"
"$root/installer/fetch_libtorch.sh"
if [ -f "$build/build.ninja" ]; then
  configure -DDITSCOPE_TESTS="$(sed -n 's/^DITSCOPE_TESTS:BOOL=//p' "$build/CMakeCache.txt")"
else
  configure -DDITSCOPE_TESTS=OFF
fi
if [ ! -x "$build/bin/ditscope-cli" ]; then say "building; the first time takes a while"; fi
build_targets ditscope ditscope-cli

if [ "$window" = yes ]; then
  exec "$build/bin/ditscope" "$@"
fi
say "no display: comparing full with sparse attention on the command line"
output=$root/out/compare-$(date +%Y%m%d-%H%M%S)
"$build/bin/ditscope-cli" compare "$@" --output "$output"
video=$output/side-by-side.mp4
[ -f "$video" ] || die "no side-by-side video came out; see the messages above"
echo "The side-by-side video: $video"
