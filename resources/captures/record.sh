#!/bin/sh
# Records tour.ditcap, the run that the window opens for first-time users: the bundled model, full attention beside Re-ttention.
# Usage: resources/captures/record.sh path/to/ditscope-cli
set -eu
cli=${1:?usage: record.sh path/to/ditscope-cli}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$cli" compare --methods "full;re-ttention:kept_ratio=0.25" --width 128 --height 128 --frames 9 --steps 10 --dtype bfloat16 --threads 1 \
  --device cpu --capture "summary:$work/tour.ditcap" --shadow 5,8 --quiet -o "$work/out"
# Without a folder the model of a request is the bundled one, wherever the program is installed.
python3 - "$work/tour.ditcap" <<'PYTHON'
import json, sqlite3, sys
file = sqlite3.connect(sys.argv[1])
for run, text in file.execute("SELECT run_id, request FROM runs").fetchall():
    file.execute("UPDATE runs SET request = ? WHERE run_id = ?", (json.dumps(dict(json.loads(text), model="")), run))
file.commit()
file.execute("VACUUM")
PYTHON
mv "$work/tour.ditcap" "$here/tour.ditcap"
ls -l "$here/tour.ditcap"
