#!/usr/bin/env bash
# bundled_parity.sh PYTHON DITSCOPE_CLI MODEL : the same video by diffusers and by DiTScope, float32, at a small size.
# Exit status 77 where that Python has no diffusers.
set -euo pipefail
python=$1 cli=$2 model=$3
"$python" -c 'import diffusers, transformers, torch' 2> /dev/null || {
  echo "skipped: $python has no diffusers"
  exit 77
}
"$python" "$(dirname -- "${BASH_SOURCE[0]}")/make_goldens.py" --live "$model" --cli "$cli" --steps 4 --height 128 --width 128 --num-frames 17 \
  --prompt "a large glossy red sphere bounces on a checkered floor, slate backdrop" --tolerance 1e-4
