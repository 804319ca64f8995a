"""QuantSparse's correction, arXiv:2509.23681, over the window: the residual of a refresh and a low-rank part of its change."""

import numpy as np

from .common import Result, attention
from .stored_residual import low_rank
from .window import window_mask


def run(call, kept_ratio=1 / 32, warmup_steps=15, refresh_period=5, window="sites", second_level=True, change_rank=16):
    result, mask = Result(call), window_mask(call, kept_ratio, window)
    first, second = {}, {}
    for s, t in call.steps():
        refresh = t >= warmup_steps and (t - warmup_steps) % refresh_period == 0
        for head in call.heads():
            if t < warmup_steps:
                result.put(s, *head)
            elif refresh:
                full, _ = result.put(s, *head)
                residual = full - attention(call.q[s][head], call.k[s][head], call.v[s][head], call.scale, mask)[0]
                change = np.zeros_like(residual)
                if head in first and second_level:
                    change = low_rank(residual - first[head], change_rank)
                first[head], second[head] = residual, change
            else:
                result.put(s, *head, mask)
                result.out[s][head] += first[head] + second[head]
        result.count(s, mask.mean() if refresh else 0)
    return result
