"""PyTorch's FlexAttention on the CPU beside `ditscope-cli bench attention`, on the same masks.

    python tests/bench/flex_attention.py --cli build/bin/ditscope-cli [--case NAME] [--dtype NAME] [--threads N] [--rounds N]

Needs Python 3.10 and torch 2.5 or newer and a C++ compiler (FlexAttention compiles its kernel). Runs the same lists of key blocks
as the cases random_blocks_64 and random_blocks_64_87, in turn with the same cases of ditscope-cli, and prints one JSON document:
{"rows": [{"case", "dtype", "threads", "skipped_ratio", "ms", "baseline", "baseline_ms", "ratio", "rounds", "max_error"}]}, where
`ms` is ours and `baseline_ms` FlexAttention's, both medians over the rounds, `ratio` the median of the rounds' ratios, and
`max_error` FlexAttention's against dense masked attention, which says that it drew the same mask.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

HEADS, TOKENS, WIDTH, GRANULE = 8, 4096, 64, 64
CASES = {"random_blocks_64": 2, "random_blocks_64_87": 8}
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def random_blocks(kept):
    """The lists of core/bridge/attention_benchmark.cpp: (heads, query blocks, kept) ascending key blocks."""
    blocks, state, lists = TOKENS // GRANULE, 1, []
    for _ in range(HEADS * blocks):
        row = []
        while len(row) < kept:
            state = (state * 1664525 + 1013904223) % 2**32
            block = (state >> 8) % blocks
            if block not in row:
                row.append(block)
        lists.append(sorted(row))
    return torch.tensor(lists, dtype=torch.int32).view(HEADS, blocks, kept)


def block_mask(lists):
    blocks, kept = lists.shape[1:]
    indices = torch.zeros(1, HEADS, blocks, blocks, dtype=torch.int32)
    indices[0, :, :, :kept] = lists
    counts = torch.full((1, HEADS, blocks), kept, dtype=torch.int32)
    none = torch.zeros_like(counts)
    # Every listed block is full: no element is tested.
    return BlockMask.from_kv_blocks(none, torch.zeros_like(indices), counts, indices, BLOCK_SIZE=(GRANULE, GRANULE))


def expected(q, k, v, lists):
    """Dense masked attention of the first head in float64."""
    rows = torch.zeros(TOKENS // GRANULE, TOKENS // GRANULE, dtype=torch.bool).scatter_(1, lists[0].long(), True)
    keep = rows.repeat_interleave(GRANULE, 0).repeat_interleave(GRANULE, 1)
    logits = (q[0, 0].double() @ k[0, 0].double().T) * WIDTH**-0.5
    return logits.masked_fill(~keep, -torch.inf).softmax(-1) @ v[0, 0].double()


def median_ms(action, repetitions):
    for _ in range(2):
        action()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def ours(arguments, case, dtype):
    command = [arguments.cli, "bench", "attention", "--json", "--case", case, "--dtype", dtype, "--seconds", "0.5"]
    if arguments.threads:
        command += ["--threads", str(arguments.threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["rows"][0]["ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cli", required=True, help="path of ditscope-cli")
    parser.add_argument("--case", choices=CASES, help="only this case")
    parser.add_argument("--dtype", choices=DTYPES, help="only this type")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of both sides; 0: as many as PyTorch uses")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=10, help="calls of FlexAttention in a round")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    # The compiled kernel has scratch memory for as many threads as there were; taken from the cache by a process with more, it
    # corrupts the heap.
    cache = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no processes that go on beside what is measured
    flex = torch.compile(flex_attention, dynamic=False)
    rows = []
    for case, kept in CASES.items():
        if arguments.case and case != arguments.case:
            continue
        lists = random_blocks(kept)
        mask = block_mask(lists)
        for name, dtype in DTYPES.items():
            if arguments.dtype and name != arguments.dtype:
                continue
            torch.manual_seed(1)
            q, k, v = (torch.randn(1, HEADS, TOKENS, WIDTH, dtype=torch.float32).to(dtype) for _ in range(3))
            rounds = []
            with torch.no_grad():
                out = flex(q, k, v, block_mask=mask)
                error = (out[0, 0].double() - expected(q, k, v, lists)).abs().max().item()
                for _ in range(arguments.rounds):
                    flex_ms = median_ms(lambda: flex(q, k, v, block_mask=mask), arguments.repetitions)
                    rounds.append({"ms": ours(arguments, case, name), "baseline_ms": flex_ms})
            rows.append({"case": case, "dtype": name, "threads": torch.get_num_threads(), "skipped_ratio": 1 - kept * GRANULE / TOKENS,
                         "ms": statistics.median(r["ms"] for r in rounds), "baseline": "FlexAttention, torch " + torch.__version__,
                         "baseline_ms": statistics.median(r["baseline_ms"] for r in rounds),
                         "ratio": statistics.median(r["baseline_ms"] / r["ms"] for r in rounds), "rounds": rounds,
                         "max_error": error})
    json.dump({"rows": rows}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
