#!/usr/bin/env bash
# prepare.sh : collects what tests/gpu/run.sh needs on a GPU machine that has neither a network nor Debian's packages.
#
# Run it on Debian 12, x86-64, with the packages of installer/setup.sh. It fills the ignored folder .gpu/ in the repository: headers,
# small shared libraries and .gpu/prefix.cmake, a CMake cache script that finds them wherever the folder is moved to. No file in it
# is a link. See docs/gpu.md.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

include=/usr/include
lib=/usr/lib/$(uname -m)-linux-gnu
for needed in $include/nlohmann/json.hpp $include/CLI/CLI.hpp $include/spdlog/spdlog.h $include/fmt/core.h \
  $include/sentencepiece_processor.h $include/sqlite3.h $include/zlib.h $include/gtest/gtest.h $include/gmock/gmock.h $lib/libsentencepiece.so.0 \
  $lib/libsentencepiece_train.so.0 $lib/libsqlite3.so.0 $lib/libz.so.1 $lib/libgtest.a $lib/libgmock.a; do
  [ -e "$needed" ] || {
    echo "prepare.sh: $needed is missing. Run installer/setup.sh on Debian 12 first." >&2
    exit 1
  }
done

rm -rf .gpu
mkdir -p .gpu/include .gpu/lib .gpu/cmake
cp -rL $include/nlohmann $include/CLI $include/spdlog $include/fmt $include/gtest $include/gmock .gpu/include/
cp -L $include/sentencepiece_processor.h $include/sentencepiece_trainer.h $include/sqlite3.h $include/zlib.h .gpu/include/
for file in $include/zconf.h "$include/$(uname -m)-linux-gnu/zconf.h"; do [ ! -e "$file" ] || cp -L "$file" .gpu/include/; done
# Under their sonames: what is linked asks for those at run time, and a copy of the folder keeps files better than links.
for file in libsentencepiece.so.0 libsentencepiece_train.so.0 libsqlite3.so.0 libz.so.1 libgtest.a libgmock.a; do cp -L "$lib/$file" .gpu/lib/; done
chmod -R u+w .gpu
# Some builds of SentencePiece bring protobuf as a library of its own.
ldd .gpu/lib/libsentencepiece.so.0 .gpu/lib/libsentencepiece_train.so.0 | awk '/protobuf|absl/ { print $3 }' | sort -u |
  while read -r library; do cp -L "$library" .gpu/lib/; done

# package NAME LINES... : a config file that find_package(NAME) takes; ${root} is the folder .gpu.
# shellcheck disable=SC2016  # CMake expands these variables
package() {
  local name=$1
  shift
  {
    echo 'get_filename_component(root "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)'
    printf '%s\n' "$@"
  } > ".gpu/cmake/${name}Config.cmake"
}
headers() { echo "add_library($1 INTERFACE IMPORTED)"; echo "set_target_properties($1 PROPERTIES INTERFACE_INCLUDE_DIRECTORIES \"\${root}/include\")"; }
library() {
  echo "add_library($1 $2 IMPORTED)"
  echo "set_target_properties($1 PROPERTIES IMPORTED_LOCATION \"\${root}/lib/$3\" INTERFACE_INCLUDE_DIRECTORIES \"\${root}/include\")"
}
package nlohmann_json "$(headers nlohmann_json::nlohmann_json)"
package CLI11 "$(headers CLI11::CLI11)"
package spdlog "$(headers spdlog::spdlog)" \
  'set_property(TARGET spdlog::spdlog PROPERTY INTERFACE_COMPILE_DEFINITIONS SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)'
package SQLite3 "$(library SQLite::SQLite3 SHARED libsqlite3.so.0)"
package ZLIB "$(library ZLIB::ZLIB SHARED libz.so.1)"
package SentencePiece "$(library ditscope_sentencepiece SHARED libsentencepiece.so.0)" \
  "$(library ditscope_sentencepiece_train SHARED libsentencepiece_train.so.0)" \
  'add_library(SentencePiece::SentencePiece INTERFACE IMPORTED)' \
  'target_link_libraries(SentencePiece::SentencePiece INTERFACE ditscope_sentencepiece ditscope_sentencepiece_train)'
package GTest 'find_package(Threads REQUIRED)' "$(library GTest::gtest STATIC libgtest.a)" "$(library GTest::gmock STATIC libgmock.a)" \
  'target_link_libraries(GTest::gtest INTERFACE Threads::Threads)' 'target_link_libraries(GTest::gmock INTERFACE GTest::gtest)'

cat > .gpu/prefix.cmake << 'END'
# Written by tests/gpu/prepare.sh; use it as cmake -C .gpu/prefix.cmake.
set(CMAKE_PREFIX_PATH "${CMAKE_CURRENT_LIST_DIR}" CACHE PATH "Packages carried along" FORCE)
set(CMAKE_FIND_PACKAGE_PREFER_CONFIG ON CACHE BOOL "Ours before those of CMake" FORCE)
# ld resolves what a shared library needs beside it.
set(CMAKE_EXE_LINKER_FLAGS "-Wl,-rpath-link,${CMAKE_CURRENT_LIST_DIR}/lib" CACHE STRING "" FORCE)
END
du -sh .gpu | awk '{ print ".gpu: " $1 }'
