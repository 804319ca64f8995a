#!/usr/bin/env bash
# Installs what the tests need, builds Release in build/, runs every test and ends with ctest's summary. Windows open on a
# virtual screen with Mesa's software renderer, so that they are the same everywhere.
#
#   test.sh [CTEST OPTION...]     for example: test.sh -R test_kernels
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

"$root/installer/setup.sh" --tests
"$root/installer/fetch_libtorch.sh"
configure -DDITSCOPE_TESTS=ON
say "building with $(build_jobs) jobs"
build_targets
cd -- "$build"
export LIBGL_ALWAYS_SOFTWARE=1 QT_QPA_PLATFORM=xcb
exec xvfb-run -a -s '-screen 0 1920x1200x24' ctest --parallel "$(build_jobs)" --output-on-failure "$@"
