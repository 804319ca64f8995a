#!/usr/bin/env python3
"""What a capture costs: the same run without and with `--capture summary`, in turns; prints one JSON line with the ratio.

The ratio is taken twice: of the program's own seconds (text to pixels; writing goes on beside it) and of wall time, the end of the
capture included. `best` compares the fastest run of each kind.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time


def run(cli, arguments, folder, capture):
    command = [cli, "generate", "--quiet", "--json", "-o", os.path.join(folder, "out.mp4"), *arguments]
    if capture != "off":
        command += ["--capture", f"{capture}:{folder}/run.ditcap"]
    start = time.perf_counter()
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    wall = time.perf_counter() - start
    return {"seconds": report["runs"][0]["seconds"], "wall": wall, "bytes": report.get("capture", {}).get("bytes", 0),
            "hash": report["runs"][0]["noise_hash"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cli", default="build/bin/ditscope-cli")
    parser.add_argument("--capture", default="summary")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("arguments", nargs="*", help="of generate, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"off": [], options.capture: []}
        for _ in range(options.runs):
            for kind, results in kinds.items():
                results.append(run(options.cli, options.arguments, folder, kind))
    off, on = kinds["off"], kinds[options.capture]
    best = {key: min(r[key] for r in on) / min(r[key] for r in off) for key in ("seconds", "wall")}
    print(json.dumps({"capture": options.capture, "runs": options.runs, "off_seconds": [r["seconds"] for r in off],
                      "on_seconds": [r["seconds"] for r in on], "bytes": on[-1]["bytes"], "ratio_best": best}))


if __name__ == "__main__":
    main()
