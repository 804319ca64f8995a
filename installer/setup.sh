#!/usr/bin/env bash
# Installs the system packages that building, running and testing take, on Debian 12 and Ubuntu 24.04.
#
#   setup.sh [--tests] [--headless]
#
#   --tests     also what the tests need (a virtual screen, GoogleTest, NumPy)
#   --headless  without what only the window needs
#
# Says what it will install. Uses sudo where the user is not root. Does nothing where all is there.
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

tests=no window=yes
for argument in "$@"; do
  case $argument in
    --tests) tests=yes ;;
    --headless) window=no ;;
    *) die "unknown option '$argument'; there are --tests and --headless" ;;
  esac
done

# A name with a bar has another name in another release; the first that exists is taken.
packages=(
  ninja-build cmake g++ ccache pkg-config python3-pip unzip ca-certificates
  libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libavfilter-dev libfreetype-dev libcairo2-dev
  libsqlite3-dev zlib1g-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libsentencepiece-dev
  fonts-inter fonts-dejavu-core
)
if [ "$window" = yes ]; then
  packages+=(
    qt6-base-dev 'libqt6opengl6-dev|qt6-base-dev' 'qt6-svg-dev|libqt6svg6-dev' libimgui-dev
    libgl-dev libegl-dev libopengl-dev libgl1-mesa-dri fonts-jetbrains-mono
  )
fi
if [ "$tests" = yes ]; then
  packages+=(libgtest-dev libgmock-dev xvfb xauth python3-numpy)
fi

available() { [ -n "$(apt-cache policy "$1" 2> /dev/null | awk '/Candidate:/ && $2 != "(none)"')" ]; }

any_installed() {
  local name
  for name in ${1//|/ }; do
    if [[ $installed == *" $name "* ]]; then return 0; fi
  done
  return 1
}

missing=()
if command -v dpkg-query > /dev/null; then
  # shellcheck disable=SC2046,SC2016
  installed=" $(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $(tr '| ' '\n\n' <<< "${packages[*]}") 2> /dev/null |
    sed -n 's/^installed //p' | tr '\n' ' ' || true) "
  for package in "${packages[@]}"; do
    any_installed "$package" || missing+=("$package")
  done
else
  for program in cmake ninja c++ pkg-config python3 unzip; do
    command -v "$program" > /dev/null ||
      die "this is no Debian or Ubuntu, and '$program' is missing. Install what these packages hold: ${packages[*]}"
  done
  say "this is no Debian or Ubuntu: taking it that what these packages hold is installed: ${packages[*]}"
fi
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || die "not root and no sudo. Let somebody who is root run: apt-get install ${missing[*]%%|*}"
  as_root=(sudo)
fi
say "these system packages will be installed with ${as_root[*]:+sudo }apt-get: ${missing[*]%%|*}"
"${as_root[@]}" apt-get update -q || say "apt-get update failed; trying with the package lists that are there"

chosen=()
for package in "${missing[@]}"; do
  name=
  for alternative in ${package//|/ }; do
    if available "$alternative"; then
      name=$alternative
      break
    fi
  done
  [ -n "$name" ] || die "no package '$package' in this release. Supported are Debian 12 and Ubuntu 24.04 (with 'universe' switched on)"
  chosen+=("$name")
done
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${chosen[@]}" ||
  die "apt-get could not install: ${chosen[*]}"
