#!/usr/bin/env python3
"""Times diffusers and DiTScope end to end on the same checkpoints, taking turns, and prints the ratios.

  end_to_end.py [--cli build/bin/ditscope-cli] [--runs 3] [--threads N] [--dtype float32] [--our-dtype mixed] MODEL_DIR...

Needs torch, diffusers, transformers, accelerate and sentencepiece from PyPI. Each row is one model; seconds are medians from prompt
to frames, loading excluded on both sides; peak bytes are of the whole process. The same seed and settings go to both, and the largest
difference of their frames and their PSNR are printed, so that nobody compares the speed of different work. Several dtypes for
DiTScope, as in --our-dtype "float32;mixed", take turns with the same runs of diffusers.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def diffusers_worker(folder: str, threads: int, dtype: str) -> None:
    """Reads one JSON request a line, answers with seconds and the file of the frames."""
    import numpy
    import torch
    from diffusers import CogVideoXPipeline

    torch.set_num_threads(threads)
    pipe = CogVideoXPipeline.from_pretrained(folder, local_files_only=True, torch_dtype=getattr(torch, dtype))
    pipe.set_progress_bar_config(disable=True)
    for line in sys.stdin:
        call = json.loads(line)
        out = call.pop("out")
        generator = torch.Generator().manual_seed(call.pop("seed"))
        start = time.perf_counter()
        frames = pipe(generator=generator, output_type="np", **call).frames[0]
        seconds = time.perf_counter() - start
        numpy.save(out, frames)
        peak = int(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmHWM"))) * 1024
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)


def run_ditscope(cli, folder, request, threads, dtype, methods, workdir):
    frames = workdir / "frames.safetensors"
    command = [cli, "compare", "--model", folder, "--methods", ";".join(methods), "--json", "--quiet", "--threads", str(threads), "--dtype", dtype,
               "--frames-out", str(frames), "-o", str(workdir / "videos")]
    for key, value in request.items():
        command += ["--" + key, str(value)]
    runs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["runs"]
    return runs, sorted(workdir.glob("frames*.safetensors"))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--cli", default="build/bin/ditscope-cli")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--our-dtype", help="of DiTScope, where it is not --dtype; several with ; between them")
    parser.add_argument("--methods", default="full;re-ttention")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--prompt", default="a large glossy red sphere bounces on a checkered floor, slate backdrop")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        diffusers_worker(options.worker, options.threads, options.dtype)
        return

    import numpy
    from safetensors.numpy import load_file

    for folder in options.models:
        info = json.loads(subprocess.run([options.cli, "models", folder, "--json"], check=True, capture_output=True, text=True).stdout)
        defaults = info["models"][0]["defaults"]
        size = {key: defaults[key] for key in ("frames", "height", "width")}
        request = {"prompt": options.prompt, "steps": options.steps, "guidance": 6.0, "seed": 42, **size}
        call = {"prompt": options.prompt, "negative_prompt": "", "num_inference_steps": options.steps, "guidance_scale": 6.0, "seed": 42,
                "num_frames": size["frames"], "height": size["height"], "width": size["width"],
                "max_sequence_length": defaults["max_sequence_length"]}
        methods = options.methods.split(";")
        with tempfile.TemporaryDirectory() as temporary:
            workdir = pathlib.Path(temporary)
            worker = subprocess.Popen([sys.executable, __file__, "--worker", folder, "--threads", str(options.threads), "--dtype", options.dtype],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

            def diffusers_run(**changes):
                worker.stdin.write(json.dumps({**call, **changes, "out": str(workdir / "reference.npy")}) + "\n")
                worker.stdin.flush()
                return json.loads(worker.stdout.readline())

            diffusers_run(num_inference_steps=1)  # warm-up
            dtypes = (options.our_dtype or options.dtype).split(";")
            theirs, ours, frames_files = [], {(dtype, method): [] for dtype in dtypes for method in methods}, {}
            for _ in range(options.runs):
                theirs.append(diffusers_run())
                for dtype in dtypes:
                    (workdir / dtype).mkdir(exist_ok=True)
                    runs, frames_files[dtype] = run_ditscope(options.cli, folder, request, options.threads, dtype, methods, workdir / dtype)
                    for method, run in zip(methods, runs):
                        ours[dtype, method].append(run)
            worker.stdin.close()
            worker.wait()
            reference = numpy.load(workdir / "reference.npy").transpose(0, 3, 1, 2)
            differences = {dtype: numpy.abs(load_file(str(file))["frames"] - reference) for dtype, file in frames_files.items()}

        baseline = statistics.median(run["seconds"] for run in theirs)
        print(f"\n{pathlib.Path(folder).name}: {options.dtype}, {options.threads} threads, {options.steps} steps, {size['frames']} x "
              f"{size['width']} x {size['height']}")
        for dtype, difference in differences.items():
            mse = float((difference.astype(numpy.float64) ** 2).mean())
            print(f"  {methods[0]} in {dtype}: frames differ from diffusers' by {difference.max():.1e} at most, {-10 * numpy.log10(max(mse, 1e-10)):.1f} dB")
        print(f"  {'program':28s} {'seconds':>9s} {'attention':>10s} {'ratio':>7s} {'peak MB':>8s}")
        print(f"  {'diffusers':28s} {baseline:9.3f} {'':>10s} {1.0:7.2f} {theirs[-1]['peak_bytes'] / 1e6:8.0f}")
        for (dtype, method), runs in ours.items():
            seconds = statistics.median(run["seconds"] for run in runs)
            attention = statistics.median(run["attention_seconds"] for run in runs)
            print(f"  {'DiTScope ' + method + ', ' + dtype:28s} {seconds:9.3f} {attention:10.3f} {baseline / seconds:7.2f} {runs[-1]['peak_bytes'] / 1e6:8.0f}")


if __name__ == "__main__":
    main()
