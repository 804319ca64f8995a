#!/usr/bin/env bash
# Fetches LibTorch 2.11 into .deps/libtorch: the wheels that libtorch.txt pins by hash, through pip, so that pip's
# configuration (index, proxy, certificates) decides where from. Where an NVIDIA driver is found, also the wheels of
# libtorch-cuda.txt: CUDA's libraries and compiler.
#
#   fetch_libtorch.sh [--cpu | --cuda]     without either the machine decides
#
# Only headers and libraries are unpacked. The folder appears whole or not at all; where it is there already, nothing happens.
# It takes 1.2 GB of disk (5 GB with CUDA), and as much again while unpacking.
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

variant=cpu
if has_nvidia_driver; then variant=cuda; fi
for argument in "$@"; do
  case $argument in
    --cpu) variant=cpu ;;
    --cuda) variant=cuda ;;
    *) die "unknown option '$argument'; there are --cpu and --cuda" ;;
  esac
done

here=$root/installer
lists=("$here/libtorch.txt")
if [ "$variant" = cuda ]; then lists+=("$here/libtorch-cuda.txt"); fi
wanted=$(cat "${lists[@]}" | sha256sum | cut -d' ' -f1)
stamp=$libtorch/stamp

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

[ "$(uname -m)" = x86_64 ] || die "the pinned LibTorch is for x86_64, this is $(uname -m). Set DITSCOPE_LIBTORCH_DIR to a torch 2.11 folder"
mkdir -p "$root/.deps"
exec 9> "$root/.deps/lock"
flock 9  # a second start waits here for the first
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

# Libraries that are already unpacked and hold the pinned bytes are as good as fetched ones.
verified() { (cd -- "$1" && sha256sum --quiet --check "$here/libtorch.sha256" > /dev/null 2>&1); }
if [ "$variant" = cpu ] && [ ! -f "$stamp" ] && [ -f "$libtorch/torch/include/torch/csrc/api/include/torch/torch.h" ] &&
  verified "$libtorch"; then
  say "the LibTorch in $libtorch is the pinned one"
  echo "$wanted" > "$stamp"
  exit 0
fi

work=$(mktemp -d "$root/.deps/fetch.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
if [ "$variant" = cuda ]; then size="about 3 GB"; else size="about 545 MB"; fi
say "fetching LibTorch 2.11 ($variant, $size)"
platforms=()
for version in 28 27 25 18 17 12 5; do platforms+=(--platform "manylinux_2_${version}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64)
download=(python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes
  --python-version 3.11 --implementation cp "${platforms[@]}" --dest "$work/wheels")
for list in "${lists[@]}"; do download+=(--requirement "$list"); done
for attempt in 1 2 3; do
  if "${download[@]}"; then break; fi
  [ "$attempt" -lt 3 ] || die "LibTorch could not be fetched. Check the network and pip's configuration (pip config list), and the room in $root/.deps"
  say "trying again"
done

for wheel in "$work"/wheels/*.whl; do
  case ${wheel##*/} in
    torch-*) parts=('torch/lib/*' 'torch/include/*' 'torch/share/*') ;;
    *) if [ "$variant" = cuda ]; then parts=('nvidia/*'); else parts=('nvidia/*/lib/*'); fi ;;
  esac
  unzip -q -o "$wheel" "${parts[@]}" -d "$work/libtorch" || die "cannot unpack ${wheel##*/}: is there room in $root/.deps?"
  rm -f -- "$wheel"
done
verified "$work/libtorch" || die "the unpacked LibTorch does not hold the expected bytes; run again, and check the disk if it happens again"
if [ "$variant" = cuda ]; then
  for programs in "$work"/libtorch/nvidia/cu13/bin "$work"/libtorch/nvidia/cu13/nvvm/bin; do
    if [ -d "$programs" ]; then chmod -R u+x "$programs"; fi
  done
  # The linker looks for names without a version.
  for library in "$work"/libtorch/nvidia/cu13/lib/*.so.*; do
    plain=${library%%.so.*}.so
    [ -e "$plain" ] || ln -s "${library##*/}" "$plain"
  done
fi
echo "$wanted" > "$work/libtorch/stamp"

if [ -e "$libtorch" ]; then mv -- "$libtorch" "$work/old"; fi
mv -- "$work/libtorch" "$libtorch"
say "LibTorch is in $libtorch"
