#!/usr/bin/env python3
"""Holds `ditscope-cli attend` against float64 transcriptions of the papers' formulas, one file a method in transcriptions/.

Usage: check_transcriptions.py --cli build/dev/bin/ditscope-cli [--method re-ttention] [--verbose]
Needs numpy. Prints a line a case with the largest differences; the exit status is 1 where a result differs.
"""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from transcriptions.cases import CASES  # noqa: E402
from transcriptions.common import Call, kept_blocks, read_safetensors, write_safetensors  # noqa: E402

OUT_TOLERANCE, LSE_TOLERANCE, KEPT_TOLERANCE, MEASURE_TOLERANCE = 2e-5, 2e-5, 1e-6, 1e-4


def structured(grid, text, text_first, steps=4, batch=1, heads=2, dim=32, seed=1, strength=2.0):
    """q, k, v that attend to what is near in space and time, each head in its own way, and drift slowly from step to step."""
    rng = np.random.default_rng(seed)
    frames, rows, columns = grid
    f, y, x = np.meshgrid(np.arange(frames), np.arange(rows), np.arange(columns), indexing="ij")
    places = np.stack([f, y, x], -1).reshape(-1, 3).astype(float)
    tokens = len(places) + text

    def features(waves, phases):
        visual = np.cos(places @ waves + phases)
        words = rng.normal(size=(text, dim))
        return np.concatenate([words, visual] if text_first else [visual, words])

    def drifting(base, other, noise):
        return np.stack([np.cos(0.12 * s) * base + np.sin(0.12 * s) * other + noise for s in range(steps)])

    q, k, v = (np.zeros((steps, batch, heads, tokens, dim)) for _ in range(3))
    for b in range(batch):
        for h in range(heads):
            reach = np.array([[2.0, 0.3, 0.3], [0.1, 1.2, 1.2], [0.5, 0.5, 0.5], [1.0, 0.1, 1.5]][h % 4])
            waves, phases = rng.normal(size=(3, dim)) * reach[:, None] * 0.7, rng.uniform(0, 2 * np.pi, dim)
            base = features(waves, phases)
            q[:, b, h] = drifting(base, features(waves, phases + 0.5), 0.4 * rng.normal(size=(tokens, dim)))
            k[:, b, h] = drifting(base, features(waves, phases - 0.4), 0.4 * rng.normal(size=(tokens, dim)))
            v[:, b, h] = drifting(rng.normal(size=(tokens, dim)), rng.normal(size=(tokens, dim)), 0.3)
    q *= strength
    return q.astype(np.float32), k.astype(np.float32), v.astype(np.float32)


def attend(cli, folder, case, tensors, capture=None):
    """The program's tensors and its report; and a capture of the run, where one is asked for."""
    source, target = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
    write_safetensors(source, dict(zip("qkv", tensors)))
    tokens = tensors[0].shape[3]
    command = [cli, "attend", "--tensors", source, "--out", target, "--method", case["method"], "--json", "--grid",
               ",".join(map(str, case["grid"])), "--text-tokens", str(case["text"]),
               "--text-first" if case["text_first"] else "--text-last", "--branches", str(case["branches"]), "--first-step",
               str(case["first_step"]), "--total-steps", str(case["total_steps"]), "--measured-rows", str(tokens)]
    command += ["--capture", capture] if capture else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return read_safetensors(target), json.loads(done.stdout)


def write_calibration(path, case, tensors):
    """A file as `ditscope-cli calibrate` writes them, for a model that is not named."""
    steps, batch, heads, tokens, width = tensors[0].shape
    frames, rows, columns = case["grid"]
    sizes = {"layers": 1, "steps": case["total_steps"], "heads": heads, "head_dim": width, "frames": frames, "rows": rows, "columns": columns,
             "text_tokens": case["text"]}
    digest = 0xCBF29CE484222325
    for byte in "".join(f"\n{name} {size}" for name, size in sizes.items()).encode():
        digest = (digest ^ byte) * 0x100000001B3 % 2 ** 64
    tables = {name: {"shape": np.shape(values), "values": np.ravel(values).astype(float).tolist()} for name, values in case["tables"].items()}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"format": "ditscope calibration 1", "hash": f"{digest:016x}", "key": {"model": "", **sizes},
                   "method": case["method"].split(":")[0], "settings": {}, "tables": tables}, file)


def worst(a, b):
    """The largest difference; places where both are the same infinity do not differ."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        return np.inf
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0, np.abs(a - b))
    return float(np.max(np.where(np.isnan(gap), np.inf, gap), initial=0))


def measures(call, result):
    """Per step, batch element and head what the program's JSON reports, over all rows."""
    full = np.einsum("sbhid,sbhjd->sbhij", call.q, call.k) * call.scale
    p = np.exp(full - full.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dense = p @ call.v
    gap = result.out - dense
    norms = np.linalg.norm(result.out, axis=-1) * np.linalg.norm(dense, axis=-1)
    cosine = np.where(norms > 0, (result.out * dense).sum(-1) / np.where(norms > 0, norms, 1), 0)
    return {
        "recall": (p * result.mask).sum(-1).mean(-1),
        "relative_l1": np.abs(gap).sum((-1, -2)) / np.abs(dense).sum((-1, -2)),
        "relative_l2": np.sqrt((gap ** 2).sum((-1, -2)) / (dense ** 2).sum((-1, -2))),
        "cosine_error": (1 - cosine).mean(-1),
        "rho_used": None if result.rho is None else result.rho.mean(-1),
        "row_mass": None if result.mass is None else result.mass.mean(-1),
    }


def short(method, width=78):
    """A method without its warm-up, which cases share, cut where it is still too long."""
    text = re.sub(r"(warmup_steps|refresh_period)=\d+,?", "", method).rstrip(",:")
    return (text if len(text) <= width else text[:width - 1] + "~").ljust(width)


def module_of(method):
    """The file that transcribes a method: a plan with another correction has one of its own."""
    plan, _, correction = method.partition("+")
    return ("composed" if correction and plan != "window" else correction or plan).replace("-", "_")


def check(cli, case, verbose):
    name, title = case["method"].split(":")[0], short(case["method"])
    with tempfile.TemporaryDirectory() as folder:
        tensors = structured(case["grid"], case["text"], case["text_first"], **case["data"])
        call = Call(*(x.astype(float) for x in tensors), case["grid"], case["text"], case["text_first"], case["branches"],
                    case["first_step"], case["total_steps"])
        module = importlib.import_module("transcriptions." + module_of(name))
        parameters = dict(case["parameters"])
        if case["tables"]:
            write_calibration(os.path.join(folder, "calibration.json"), case, tensors)
            case = {**case, "method": case["method"].replace("FILE", os.path.join(folder, "calibration.json"))}
            parameters["tables"] = {key: np.array(values) for key, values in case["tables"].items()}
        if getattr(module, "NEEDS_CAPTURE", False):
            parameters["capture"] = os.path.join(folder, "run.ditcap")
        got, report = attend(cli, folder, case, tensors, parameters.get("capture"))
        want = module.run(call, **parameters)
    kept = np.array([[[kept_blocks(m) for m in row] for row in step] for step in want.mask])
    row = {"out": worst(got["out"], want.out), "lse": worst(got["lse"], want.lse),
           "kept": int((np.abs(got["kept"] - kept) > KEPT_TOLERANCE).sum()) if kept.shape == got["kept"].shape else -1}
    row["achieved"] = worst([s["kept_ratio_achieved"] for s in report["steps"]], want.achieved)
    expected, row["measures"], notes = measures(call, want), 0.0, []
    for key, values in expected.items():
        for s, step in enumerate(report["steps"]):
            if values is None or step.get(key) is None:
                continue
            gap = worst(np.array(step[key], float).reshape(values[s].shape), values[s])
            if gap > MEASURE_TOLERANCE:
                notes.append(f"{key} of step {s}: {step[key]}, expected {values[s].tolist()}")
            row["measures"] = max(row["measures"], gap)
    fine = (row["out"] <= max(OUT_TOLERANCE, case["tolerance"]) and row["lse"] <= LSE_TOLERANCE and row["kept"] == 0
            and row["achieved"] <= 1e-6 and row["measures"] <= max(MEASURE_TOLERANCE, case["tolerance"]))
    least = min(want.mask.mean((1, 2, 3, 4)))
    print(f"{'ok  ' if fine else 'DIFF'} {title} {case['label']:29s} {row['out']:8.1e} {row['lse']:8.1e} "
          f"{row['kept']:6d} {least:7.1%} {row['achieved']:9.1e} {row['measures']:9.1e}", flush=True)
    if verbose and not fine:
        for s in range(len(want.achieved)):
            step = report["steps"][s]
            gaps = worst(got["out"][s], want.out[s]), worst(got["lse"][s], want.lse[s])
            print(f"     step {s} ({step['kind']}): out {gaps[0]:.1e}, lse {gaps[1]:.1e}, "
                  f"achieved {step['kept_ratio_achieved']:.6f}, expected {want.achieved[s]:.6f}")
        print("\n".join("     " + n for n in notes[:8]))
    return fine


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cli", required=True, help="the program: ditscope-cli")
    options.add_argument("--method", help="only cases whose method holds this text")
    options.add_argument("--verbose", action="store_true", help="say where a case differs")
    arguments = options.parse_args()
    cases = [c for c in CASES if not arguments.method or arguments.method in c["method"]]
    failed = 0
    print("kept: blocks that differ")
    print(f"     {'method':78s} {'case':29s} max|out| max|lse|   kept  sparse  achieved  measures")
    for case in cases:
        try:
            failed += not check(arguments.cli, case, arguments.verbose)
        except RuntimeError as error:
            failed += 1
            print(f"DIFF {case['method']} {case['label']}: {error}")
    print(f"{len(cases) - failed} of {len(cases)} cases agree")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
