"""Delta attention, arXiv:2505.11254, over the window: the error of every so-manieth row moves the rows after it."""

from .common import Result, attention
from .window import window_mask


def run(call, kept_ratio=1 / 32, warmup_steps=15, refresh_period=5, window="sites", delta_stride=64, delta_rows_only=False,
        delta_tail=False):
    result, mask = Result(call), window_mask(call, kept_ratio, window)
    for s, t in call.steps():
        full = t < warmup_steps or (refresh_period > 0 and (t - warmup_steps) % refresh_period == 0)
        for b, h in call.heads():
            q, k, v = call.q[s, b, h], call.k[s, b, h], call.v[s, b, h]
            if full:
                result.put(s, b, h)
                continue
            o, _ = result.put(s, b, h, mask)
            for start in range(0, call.tokens, delta_stride):
                move = attention(q[start:start + 1], k, v, call.scale)[0][0] - o[start]
                result.out[s, b, h, start:start + (1 if delta_rows_only else delta_stride)] += move
            if delta_tail:
                last = call.tokens - (call.tokens % delta_stride + max(128, delta_stride))
                result.out[s, b, h, max(last, 0):] = attention(q[max(last, 0):], k, v, call.scale)[0]
        result.count(s)
    return result
