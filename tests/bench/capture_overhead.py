#!/usr/bin/env python3
"""What a capture costs: the same run without and with `--capture summary`, in turns; prints one JSON line with the ratio.

The ratio is taken three times: of the program's own seconds (text to pixels; writing goes on beside it), of wall time, the end of the
capture included, and of the processor time of all threads, which also means something on a busy machine. `best` compares the fastest
run of each kind, `median` the one in the middle.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time


def run(cli, arguments, folder, capture):
    command = [cli, "generate", "--quiet", "--json", "-o", os.path.join(folder, "out.mp4"), *arguments]
    if capture != "off":
        command += ["--capture", f"{capture}:{folder}/run.ditcap"]
    def processor_seconds():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start, processor = time.perf_counter(), processor_seconds()
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    wall = time.perf_counter() - start
    return {"seconds": report["runs"][0]["seconds"], "wall": wall, "processor": processor_seconds() - processor, "bytes": report.get("capture", {}).get("bytes", 0)}


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
    best, median = ({key: of(r[key] for r in on) / of(r[key] for r in off) for key in ("seconds", "wall", "processor")}
                    for of in (min, statistics.median))
    print(json.dumps({"capture": options.capture, "runs": options.runs, "off_seconds": [r["seconds"] for r in off],
                      "on_seconds": [r["seconds"] for r in on],
                      "off_processor": [r["processor"] for r in off], "on_processor": [r["processor"] for r in on], "bytes": on[-1]["bytes"], "ratio_best": best, "ratio_median": median}))


if __name__ == "__main__":
    main()
