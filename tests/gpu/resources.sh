#!/usr/bin/env bash
# resources.sh [-j N]
#
# Compiles every kernel for GPUs, in build/cuda, for all compute capabilities, and writes what ptxas reported of each to
# tests/kernels/cuda_resources.tsv, which a test reads where nvcc is not. A cell is the number of registers; where something is
# spilled, stack frame, stores and loads follow it, in bytes. Of the kernels for compute capability 9.0 also how many instructions
# of some kinds their machine code has: tests/kernels/cuda_machine_code.tsv. Needs nvcc 13.0 and cuobjdump (docs/gpu.md), no GPU.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

command -v cuobjdump >/dev/null || { echo "resources.sh: cuobjdump is not in PATH" >&2; exit 1; }
cmake -G Ninja -S tests/sanitize -B build/cuda -DCMAKE_BUILD_TYPE=Release -DDITSCOPE_CUDA_KERNELS=ON >/dev/null
ninja -C build/cuda "$@" ditscope_cuda_kernels
table=tests/kernels/cuda_resources.tsv
cat build/cuda/kernels/cuda/*.resources.txt | c++filt | awk '
  /Compiling entry function/ {
    match($0, /sm_[0-9]+/); architecture = substr($0, RSTART, RLENGTH)
    sub(/^[^'"'"']*'"'"'/, ""); sub(/'"'"' for .*$/, ""); sub(/^void /, ""); sub(/\([^()]*\)$/, "")
    gsub(/ditscope::(cuda::)?/, ""); gsub(/unsigned short/, "Bfloat16Bits")
    kernel = $0; kernels[kernel]
  }
  /bytes spill stores/ { spills = $1 + $5 + $9 ? " " $1 "," $5 "," $9 : "" }
  /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); cell[kernel, architecture] = substr($0, RSTART + 5, RLENGTH - 5) spills }
  END {
    count = split("sm_80 sm_86 sm_89 sm_90 sm_100 sm_120", columns, " ")
    for (kernel in kernels) {
      line = kernel
      for (i = 1; i <= count; ++i) line = line "\t" ((kernel, columns[i]) in cell ? cell[kernel, columns[i]] : "-")
      print line
    }
  }' | LC_ALL=C sort > "$table.new"
{ printf 'kernel\tsm_80\tsm_86\tsm_89\tsm_90\tsm_100\tsm_120\n'; cat "$table.new"; } > "$table"
rm "$table.new"
echo "$(($(wc -l < "$table") - 1)) kernels in $table"

code=tests/kernels/cuda_machine_code.tsv
kinds='HGMMA.64x64x16.F32 UTMALDG.3D STL LDL'
{
  printf 'object'; printf '\t%s' $kinds; echo
  for object in build/cuda/kernels/cuda/hopper_*.o; do
    basename "$object" .o | tr -d '\n'
    cuobjdump -sass "$object" > build/cuda/sass.txt
    for kind in $kinds; do printf '\t%s' "$(grep -cE "[[:space:]]$kind\\b" build/cuda/sass.txt || true)"; done
    echo
  done
} > "$code"
echo "$(($(wc -l < "$code") - 1)) objects in $code"
