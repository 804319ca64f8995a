#!/bin/sh
# Records tour.ditcap, the run that the window opens for first-time users: the bundled model, full attention beside Re-ttention.
# Usage: [PYTHON=python3] resources/captures/record.sh path/to/ditscope-cli     (a Python with NumPy)
set -eu
cli=${1:?usage: record.sh path/to/ditscope-cli}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$cli" compare --methods "full;re-ttention:kept_ratio=0.25,warmup_steps=2,refresh_period=3" --width 128 --height 128 --frames 9 --steps 8 --dtype bfloat16 --threads 1 \
  --device cpu --capture "summary:$work/tour.ditcap" --capture-layers all --capture-steps all --shadow 4,7 --quiet -o "$work/out"
"${PYTHON:-python3}" "$here/refine.py" "$work/tour.ditcap"
mv "$work/tour.ditcap" "$here/tour.ditcap"
ls -l "$here/tour.ditcap"
